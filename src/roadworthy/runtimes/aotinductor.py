"""AOTInductor: the model compiled ahead to a native library that libtorch calls; made for one kind of CPU."""

from __future__ import annotations

from pathlib import Path

import torch

from roadworthy.core.errors import StepFailed
from roadworthy.core.host import this_host
from roadworthy.core.stages import Plan
from roadworthy.core.text import first_line
from roadworthy.core.types import Signature
from roadworthy.frameworks.torch.session import TensorSession, check_plan, exact_float32
from roadworthy.runtimes import _cpu_features

RUNS: tuple[str, ...] = ()
PACKAGES: tuple[str, ...] = ("torch", "numpy")
FRAMEWORK = True
NATIVE = True

PRECISIONS = ("fp32", "bf16", "int8")


def load(path: Path, signature: Signature, plan: Plan) -> TensorSession:
    """The session of a candidate directory: a package that is already unpacked, so that a start unpacks nothing.

    Raises UsageError for a precision or flavour that it does not have, EnvironmentFault where this CPU lacks what
    the machine code uses, StepFailed where the library does not load.
    """
    check_plan(plan, PRECISIONS, ("",))
    exact_float32()
    _cpu_features.check(path, this_host())
    try:
        # One call at a time is the rule of sessions, so the loader needs no locks and no second runner.
        loader = torch._C._aoti.AOTIModelPackageLoader(str(path), "model", True, 1, -1)
    except RuntimeError as problem:
        raise StepFailed(f"the compiled library in {path.name} does not load: {first_line(problem)}", detail=repr(problem)) from problem
    return TensorSession(lambda *tensors: loader.boxed_run(list(tensors)), signature, plan)

"""TorchScript: a frozen archive run by libtorch's own interpreter."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from roadworthy.core.errors import StepFailed
from roadworthy.core.stages import Plan
from roadworthy.core.text import first_line
from roadworthy.core.types import Signature, zeros
from roadworthy.frameworks.torch.session import TensorSession, check_plan, exact_float32

RUNS: tuple[str, ...] = ("jit",)
PACKAGES: tuple[str, ...] = ("torch", "numpy")
FRAMEWORK = True
NATIVE = False

MODEL = "model.ts"
FLAVOURS = ("", "frozen", "optimized")
WARM_UP = 3
"""The executor runs the first two calls slowly to profile them, and compiles what it learnt; from the third on it is at speed."""


def load(path: Path, signature: Signature, plan: Plan) -> TensorSession:
    """The session of a captured archive, or of the frozen one in a candidate directory; warmed up.

    The flavour ``optimized`` fuses and packs weights for this very CPU, here and not in the file: what that makes
    cannot be saved. Raises UsageError for a precision other than fp32, StepFailed where the archive does not load.
    """
    check_plan(plan, ("fp32", "int8"), FLAVOURS)
    exact_float32()
    file = path / MODEL if path.is_dir() else path
    try:
        with quiet():
            module = torch.jit.load(str(file), map_location="cpu")
            # A frozen module has no mode any more.
            module = module.eval() if hasattr(module, "training") else module
            module = torch.jit.optimize_for_inference(module) if plan.flavour == "optimized" else module
    except Exception as problem:
        raise StepFailed(f"{file.name} does not load as TorchScript: {first_line(problem)}", detail=repr(problem)) from problem
    session = TensorSession(module, signature, plan)
    _warm_up(session, signature)
    return session


def _warm_up(session: TensorSession, signature: Signature) -> None:
    feeds = zeros(signature.closed().inputs)
    try:
        for _ in range(WARM_UP):
            session.run(feeds)
    except StepFailed:
        # Zeros may not be a valid input; the first real call then pays for the warm-up.
        pass


@contextmanager
def quiet() -> Iterator[None]:
    """torch says of each of its TorchScript functions that it is deprecated; that is known here."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r".*torch\.jit.* is (deprecated|not supported)", category=DeprecationWarning)
        yield

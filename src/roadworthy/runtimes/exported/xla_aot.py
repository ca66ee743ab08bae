"""The program around code of XLA, in a child with an empty environment."""

from __future__ import annotations

from pathlib import Path

from roadworthy.core.errors import StepFailed, UsageError
from roadworthy.core.host import this_host
from roadworthy.core.stages import Plan
from roadworthy.core.types import Signature
from roadworthy.runtimes import _cpu_features
from roadworthy.runtimes.exported._program import ProgramSession

RUNS: tuple[str, ...] = ()
PACKAGES: tuple[str, ...] = ("numpy",)
FRAMEWORK = False
NATIVE = True
ON_TARGET = True

PROGRAM = "program"


def load(path: Path, signature: Signature, plan: Plan) -> ProgramSession:
    """The session of the program in ``path``, on one thread.

    Raises UsageError for another precision than fp32 or more threads, EnvironmentFault where this CPU lacks what the code uses,
    StepFailed where the program is missing or does not start.
    """
    if plan.precision != "fp32" or plan.spin or plan.threads != 1:
        raise UsageError(f"{plan.name} is not a plan of xla-aot: it computes in fp32 on one thread, which does not spin")
    _cpu_features.check(path, this_host())
    if not (path / PROGRAM).is_file():
        raise StepFailed(f"{path} holds no {PROGRAM}")
    return ProgramSession([str(path / PROGRAM)], signature, environment={})

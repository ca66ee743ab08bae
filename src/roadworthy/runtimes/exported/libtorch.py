"""The program with libtorch, in a child."""

from __future__ import annotations

from pathlib import Path

from roadworthy.core.errors import StepFailed, UsageError
from roadworthy.core.host import this_host
from roadworthy.core.stages import Plan
from roadworthy.core.types import Signature
from roadworthy.runtimes import _cpu_features
from roadworthy.runtimes.exported._program import ProgramSession

RUNS: tuple[str, ...] = ()
PACKAGES: tuple[str, ...] = ("torch", "numpy")
FRAMEWORK = True
NATIVE = True
ON_TARGET = True


def load(path: Path, signature: Signature, plan: Plan) -> ProgramSession:
    """The session of the program in ``path`` on ``plan.threads`` threads.

    Raises UsageError for another precision than fp32, EnvironmentFault where this CPU lacks what the machine code uses, StepFailed where
    the program is missing or does not start.
    """
    if plan.precision != "fp32" or plan.spin:
        raise UsageError(f"{plan.name} is not a plan of libtorch: it computes in fp32, and has no choice of spinning threads")
    _cpu_features.check(path, this_host())
    if not (path / "program").is_file():
        raise StepFailed(f"{path} holds no program")
    return ProgramSession([str(path / "program"), "--threads", str(plan.threads)], signature)

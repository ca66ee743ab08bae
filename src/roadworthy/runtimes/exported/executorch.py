"""ExecuTorch's own C++ runtime, driven as a program in a child: the same code that a phone or a board runs, on this CPU."""

from __future__ import annotations

from pathlib import Path

from roadworthy.core.errors import StepFailed, UsageError
from roadworthy.core.stages import Plan
from roadworthy.core.types import Signature
from roadworthy.runtimes.exported._program import ProgramSession

RUNS: tuple[str, ...] = ()
PACKAGES: tuple[str, ...] = ("executorch",)
FRAMEWORK = False
NATIVE = False
ON_TARGET = False
"""It is for phones and boards, most of which have other CPUs than this host."""

PROGRAM, MODEL = "program", "model.pte"
LIMIT_S = 120.0


def load(path: Path, signature: Signature, plan: Plan) -> ProgramSession:
    """The session of ``path/program`` with ``path/model.pte`` on ``plan.threads`` threads.

    Raises UsageError for another precision than fp32, StepFailed for files that are missing.
    """
    if plan.precision != "fp32":
        raise UsageError(f"ExecuTorch's program computes in fp32, and {plan.precision} was asked for; choose fp32")
    for name in (PROGRAM, MODEL):
        if not (path / name).is_file():
            raise StepFailed(f"{path} holds no {name}")
    return ProgramSession([str(path / PROGRAM), "--threads", str(plan.threads)], signature, LIMIT_S)

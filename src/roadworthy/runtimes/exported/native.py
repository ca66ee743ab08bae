"""The executable itself, in a child with an empty environment."""

from __future__ import annotations

from pathlib import Path

from roadworthy.core.errors import StepFailed, UsageError
from roadworthy.core.host import Host, this_host
from roadworthy.core.stages import Plan
from roadworthy.core.types import Signature
from roadworthy.runtimes.exported._program import ProgramSession

RUNS: tuple[str, ...] = ()
PACKAGES: tuple[str, ...] = ("numpy",)
FRAMEWORK = False
NATIVE = False
ON_TARGET = True

PROGRAM = "program"
PRECISIONS = ("fp32", "int8")
LEVELS = {"v4": ("avx512f", "avx512bw"), "v3": ("avx2", "fma", "f16c"), "v2": ("sse4_2",)}
"""Levels of x86-64 that generated code has, and CPU features that tell them apart."""


def load(path: Path, signature: Signature, plan: Plan) -> ProgramSession:
    """The session of the program in ``path``, on ``plan.threads`` threads and at the CPU's level, a mask of it included.

    Raises UsageError for another precision than fp32 and int8, StepFailed where the program is missing or does not start.
    """
    if plan.precision not in PRECISIONS or plan.spin:
        raise UsageError(f"{plan.name} is not a plan of native: it computes in fp32 or int8, and has no choice of spinning threads")
    program = path / PROGRAM
    if not program.is_file():
        raise StepFailed(f"{path} holds no {PROGRAM}")
    return ProgramSession([str(program), "--threads", str(plan.threads)], signature, environment={"MODEL_LEVEL": level(this_host())})


def level(host: Host) -> str:
    """The highest level of x86-64 that ``host`` has; a lower one than v2 is left to the program, which refuses it."""
    return next((name for name, features in LEVELS.items() if host.has(*features)), "v2")

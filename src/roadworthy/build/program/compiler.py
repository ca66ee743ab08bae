"""The C++ compiler, in a child with a limit on time."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from roadworthy.core import programs
from roadworthy.core.errors import StepFailed
from roadworthy.core.text import LONGEST

REMEDY = "install GCC 12 or later: apt-get install g++"
FLAGS = ("-std=c++17", "-O2", "-Wall", "-Wextra")
LIMIT_S = 900.0


def require() -> Path:
    """The C++ compiler; raises ProgramMissing where there is none."""
    return programs.require("g++", REMEDY)


def archiver() -> Path:
    """The program that makes static libraries; raises ProgramMissing where there is none."""
    return programs.require("ar", "install the GNU binary utilities: apt-get install binutils")


def compile(arguments: Sequence[str], folder: Path, *, what: str, limit_s: float = LIMIT_S) -> None:
    """Run g++ with ``FLAGS`` and ``arguments`` in ``folder``, to make ``what``.

    Raises ProgramMissing without a compiler, StepFailed where it fails or takes longer than ``limit_s`` seconds.
    """
    run([str(require()), *FLAGS, *arguments], folder, what=what, limit_s=limit_s)


def run(command: Sequence[str], folder: Path, *, what: str, limit_s: float = LIMIT_S) -> str:
    """What ``command`` prints in ``folder``; raises StepFailed, with its first error, where it fails or takes longer than ``limit_s``."""
    name = Path(command[0]).name
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, errors="replace", timeout=limit_s, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired as problem:
        raise StepFailed(f"{name} took more than {limit_s:g} s to make {what}") from problem
    said = (done.stdout + done.stderr).strip()
    if done.returncode:
        raise StepFailed(f"{name} could not make {what} (exit {done.returncode}): {_reason(said)}", detail=said)
    return said


def _reason(said: str) -> str:
    """The first line that speaks of an error, else the last one."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return next((line for line in lines if "rror" in line or "undefined reference" in line), lines[-1] if lines else "it said nothing")[
        :LONGEST
    ]

"""How the process of a step starts afresh: the program, its environment and what it is given."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from roadworthy.core.host import library_caps


class Process(Protocol):
    """A process that was started, as far as its limits need it; ``subprocess.Popen`` is one."""

    @property
    def pid(self) -> int: ...

    def wait(self) -> int:
        """Wait for its end; the exit code, or the number of the signal that ended it, negative."""


@dataclass(frozen=True)
class Given:
    """What the process of a step is given: descriptors of its pipes and its log, memory in MiB, a Confinement as JSON or nothing.

    ``temporary`` is its own temporary directory.
    """

    requests: int
    answers: int
    log: int
    memory_mb: int
    confined: str
    temporary: Path


def fresh(given: Given) -> Process:
    """A new Python that answers calls. Raises OSError where no process can be started."""
    words = (str(given.requests), str(given.answers), str(given.memory_mb), given.confined)
    return subprocess.Popen(
        python("roadworthy.core.isolation.child", *words),
        stdin=subprocess.DEVNULL,
        stdout=given.log,
        stderr=given.log,
        pass_fds=(given.requests, given.answers),
        env=environment() | {"TMPDIR": str(given.temporary)},
        start_new_session=True,
    )


def python(module: str, *words: str) -> list[str]:
    """The command that runs ``module``, without the folder of this program among those that modules come from."""
    # -B: nothing is left beside the user's own modules.
    return [sys.executable, "-B", "-P", "-m", module, *words]


def environment() -> dict[str, str]:
    """The environment of a step, without its temporary directory."""
    path = os.pathsep.join(str(Path(path).absolute()) for path in sys.path if path)
    # Sets of strings have one order in every process: the same source gives the same files.
    fixed = {"PYTHONPATH": path, "PYTHONHASHSEED": "0"}
    return os.environ | library_caps() | fixed

"""What Roadworthy uses and does not bring along: programs (a compiler, Node, a browser), and libraries that exports are made with."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from roadworthy.core.errors import EnvironmentFault, ProgramMissing


def require(program: str, remedy: str) -> Path:
    """The file of ``program`` on the PATH; raises ProgramMissing, with the ``remedy`` in words, where there is none."""
    found = shutil.which(program)
    if found is None:
        raise ProgramMissing(f"the program {program} is not installed here: {remedy}")
    return Path(found)


def libraries() -> Path:
    """The folder that keeps such libraries, once a machine; beside the cache of deployments, which removes what it did not make.

    Raises EnvironmentFault where the user has no home directory and XDG_CACHE_HOME names no other place.
    """
    stated = Path(os.environ.get("XDG_CACHE_HOME", ""))
    try:
        return (stated if stated.is_absolute() else Path.home() / ".cache") / "roadworthy-libraries"
    except RuntimeError as problem:
        raise EnvironmentFault("this user has no home directory for the libraries of exports: set XDG_CACHE_HOME") from problem

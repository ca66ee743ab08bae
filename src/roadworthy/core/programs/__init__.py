"""Programs that Roadworthy starts and does not bring along: a compiler, Node, a browser."""

from __future__ import annotations

import shutil
from pathlib import Path

from roadworthy.core.errors import ProgramMissing


def require(program: str, remedy: str) -> Path:
    """The file of ``program`` on the PATH; raises ProgramMissing, with the ``remedy`` in words, where there is none."""
    found = shutil.which(program)
    if found is None:
        raise ProgramMissing(f"the program {program} is not installed here: {remedy}")
    return Path(found)

"""Data from a function of the user's, named as ``module:callable`` or ``FILE.py:callable``."""

from __future__ import annotations

import re
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from roadworthy.core.errors import DataError
from roadworthy.core.isolation import confinement, usercode
from roadworthy.core.text import named_line


@dataclass(frozen=True)
class UserFunction:
    """``name`` in ``module``, which is a dotted name or a file that ends in ``.py``."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}:{self.name}"


def named_in(data: str) -> UserFunction | None:
    """The function that ``data`` names; None where ``data`` is the path of something, or has another form."""
    match = None if Path(data).exists() else re.fullmatch(r"(.+):([A-Za-z_]\w*)", data)
    return UserFunction(match[1], match[2]) if match else None


def call(function: UserFunction) -> Any:
    """What the function returns; raises DataError where it is not there, and with the function's own message where it raises."""
    module = function.module
    if module.endswith(".py") and not confinement.located(Path(module)).is_file():
        raise DataError(f"there is no file {module} to take {function.name} from")
    try:
        with _import_state_kept():
            loaded = usercode.module(module, f"_roadworthy_data_{Path(module).stem}")
            with usercode.running(Path(module).name):
                return getattr(loaded, function.name)()
    except (Exception, SystemExit) as problem:
        reason = f"{named_line(problem)}{confinement.explained(problem)}"
        raise DataError(f"{function} raised {reason}", detail=traceback.format_exc()) from None


@contextmanager
def _import_state_kept() -> Iterator[None]:
    """Restore the import path, and write no compiled code beside the user's file: this may be the user's own process."""
    path, written = [*sys.path], sys.dont_write_bytecode
    sys.dont_write_bytecode = True
    try:
        yield
    finally:
        sys.path[:], sys.dont_write_bytecode = path, written

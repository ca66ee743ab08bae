"""An object of the user's code or of a library, named as ``FILE.py:name`` or ``package.module:name``, and what a call of it returns."""

from __future__ import annotations

import difflib
import re
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from roadworthy.core.errors import DataError, EnvironmentFault, RoadworthyError
from roadworthy.core.isolation import callables, confinement, usercode
from roadworthy.core.text import named_line

_NAME = r"(?:[A-Za-z_]\w*|<lambda>)"


@dataclass(frozen=True)
class UserObject:
    """``name``, which may be an attribute of an attribute, in ``module``: a dotted name, or a file that ends in ``.py``; or the file of an
    object that was handed over in memory (``callables.keep``).
    """

    module: str
    name: str

    def __str__(self) -> str:
        return callables.shown(f"{self.module}:{self.name}")


def named_in(text: str) -> UserObject | None:
    """The object that ``text`` names; None where ``text`` is the path of something, or has another form."""
    match = None if Path(text).exists() else re.fullmatch(rf"(.+):({_NAME}(?:\.{_NAME})*)", text)
    return UserObject(match[1], match[2]) if match else None


def find(named: UserObject) -> Any:
    """The object itself. Raises DataError where it is not there, and EnvironmentFault where its module needs one that is not installed."""
    with _failures_told(named):
        return _found(named)


def call(named: UserObject) -> Any:
    """What the object returns when it is called without arguments; raises as ``find`` does, and DataError where the call raises."""
    with _failures_told(named):
        function = _found(named)
        with usercode.running(Path(named.module).name):
            return function()


def _found(named: UserObject) -> Any:
    if named.module.endswith(callables.PICKLED):
        return callables.unpickled(Path(named.module))
    if named.module.endswith(".py") and not confinement.located(Path(named.module)).is_file():
        raise DataError(f"the file {named.module}, which should hold {named.name}, does not exist")
    found: Any = usercode.module(named.module, f"_roadworthy_object_{Path(named.module).stem}")
    where = named.module
    for part in named.name.split("."):
        if not hasattr(found, part):
            raise _missing(found, part, where)
        found, where = getattr(found, part), f"{where}{':' if where == named.module else '.'}{part}"
    return found


def _missing(holder: Any, part: str, where: str) -> DataError:
    names = [name for name in dir(holder) if not name.startswith("_")]
    near = difflib.get_close_matches(part, names, 3) or names[:8]
    return DataError(f"{where} has no {part}" + (f"; it has {', '.join(near)}" if near else ""))


@contextmanager
def _failures_told(named: UserObject) -> Iterator[None]:
    """What the user's code raises becomes one sentence with the line where it did.

    The import path stays as it was, and no compiled code is written beside the user's file: this may be the user's own process.
    """
    path, written = [*sys.path], sys.dont_write_bytecode
    sys.dont_write_bytecode = True
    try:
        yield
    except RoadworthyError:
        raise
    except (Exception, SystemExit) as problem:
        raise _told(named, problem) from None
    finally:
        sys.path[:], sys.dont_write_bytecode = path, written


def _told(named: UserObject, problem: BaseException) -> RoadworthyError:
    missing = (problem.name or "") if isinstance(problem, ModuleNotFoundError) else ""
    if missing and (named.module == missing or named.module.startswith(f"{missing}.")):
        return DataError(f"the module {missing}, which should hold {named}, does not exist")
    inside = [frame for frame in traceback.extract_tb(problem.__traceback__) if usercode.is_users(frame.filename)]
    at = f" ({Path(inside[-1].filename).name}, line {inside[-1].lineno})" if inside else ""
    said = f"{named} raised {named_line(problem)}{at}"
    if missing:
        return EnvironmentFault(
            f"{said}; install {missing.partition('.')[0]}, or run where it can be imported", detail=traceback.format_exc()
        )
    return DataError(f"{said}{confinement.explained(problem)}", detail=traceback.format_exc())

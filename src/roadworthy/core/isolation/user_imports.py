"""What the user's own files import, from their syntax trees: a package that is missing is told before any work, and nothing is run."""

from __future__ import annotations

import ast
import importlib.util
import sys
from collections.abc import Iterable, Iterator
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

from roadworthy.core.errors import EnvironmentFault, UsageError
from roadworthy.core.isolation import confinement, usercode


def refuse_missing(files: Iterable[Path]) -> None:
    """Raises EnvironmentFault where one of ``files``, or a file beside it that it imports, needs a module that is not installed.

    Raises UsageError for a relative import in a file that is in no package. Only imports that always run count: one inside ``try``, ``if``
    or a function may be meant to fail. A file that cannot be parsed is left to Python's own message, later.
    """
    seen: set[Path] = set()
    missing: list[EnvironmentFault] = []
    waiting = [confinement.located(file).resolve() for file in files]
    while waiting:
        file = waiting.pop()
        if file not in seen:
            seen.add(file)
            waiting += _checked(file, missing)
    # Folders that one file puts on the search path serve the imports of all.
    if missing and not any(map(_finds_its_own, seen)):
        raise missing[0]


def _checked(file: Path, missing: list[EnvironmentFault]) -> Iterator[Path]:
    """The user's own files that ``file`` imports; a module that is not there goes into ``missing``."""
    root = usercode.package_root(file)
    for statement in _statements(file):
        if isinstance(statement, ast.ImportFrom) and statement.level:
            if root == file.parent:
                raise _relative(file, statement)
            continue
        names = [statement.module or ""] if isinstance(statement, ast.ImportFrom) else [alias.name for alias in statement.names]
        for name in names:
            found = _find(name.partition(".")[0], (file.parent, root))
            if found is None:
                missing.append(
                    EnvironmentFault(
                        f"{file.name}, line {statement.lineno}, imports {name}, which is not installed here: install it "
                        f"(pip install {name.partition('.')[0]}, where the package has the module's name), or run where it can be imported"
                    )
                )
            elif found.origin and found.origin.endswith(".py") and Path(found.origin).parent in (file.parent, root):
                yield Path(found.origin)


def _statements(file: Path) -> list[ast.Import | ast.ImportFrom]:
    try:
        tree = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    found = [] if _finds_its_own(file) else tree.body
    return [statement for statement in found if isinstance(statement, ast.Import | ast.ImportFrom)]


def _finds_its_own(file: Path) -> bool:
    """Whether the file puts folders on the search path of modules."""
    code = file.read_bytes() if file.is_file() else b""
    return b"sys.path" in code or b"addsitedir" in code


def _find(name: str, folders: tuple[Path, ...]) -> ModuleSpec | None:
    if found := PathFinder.find_spec(name, [str(folder) for folder in folders]):
        return found
    try:
        return importlib.util.find_spec(name)
    except (ImportError, ValueError):
        # A module that is loaded without a spec (__main__, for example) is there.
        return ModuleSpec(name, None) if name in sys.modules else None


def _relative(file: Path, statement: ast.ImportFrom) -> UsageError:
    what = "." * statement.level + (statement.module or "")
    up = file.parents[statement.level - 1]
    dotted = ".".join(file.relative_to(up.parent).with_suffix("").parts) if up != up.parent else file.stem
    return UsageError(
        f"{file.name}, line {statement.lineno}, imports from {what!r}, relative to a package, and {file.parent} is not one: "
        f"run in {up.parent} and name the module, {dotted}:CALLABLE, in place of the file"
    )

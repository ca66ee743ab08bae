"""The user's own Python, run in a child: imported by one way, announced before it runs, heard while it does.

``--arch``, ``--data`` and ``--metric`` name code, and a pickled model asks for it. What it does at import is said from its syntax tree,
what it prints goes to the parent line by line, and the parent is told when it begins and when it ends.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import os
import sys
import sysconfig
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import IO, Any, Literal

from roadworthy.core.isolation import confinement, topcode

LONGEST = 300
"""Characters of one printed line that are passed on."""
MOST = 1000
"""Lines that are passed on of one stretch of the user's code."""
WAITING = 4096
"""Characters that may wait for the end of their line."""


@dataclass(frozen=True)
class Heard:
    """What a child tells its parent while it works.

    A ``note`` is a sentence for the certificate, a ``print`` one line of the user's; ``begin`` and ``end`` stand around the user's code,
    the first with words for the case that it takes long, which become ``slow`` when it does. ``done`` says how much of a step is done.
    """

    kind: Literal["note", "print", "begin", "end", "slow", "done"]
    text: str


Tell = Callable[[Heard], None]


class _State:
    """This process's connection to its parent, and which code of the user's is running."""

    def __init__(self) -> None:
        self.tell: Tell | None = None
        self.depth = 0
        self.announced: dict[Path, str] = {}


_state = _State()


def connect(tell: Tell) -> None:
    """From now on ``tell`` carries what is heard to the parent. Without it the user's code runs as anywhere, and prints where it is."""
    _state.tell = tell


def module(where: str, alias: str = "roadworthy_user_code") -> ModuleType:
    """The imported module of ``FILE.py`` or a dotted name; it can import what is in its folder, as when Python runs the file.

    ``alias`` is the module's name where that of the file is taken. An exception of the user's code passes through.
    """
    file = confinement.located(Path(where)).resolve() if where.endswith(".py") else None
    with running(file.name if file else where):
        if file is None:
            search(confinement.home())
            return importlib.import_module(where)
        return _import_file(file, alias)


@contextmanager
def running(name: str) -> Iterator[None]:
    """Around code of the user's, which the messages call ``name``."""
    if _state.tell is None or _state.depth:
        yield
        return
    finder = _Finder()
    _state.depth += 1
    sys.meta_path.insert(_place(), finder)
    _state.tell(Heard("begin", _slow(name)))
    said = _Lines(name, _state.tell)
    try:
        with contextlib.redirect_stdout(_Heard(sys.stdout, said)), contextlib.redirect_stderr(_Heard(sys.stderr, said)):
            yield
    finally:
        said.finish()
        _state.tell(Heard("end", ""))
        sys.meta_path.remove(finder)
        _state.depth -= 1


def is_users(filename: str) -> bool:
    """Whether a file is the user's, not of Python, an installed package or Roadworthy."""
    return not filename.startswith(("<frozen", _OWN, *_STANDARD)) and "site-packages" not in filename and "dist-packages" not in filename


def search(folder: Path) -> None:
    """Let modules in ``folder`` be imported."""
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


_OWN = f"{Path(__file__).parents[2]}{os.sep}"
_LIBRARIES = [path for kind in ("stdlib", "platstdlib") if (path := sysconfig.get_path(kind))]
_STANDARD = tuple({f"{path}{os.sep}" for path in (*_LIBRARIES, *map(os.path.realpath, _LIBRARIES))})


def _import_file(file: Path, alias: str) -> ModuleType:
    # A file inside a package imports its siblings relatively, which needs the package's own name.
    top = package_root(file)
    search(file.parent)
    if top != file.parent:
        search(top)
        return importlib.import_module(".".join(file.relative_to(top).with_suffix("").parts))
    stem = file.stem
    name = stem if stem.isidentifier() and stem not in sys.modules and stem not in sys.stdlib_module_names else alias
    for already in (sys.modules.get(stem), sys.modules.get(name)):
        if already is not None and getattr(already, "__file__", None) == str(file):
            return already
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} is not Python")
    loaded = importlib.util.module_from_spec(spec)
    # Dataclasses and the like look their module up by name while it runs.
    sys.modules[name] = loaded
    _announce(file)
    try:
        spec.loader.exec_module(loaded)
    except BaseException:
        sys.modules.pop(name, None)
        raise
    return loaded


def package_root(file: Path) -> Path:
    """The folder that holds the topmost package that ``file`` is in; its own folder where it is in none."""
    top = file.parent
    while (top / "__init__.py").is_file():
        top = top.parent
    return top


class _Finder:
    """Finds what Python's own finder does, and announces files of the user's before they run."""

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        found = PathFinder.find_spec(name, path, target)
        if found is not None and found.origin and found.origin.endswith(".py") and is_users(found.origin):
            _announce(Path(found.origin))
        return found


def _place() -> int:
    return next((index for index, finder in enumerate(sys.meta_path) if finder is PathFinder), len(sys.meta_path))


def _announce(file: Path) -> None:
    """Say what ``file`` does when it is imported, once, before it is."""
    if _state.tell is None or file in _state.announced:
        return
    found = topcode.of_file(file)
    _state.announced[file] = f"; see line {found[0].line} of {file.name}: `{found[0].text}`" if found else ""
    if found:
        _state.tell(Heard("note", topcode.sentence(file.name, found)))
        # What began under another name may wait for this file.
        _state.tell(Heard("begin", _slow(file.name)))


def _slow(name: str) -> str:
    seen = "".join(_state.announced.values())
    return f"{name} is still running; it may be training while it is imported{seen}" if seen else f"{name} is still running"


class _Lines:
    """Printed text, cut into lines; of a line that was drawn over with carriage returns the last state counts."""

    def __init__(self, name: str, tell: Tell) -> None:
        self._name, self._tell, self._rest, self._passed = name, tell, "", 0

    def add(self, text: str) -> None:
        """Pass on the lines that ``text`` completes."""
        *lines, self._rest = (self._rest + text).split("\n")
        self._rest = self._rest[-WAITING:]
        for line in lines:
            self._pass(line)

    def finish(self) -> None:
        """Pass on what has no end of line yet."""
        rest, self._rest = self._rest, ""
        self._pass(rest)

    def _pass(self, line: str) -> None:
        last = line.rstrip("\r").rpartition("\r")[2]
        if last.strip() and self._passed < MOST:
            self._passed += 1
            self._tell(Heard("print", f"{self._name} | {last[:LONGEST]}"))


class _Heard:
    """A text stream that writes to the one below, and passes on what is written."""

    def __init__(self, under: IO[str], lines: _Lines) -> None:
        self._under, self._lines = under, lines

    def write(self, text: str) -> int:
        """Write ``text`` below and hand it on; the number of its characters."""
        written = self._under.write(text)
        self._lines.add(text)
        return written

    def writelines(self, lines: Iterable[str]) -> None:
        """As ``write``, one after another."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._under, name)

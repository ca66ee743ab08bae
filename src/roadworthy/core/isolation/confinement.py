"""Where a child that runs the user's code works and what it may write: a scratch working directory, and nothing of the user's.

With Landlock the kernel refuses every write outside a list of scratch directories, for the child and all that it starts. Without it the
child sees copies: of the working directory and of the folders that its code comes from.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from roadworthy.core.isolation import landlock

SMALL = 2**20
"""Bytes of a file that is copied into the working directory; a larger one is linked there, where the kernel guards it."""
TOTAL = 64 * 2**20
SHOWN = 4
MOST = 10_000
"""Files and folders of one directory that are shown in its view."""
CACHES = (("XDG_CACHE_HOME", ".cache"), ("TORCH_HOME", ""), ("HF_HOME", ""), ("KERAS_HOME", ".keras"))
"""Where frameworks keep what they download: the variable that says so, and the place below the home directory without it."""


@dataclass(frozen=True)
class Confinement:
    """``home`` is the user's working directory, which relative names are meant from; ``working`` the child's own.

    ``writable`` are the directories that Landlock leaves open, where it is ``enforced``. ``copies`` are folders of the user's, each with
    the copy that the child uses in its place. Paths are absolute.
    """

    home: Path
    working: Path | None
    writable: tuple[Path, ...] = ()
    copies: tuple[tuple[Path, Path], ...] = ()
    enforced: bool = False

    def at_home(self) -> Confinement:
        """The same for a step that runs nothing of the user's and reads files by the names that the user gave."""
        return replace(self, working=self.home, copies=())

    def listing(self) -> dict[str, tuple[int, int]]:
        """What is in the working directory now, by name, each with what changes when it is written."""
        with os.scandir(self.working or self.home) as entries:
            return {entry.name: (found.st_size, found.st_mtime_ns) for entry in entries for found in (entry.stat(follow_symlinks=False),)}

    def written(self, before: dict[str, tuple[int, int]]) -> tuple[str, ...]:
        """A sentence that names what appeared or changed in the working directory since ``before``; none where nothing did."""
        now = self.listing()
        names = sorted(name for name in {*before, *now} if before.get(name) != now.get(name))
        if not names:
            return ()
        more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        return (f"user code wrote {', '.join(names[:SHOWN])}{more} in its working directory, a scratch copy that was thrown away",)


def prepare(scratch: Path, folders: Iterable[Path], reads: Iterable[Path]) -> Confinement:
    """A confinement whose children write below ``scratch``, and to caches, unless one of ``reads`` is there.

    ``folders`` are those that the user's code comes from; where there is none the working directory stays empty.
    """
    home = Path.cwd()
    working = scratch / "working"
    working.mkdir()
    enforced = landlock.version() > 0
    code = [folder.resolve() for folder in folders]
    copies: list[tuple[Path, Path]] = []
    if code and enforced:
        _fill(home, working)
    elif code:
        _copy(home, working)
        copies.append((home, working))
        for number, folder in enumerate(dict.fromkeys(code)):
            if not folder.is_relative_to(home):
                copies.append((folder, scratch / f"code-{number}"))
                _copy(folder, scratch / f"code-{number}")
    kept = [home.resolve(), *code, *(path.resolve() for path in reads)]
    open_to_all = [place for place in _caches() if not any(path.is_relative_to(place.resolve()) for path in kept)]
    return Confinement(home, working, (scratch, *open_to_all), tuple(copies), enforced)


def of_candidate(path: Path) -> Confinement:
    """For a process that runs the candidate at ``path``, which may contain the user's code: it can only write beside its own files."""
    place = path if path.is_dir() else path.parent
    return Confinement(Path.cwd(), None, (place,), (), landlock.version() > 0)


def enter(given: Confinement, temporary: Path) -> None:
    """Confine this process until it ends: called once, before anything else runs. ``temporary`` is its own temporary directory."""
    global _entered
    _entered = given
    os.chdir(given.working or temporary)
    if given.enforced:
        landlock.restrict((*given.writable, temporary))


_entered: Confinement | None = None


def home() -> Path:
    """The user's working directory as this process sees it: the directory itself, or its copy."""
    return located(_entered.home) if _entered is not None else Path.cwd()


def located(path: Path) -> Path:
    """Where this process finds what the user calls ``path``."""
    if _entered is None:
        return path
    absolute = (_entered.home / path).resolve()
    for folder, copy in _entered.copies:
        if absolute.is_relative_to(folder) and (there := copy / absolute.relative_to(folder)).exists():
            return there
    return absolute


def explained(problem: BaseException) -> str:
    """What to add to an error of the user's code that the confinement may have caused; empty where it did not."""
    denied = isinstance(problem, PermissionError) or "cannot be opened" in str(problem) or "Permission denied" in str(problem)
    missing = isinstance(problem, FileNotFoundError) and _entered is not None and bool(_entered.copies)
    if _entered is None or not (denied or missing):
        return ""
    if missing:
        return "; user code sees a copy of its folder without large files: name what it reads by an absolute path"
    return "; meanwhile user code may write to its working directory, which is a scratch copy, and to the temporary directory alone"


def _caches() -> Iterator[Path]:
    for variable, default in CACHES:
        place = os.environ.get(variable) or (Path.home() / default if default else "")
        if place and Path(place).is_dir():
            yield Path(place).absolute()


def _fill(folder: Path, view: Path) -> None:
    """Show what is in ``folder`` in ``view``: small files as copies, which may be written; everything else as links."""
    total = 0
    for entry in _entries(folder):
        size = _size(entry)
        there = view / entry.name
        if size is not None and size <= SMALL and total + size <= TOTAL and _copied(Path(entry.path), there):
            total += size
        elif Path(entry.path).resolve() not in (view.resolve(), *view.resolve().parents):
            there.symlink_to(Path(entry.path).absolute())


def _copy(folder: Path, copy: Path) -> None:
    """A copy of ``folder`` as far as it is small: its files first, then those of its folders, hidden and installed ones left out."""
    total, waiting = 0, [(folder, copy)]
    for source, there in waiting:
        there.mkdir(exist_ok=True)
        for entry in _entries(source):
            size = _size(entry)
            hidden = entry.name.startswith(".") or entry.name in ("__pycache__", "site-packages", "node_modules")
            if entry.is_dir(follow_symlinks=False) and not hidden and len(waiting) < MOST and not _holds(Path(entry.path), copy):
                waiting.append((Path(entry.path), there / entry.name))
            elif size is not None and size <= SMALL and total + size <= TOTAL and _copied(Path(entry.path), there / entry.name):
                total += size


def _holds(folder: Path, scratch: Path) -> bool:
    return scratch.resolve().is_relative_to(folder.resolve())


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as found:
            return sorted((entry for entry, _ in zip(found, range(MOST), strict=False)), key=lambda entry: entry.name)
    except OSError:
        return []


def _size(entry: os.DirEntry[str]) -> int | None:
    """Bytes of a regular file, or of the one that a link leads to; None for anything else."""
    try:
        found = entry.stat()
    except OSError:
        return None
    return found.st_size if stat.S_ISREG(found.st_mode) else None


def _copied(file: Path, there: Path) -> bool:
    try:
        shutil.copyfile(file, there)
        shutil.copystat(file, there)
        there.chmod(there.stat().st_mode | stat.S_IWUSR)
    except OSError:
        return False
    return True

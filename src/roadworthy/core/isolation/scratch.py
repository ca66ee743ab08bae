"""Temporary directories that do not outlive their process: removed when it ends, and by the next one if it was killed.

Each is locked by the process that made it. A lock ends with its process, so a directory that can be locked has no owner left.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from fnmatch import fnmatch
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

NAMES = "roadworthy-*.scratch"


class Directory:
    """A new directory in ``folder``, the temporary directory by default; ``path`` is its place, until it is moved."""

    held: ClassVar[set[Directory]] = set()

    def __init__(self, folder: Path | None = None, *, prefix: str = "roadworthy-", suffix: str = ".scratch") -> None:
        # It gets its last name when it is locked: ``sweep`` in another process never sees it without a lock.
        made = Path(tempfile.mkdtemp(prefix=prefix, suffix=".new", dir=folder))
        try:
            self._lock = _lock(made)
            self.path = made.with_suffix(suffix)
            Directory.held.add(self)
            made.rename(self.path)
        except BaseException:
            Directory.held.discard(self)
            shutil.rmtree(made, ignore_errors=True)
            shutil.rmtree(made.with_suffix(suffix), ignore_errors=True)
            raise

    def remove(self) -> None:
        """Remove it with everything in it; what cannot be removed is left."""
        shutil.rmtree(self.path, ignore_errors=True)
        if self in Directory.held:
            Directory.held.discard(self)
            if self._lock is not None:
                os.close(self._lock)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.remove()


def remove_all() -> None:
    """Remove every directory that this process still holds: the last act of a command, however it ends."""
    for directory in list(Directory.held):
        directory.remove()


def sweep(folder: Path | None = None, names: str = NAMES) -> None:
    """Remove the directories in ``folder`` (the temporary one by default) whose process ended without removing them."""
    for path in (folder or Path(tempfile.gettempdir())).glob(names):
        lock = _lock(path)
        if lock is not None:
            if os.fstat(lock).st_uid == os.getuid():
                shutil.rmtree(path, ignore_errors=True)
            os.close(lock)


def holds(path: Path) -> bool:
    """Whether ``path`` is in a scratch directory, which goes when the program ends."""
    return any(fnmatch(part, NAMES) for part in path.parts)


def _lock(path: Path) -> int | None:
    """A handle that locks the directory; None where another process does, or where the file system has no locks."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        return None
    return handle

"""Results on disk, in the user's cache: each whole or not at all, believed only by a digest that is kept where no step can write.

A step may write to the user's cache, as frameworks keep downloads there. So an entry is a folder in the cache, and its digest is in a
ledger among the user's state files. An entry that the ledger does not know, or that is not as the ledger says, is none.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from roadworthy.core import codec
from roadworthy.core.errors import EnvironmentFault, RoadworthyError
from roadworthy.core.isolation import scratch

NAME = "roadworthy"
ENTRY, FILES, PARTIAL, LOCK = "entry.json", "files", ".partial", ".lock"
LARGEST, SHARE = 4 * 2**30, 0.1
"""The most bytes of all entries: so many, or this share of the disk's free space (with what the entries take) where that is less."""
CHUNK = 2**20


class NotUsable(Exception):
    """The cache cannot be used here, for the reason in the message."""


class _Damaged(RoadworthyError):
    pass


@dataclass(frozen=True)
class KeptFile:
    """One file of an entry: its place below the step's ``out``, and its content."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Entry:
    """The result of one step as JSON, with places relative to its ``out``, when it was made (ISO 8601), and the files it wrote."""

    made: str
    result: str
    files: tuple[KeptFile, ...]


@dataclass(frozen=True)
class Recorded:
    """One line of the ledger: the digest of an entry's ``entry.json``, its size in bytes, and when it was last used."""

    key: str
    sha256: str
    size: int
    used: float


@dataclass(frozen=True)
class CacheState:
    """Where the cache is, what it holds, the most that it may hold, in bytes, and why it cannot be used here, or ""."""

    folder: Path | None = None
    entries: int = 0
    size: int = 0
    limit: int = 0
    fault: str = ""


class Store:
    """The entries in ``folder`` that ``ledger`` knows, safe for several deployments at once: every entry appears and goes as a whole."""

    def __init__(self, folder: Path, ledger: Path) -> None:
        self._folder, self._ledger = folder, ledger

    def get(self, key: str, out: Path) -> Entry | None:
        """The entry under ``key``, with its files in the new directory ``out``; one that is damaged is removed, and is none."""
        known = self._recorded(key)
        if known is None:
            return None
        try:
            data = _read(self._folder / key / ENTRY)
            if hashlib.sha256(data).hexdigest() != known.sha256:
                raise _Damaged(f"{key} is not the entry that was kept")
            entry = codec.from_json(Entry, data, error=_Damaged)
            out.mkdir(parents=True)
            for file in entry.files:
                if KeptFile(file.path, *_copy(self._folder / key / FILES / file.path, out / file.path)) != file:
                    raise _Damaged(f"{file.path} of {key} is not the file that was kept")
            os.utime(self._ledger / key)
        except (OSError, _Damaged):
            shutil.rmtree(out, ignore_errors=True)
            with suppress(OSError), self._locked():
                # Another deployment may have put a sound one in its place meanwhile.
                if self._recorded(key) == known:
                    self._remove(key)
            return None
        return entry

    def put(self, key: str, entry: Entry, out: Path) -> None:
        """Keep ``entry`` under ``key`` with the files in ``out``, if there is room. A failure, a full disk too, keeps nothing."""
        with suppress(OSError):
            files = list(_regular(out))
            size = sum(path.stat().st_size for path in files)
            if not files or size > self._limit():
                return
            with scratch.Directory(self._folder, prefix="", suffix=PARTIAL) as partial:
                named = {path.relative_to(out): path for path in files}
                kept = tuple(KeptFile(str(name), *_copy(path, partial.path / FILES / name)) for name, path in named.items())
                data = codec.to_json(replace(entry, files=kept))
                (partial.path / ENTRY).write_bytes(data)
                with self._locked():
                    self._make_room(size)
                    self._remove(key)
                    partial.path.rename(self._folder / key)
                    _write(self._ledger / key, f"{hashlib.sha256(data).hexdigest()} {size}")

    def state(self) -> CacheState:
        """What the cache holds."""
        known = self._all()
        return CacheState(self._folder, len(known), sum(one.size for one in known), self._limit())

    def clear(self) -> None:
        """Remove every entry, those of which the ledger knows nothing too."""
        with self._locked():
            for path in (*self._folder.iterdir(), *self._ledger.iterdir()):
                if path.name != LOCK:
                    _remove(path)

    def sweep(self) -> None:
        """Remove what deployments that were killed while they wrote have left, and entries that the ledger does not know."""
        scratch.sweep(self._folder, f"*{PARTIAL}")
        with suppress(OSError), self._locked():
            known = {one.key for one in self._all()}
            for path in self._folder.iterdir():
                if path.name not in known and not path.name.endswith((PARTIAL, ".new")):
                    _remove(path)

    def _limit(self) -> int:
        used = sum(one.size for one in self._all())
        return min(LARGEST, int(SHARE * (shutil.disk_usage(self._folder).free + used)))

    def _make_room(self, size: int) -> None:
        """Remove the entries that were not used for the longest time until ``size`` more bytes are within the limit."""
        known, limit = self._all(), self._limit()
        total = sum(one.size for one in known)
        for oldest in sorted(known, key=lambda one: one.used):
            if total + size <= limit:
                break
            self._remove(oldest.key)
            total -= oldest.size

    def _remove(self, key: str) -> None:
        (self._ledger / key).unlink(missing_ok=True)
        _remove(self._folder / key)

    def _all(self) -> list[Recorded]:
        names = [path.name for path in self._ledger.iterdir() if not path.name.startswith(".")]
        return [known for name in names if (known := self._recorded(name))]

    def _recorded(self, key: str) -> Recorded | None:
        path = self._ledger / key
        try:
            sha256, size = _read(path).decode().split()
            return Recorded(key, sha256, int(size), path.stat().st_mtime)
        except (OSError, ValueError):
            return None

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Alone among the deployments that change what is there."""
        handle = os.open(self._ledger / LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)


def state() -> CacheState:
    """The user's cache as it is; what keeps it from being used is its ``fault``."""
    try:
        return open_store().state()
    except NotUsable as problem:
        return CacheState(fault=str(problem))


def clear() -> None:
    """Remove everything from the user's cache. Raises EnvironmentFault where it cannot be used."""
    try:
        open_store().clear()
    except NotUsable as problem:
        raise EnvironmentFault(str(problem)) from problem


def open_store(writable: Iterable[Path] = ()) -> Store:
    """The user's cache of results, made where it is not there. Raises NotUsable with a sentence that says why not.

    ``writable`` are the directories that steps may write to; the ledger must be in none of them.
    """
    folder, ledger = places()
    for place in (folder, ledger):
        _make_own(place)
    for open_to_steps in writable:
        if ledger.resolve().is_relative_to(open_to_steps.resolve()):
            raise NotUsable(f"{ledger} is in {open_to_steps}, where the code of models may write: set XDG_STATE_HOME to another directory")
    found = Store(folder, ledger)
    found.sweep()
    return found


def places() -> tuple[Path, Path]:
    """The folder of the entries and that of their ledger, by the XDG Base Directory Specification. Raises NotUsable without a home."""
    return _base("XDG_CACHE_HOME", ".cache") / NAME, _base("XDG_STATE_HOME", ".local/state") / NAME / "reuse"


def _base(variable: str, default: str) -> Path:
    stated = Path(os.environ.get(variable, ""))
    if stated.is_absolute():
        return stated
    try:
        return Path.home() / default
    except RuntimeError as problem:
        raise NotUsable(f"this user has no home directory: set {variable}") from problem


def _make_own(place: Path) -> None:
    try:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = place.lstat()
    except OSError as problem:
        raise NotUsable(f"{place} cannot be made: {problem.strerror}") from problem
    if stat.S_ISLNK(found.st_mode):
        raise NotUsable(f"{place} is a link: remove it, or set XDG_CACHE_HOME to the directory that it leads to")
    if found.st_uid != os.getuid():
        raise NotUsable(f"{place} belongs to another user: remove it, or set XDG_CACHE_HOME to a directory of your own")
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise NotUsable(f"other users can write to {place}: empty it, then run chmod 700 {place}")


def _regular(out: Path) -> Iterator[Path]:
    """Every file below ``out``; OSError for a link or anything else that is not a plain file."""
    for root, folders, names in os.walk(out):
        for name in (*folders, *names):
            path = Path(root, name)
            mode = path.lstat().st_mode
            if stat.S_ISREG(mode):
                yield path
            elif not stat.S_ISDIR(mode):
                raise OSError(f"{path} is neither a file nor a folder")


def _open(path: Path) -> int:
    """A handle to a plain file; OSError for a link, and for a pipe or a device, without waiting for it."""
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(f"{path} is not a plain file")
    return handle


def _read(path: Path) -> bytes:
    with open(_open(path), "rb") as file:
        return file.read()


def _copy(source: Path, target: Path) -> tuple[int, str]:
    """Copy one file: the size and the digest of the bytes that were written, whatever happens to ``source`` meanwhile."""
    target.parent.mkdir(parents=True, exist_ok=True)
    digest, size = hashlib.sha256(), 0
    with open(_open(source), "rb") as read, open(target, "xb") as written:
        while chunk := read.read(CHUNK):
            digest.update(chunk)
            size += written.write(chunk)
    return size, digest.hexdigest()


def _write(path: Path, text: str) -> None:
    """Put ``text`` at ``path``, whole or not at all."""
    fresh = path.with_name(f".{path.name}")
    fresh.write_text(text)
    fresh.rename(path)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)

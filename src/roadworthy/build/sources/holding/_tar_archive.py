"""Untrusted ``.tar.gz`` archives: names, and all members written to a folder, in one pass, within limits."""

from __future__ import annotations

import gzip
import shutil
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from roadworthy.build.sources.parsers.zip_archive import EXPANSION, MEMBERS, READ
from roadworthy.core.errors import SourceUnreadable

GZIP = b"\x1f\x8b"
BROKEN = (tarfile.TarError, zlib.error, EOFError, OSError, ValueError, OverflowError, RecursionError)


def names(path: Path) -> tuple[str, ...]:
    """The names of the members; SourceUnreadable where the archive is damaged or holds what ``unpack`` refuses."""
    with _members(path) as members:
        return tuple(name for name, _ in members)


def unpack(path: Path, to: Path) -> None:
    """Write all members below the new folder ``to``; SourceUnreadable for what is not a file or folder, and for a name that leads out."""
    to.mkdir(parents=True)
    with _members(path) as members:
        for name, content in members:
            there = to / name
            if content is None:
                there.mkdir(parents=True, exist_ok=True)
            else:
                there.parent.mkdir(parents=True, exist_ok=True)
                with open(there, "xb") as copied:
                    shutil.copyfileobj(content, copied, 2**20)


class _Counted:
    """The unpacked bytes of a gzip file, up to a limit; a single header may not ask for more than ``READ``."""

    def __init__(self, path: Path, packed: Any) -> None:
        self._path, self._packed = path, packed
        self._left = EXPANSION * path.stat().st_size

    def read(self, size: int) -> bytes:
        data: bytes = self._packed.read(min(size, READ))
        self._left -= len(data)
        if self._left < 0 or size > READ:
            raise SourceUnreadable(f"{self._path} would unpack to far more than a file of its size can hold: a decompression bomb")
        return data


@contextmanager
def _members(path: Path) -> Iterator[Iterator[tuple[str, Any]]]:
    """The members in order: each name, with the content of a file and None for a folder."""
    try:
        with gzip.open(path) as packed, tarfile.open(fileobj=_Counted(path, packed), mode="r|") as archive:  # type: ignore[call-overload]
            yield _checked(path, archive)
    except SourceUnreadable:
        raise
    except BROKEN as problem:
        raise SourceUnreadable(f"{path} is a tar archive that is cut short or damaged ({problem}); fetch it again") from None


def _checked(path: Path, archive: tarfile.TarFile) -> Iterator[tuple[str, Any]]:
    seen: set[str] = set()
    for member in archive:
        pure = PurePosixPath(member.name)
        name = str(pure)
        if pure.is_absolute() or ".." in pure.parts or "\\" in member.name:
            raise SourceUnreadable(f"{path} holds a member named {member.name!r}, which leads out of the archive")
        if not (member.isreg() or member.isdir()):
            raise SourceUnreadable(f"{path} holds {member.name!r}, which is neither a file nor a folder")
        if member.isreg() and name in seen:
            raise SourceUnreadable(f"{path} holds two members of one name, so its meaning depends on the reader")
        seen.add(name)
        if len(seen) > MEMBERS:
            raise SourceUnreadable(f"{path} holds more than {MEMBERS} members, more than any model file")
        yield name, archive.extractfile(member) if member.isreg() else None

"""Untrusted zip archives: members are read by name and within limits; only what holds a model file of another format is unpacked."""

from __future__ import annotations

import errno
import shutil
import stat
import struct
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Self

from roadworthy.core.errors import SourceUnreadable

MEMBERS = 200_000
EXPANSION = 200
"""Unpacked bytes for each byte of the file, at most: JSON and source code stay below it, a decompression bomb has 1000 and more."""
READ = 64 * 2**20
BROKEN = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError, ValueError, NotImplementedError, RuntimeError, KeyError)


class Archive:
    """An open archive. ``names`` lists members without the folder that torch puts around all of them."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._zip = zipfile.ZipFile(path)
        except BROKEN as problem:
            raise SourceUnreadable(f"{path} is a zip archive that is cut short or damaged ({problem}); fetch it again") from None
        try:
            self._check()
        except BaseException:
            self._zip.close()
            raise
        files = [info.filename for info in self._zip.infolist()]
        roots = {name.partition("/")[0] for name in files if "/" in name}
        wrapped = len(roots) == 1 and all("/" in name for name in files)
        self._prefix = f"{roots.pop()}/" if wrapped else ""
        self.names = tuple(name.removeprefix(self._prefix) for name in files)

    def _check(self) -> None:
        infos = self._zip.infolist()
        if len(infos) > MEMBERS:
            raise SourceUnreadable(f"{self._path} holds {len(infos)} members, more than any model file")
        if len({info.filename for info in infos}) != len(infos):
            raise SourceUnreadable(f"{self._path} holds two members of one name, so its meaning depends on the reader")
        for info in infos:
            pure = PurePosixPath(info.filename)
            if pure.is_absolute() or ".." in pure.parts or "\\" in info.filename:
                raise SourceUnreadable(f"{self._path} holds a member named {info.filename!r}, which leads out of the archive")
            if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise SourceUnreadable(f"{self._path} holds {info.filename!r}, which is neither a file nor a folder")
        size = self._path.stat().st_size
        if sum(info.compress_size for info in infos) > size or sum(info.file_size for info in infos) > EXPANSION * size:
            raise SourceUnreadable(f"{self._path} would unpack to far more than a file of {size} bytes can hold: a decompression bomb")

    def size(self, name: str) -> int:
        """The member's size in bytes once unpacked."""
        return self._zip.getinfo(self._prefix + name).file_size

    def read(self, name: str, limit: int = READ) -> bytes:
        """The member's bytes; SourceUnreadable when it is larger than ``limit``, or damaged."""
        try:
            with self._zip.open(self._prefix + name) as file:
                data = file.read(limit + 1)
        except BROKEN as problem:
            raise SourceUnreadable(f"{self._path}: {name} is damaged ({problem}); fetch the file again") from None
        if len(data) > limit:
            raise SourceUnreadable(f"{self._path}: {name} is larger than the {limit} bytes that are read")
        return data

    def copy(self, name: str, to: Path) -> None:
        """Write the member to a file, for readers that need one. The size of all members was checked when the archive was opened."""
        try:
            with self._zip.open(self._prefix + name) as file, open(to, "xb") as copied:
                shutil.copyfileobj(file, copied, 2**20)
        except BROKEN as problem:
            if isinstance(problem, OSError) and problem.errno == errno.ENOSPC:
                raise
            raise SourceUnreadable(f"{self._path}: {name} is damaged ({problem}); fetch the file again") from None

    def unpack(self, to: Path) -> None:
        """Write all members below the new folder ``to``, for what is read as a whole."""
        to.mkdir(parents=True)
        for name in self.names:
            there = to / name
            try:
                (there if name.endswith("/") else there.parent).mkdir(parents=True, exist_ok=True)
            except OSError:
                raise SourceUnreadable(f"{self._path} holds {name!r} below a member that is not a folder") from None
            if not name.endswith("/"):
                self.copy(name, there)

    def close(self) -> None:
        self._zip.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

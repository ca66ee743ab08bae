"""A file or directory that the user named, with the views of it that several source formats look into."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from roadworthy.build.sources.parsers import hdf5 as parsers_hdf5
from roadworthy.build.sources.parsers import protobuf, torch_save
from roadworthy.build.sources.parsers.hdf5 import Hdf5File
from roadworthy.build.sources.parsers.torch_save import TorchSave
from roadworthy.build.sources.parsers.untrusted import mapped
from roadworthy.build.sources.parsers.zip_archive import Archive
from roadworthy.core.errors import SourceUnreadable

HEAD = 4096
HDF5 = b"\x89HDF\r\n\x1a\n"
ZIP = (b"PK\x03\x04", b"PK\x05\x06")


@dataclass(frozen=True)
class SourceFile:
    """``head`` are the first 4096 bytes; of a directory there are none.

    Each view is read at most once, on first use, and raises SourceUnreadable where its container is damaged.
    """

    path: Path
    head: bytes

    @cached_property
    def members(self) -> tuple[str, ...]:
        """The names in a zip archive, without the folder that torch puts around all of them; empty for any other file."""
        if not self.head.startswith(ZIP):
            return ()
        with Archive(self.path) as archive:
            return archive.names

    @cached_property
    def fields(self) -> Mapping[int, int]:
        """The protobuf wire type of each top-level field; empty for a file that does not parse as protobuf to its very end."""
        if self.is_text:
            return {}
        try:
            return protobuf.wire_types(mapped(self.path))
        except (ValueError, OSError):
            return {}

    @cached_property
    def pickle(self) -> TorchSave | None:
        """What ``torch.save`` or ``pickle.dump`` wrote, followed and not run; ``None`` for any other file."""
        # TorchScript keeps its constants in a second pickle; torch.save has one.
        if "data.pkl" in self.members and "constants.pkl" not in self.members:
            return torch_save.zipped(self.path)
        if self.head[:1] == b"\x80" and len(self.head) > 1 and 2 <= self.head[1] <= 5:
            return torch_save.unzipped(self.path)
        return None

    @cached_property
    def hdf5(self) -> Hdf5File | None:
        """The attributes and the datasets of an HDF5 file; ``None`` for any other file."""
        return parsers_hdf5.read(self.path) if self.head.startswith(HDF5) else None

    @cached_property
    def is_text(self) -> bool:
        """Whether the file begins with printable UTF-8."""
        try:
            text = self.head.decode("utf-8")
        except UnicodeDecodeError as problem:
            # The head may end within a character.
            if problem.start < len(self.head) - 4:
                return False
            text = self.head[: problem.start].decode("utf-8")
        return bool(text) and all(character.isprintable() or character in "\n\r\t\f" for character in text)


def read(path: Path) -> SourceFile:
    """The file or directory at ``path``; SourceUnreadable where it is missing, empty or cannot be read."""
    if path.is_dir():
        return SourceFile(path, b"")
    try:
        with open(path, "rb") as file:
            head = file.read(HEAD)
    except FileNotFoundError:
        raise SourceUnreadable(f"{path} does not exist") from None
    except OSError as problem:
        raise SourceUnreadable(f"{path} cannot be read: {problem.strerror}") from None
    if not head:
        raise SourceUnreadable(f"{path} is empty; fetch it again")
    return SourceFile(path, head)

"""A linear map in an ``.npz`` archive: the source that needs no framework."""

from __future__ import annotations

from roadworthy.build.load import npy_header
from roadworthy.build.load.archive import Archive
from roadworthy.build.load.facts import StaticFacts
from roadworthy.build.load.opened import Model
from roadworthy.build.load.source_file import SourceFile
from roadworthy.core.stages import Source

KIND = "npz"
FRAMEWORK = "numpy"
SUFFIXES = (".npz",)
LARGEST = 2**32


def sniff(file: SourceFile) -> bool:
    """An archive of arrays and nothing else."""
    return bool(file.members) and all(name.endswith(".npy") for name in file.members)


def inspect(file: SourceFile) -> StaticFacts:
    """Each array by its header."""
    with Archive(file.path) as archive:
        return StaticFacts(tuple(npy_header.read(archive.read(name, LARGEST), name, file.path) for name in archive.names))


def open(source: Source) -> Model:
    """The linear map; see ``npz.read``."""
    from roadworthy.build.load import npz

    return npz.read(source)

"""A linear map in an ``.npz`` archive: the source that needs no framework."""

from __future__ import annotations

from roadworthy.build.sources.model import Model
from roadworthy.build.sources.parsers import npy
from roadworthy.build.sources.parsers.zip_archive import Archive
from roadworthy.build.sources.source_file import SourceFile
from roadworthy.build.sources.static_facts import StaticFacts
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
        return StaticFacts(tuple(npy.read(archive.read(name, LARGEST), name, file.path) for name in archive.names))


def open(source: Source) -> Model:
    """The linear map; see ``npz.read``."""
    from roadworthy.build.sources import npz

    return npz.read(source)

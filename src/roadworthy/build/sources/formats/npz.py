"""A linear map in an ``.npz`` archive: the source that needs no framework."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from roadworthy.build.sources.model import Model
from roadworthy.build.sources.parsers.zip_archive import Archive
from roadworthy.build.sources.source_file import SourceFile
from roadworthy.build.sources.static_facts import StaticFacts
from roadworthy.core.errors import SourceUnreadable
from roadworthy.core.stages import Source
from roadworthy.core.types import TensorSpec

KIND = "npz"
FRAMEWORK = "numpy"
SUFFIXES = (".npz",)
LARGEST = 2**32
"""Bytes of an array that are read at most."""


def sniff(file: SourceFile) -> bool:
    """An archive of arrays and nothing else."""
    return bool(file.members) and all(name.endswith(".npy") for name in file.members)


def inspect(file: SourceFile) -> StaticFacts:
    """Each array by its header."""
    with Archive(file.path) as archive:
        return StaticFacts(tuple(_array(archive.read(name, LARGEST), name, file.path) for name in archive.names))


def open(source: Source) -> Model:
    """The linear map; see ``npz.read``."""
    from roadworthy.build.sources import npz

    return npz.read(source)


def _array(data: bytes, name: str, path: Path) -> TensorSpec:
    """What the member ``name`` holds; SourceUnreadable where it is not an array."""
    file = io.BytesIO(data)
    try:
        major = np.lib.format.read_magic(file)[0]
        read = np.lib.format.read_array_header_1_0 if major == 1 else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(file)
    except (ValueError, SyntaxError, TypeError, EOFError, OverflowError, MemoryError, RecursionError) as problem:
        raise SourceUnreadable(f"{path}: {name} is not an array ({str(problem)[:120]})") from None
    return TensorSpec(name.removesuffix(".npy"), str(dtype), tuple(shape))

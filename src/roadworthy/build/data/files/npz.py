"""Arrays in an ``.npz`` file: ``x`` or arrays named like the inputs, and optionally the targets."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

import numpy as np

from roadworthy.core.errors import DataError
from roadworthy.core.text import first_line
from roadworthy.core.types import Array

HINT = "give byte strings as a folder of files, or by a callable that returns them as a list"


def read_file(path: Path) -> dict[str, Array]:
    """The arrays in ``path`` by name; raises DataError where it is damaged, or holds Python objects (it is never unpickled)."""
    try:
        if not zipfile.is_zipfile(path):
            raise DataError(f"{path} is not an .npz file, or is truncated; save one with numpy.savez(file, x=..., y=...)")
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error, NotImplementedError) as problem:
        if "allow_pickle" in str(problem):
            raise DataError(f"{path} holds Python objects, which would have to be unpickled: {HINT}") from None
        raise DataError(f"{path} cannot be read as .npz data: {first_line(problem, empty='it is damaged')}") from None
    except MemoryError:
        raise DataError(f"{path} does not fit into memory; use fewer samples") from None
    # NumPy returns a member without an array's magic number as its bytes.
    for name, array in arrays.items():
        if not isinstance(array, np.ndarray):
            raise DataError(f"{path}: {name} is not a NumPy array")
    return arrays

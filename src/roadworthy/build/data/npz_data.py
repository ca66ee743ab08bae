"""Data from an ``.npz`` file: ``x`` or arrays named like the inputs, and optionally the targets."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

import numpy as np

from roadworthy.build.data.array_data import BYTES_HINT, named_samples
from roadworthy.build.data.raw_data import ExpectedInputs, RawData
from roadworthy.build.data.user_targets import take_targets
from roadworthy.core.errors import DataError
from roadworthy.core.text import first_line
from roadworthy.core.types import Array


def read_npz(path: Path, expected: ExpectedInputs) -> RawData:
    """The samples in the file at ``path``; raises DataError where it is damaged, or holds Python objects (it is never unpickled)."""
    arrays = _loaded(path)
    targets = take_targets(arrays, expected.names, str(path))
    return named_samples(arrays, targets, expected, str(path))


def _loaded(path: Path) -> dict[str, Array]:
    try:
        if not zipfile.is_zipfile(path):
            raise DataError(f"{path} is not an .npz file, or is truncated; save one with numpy.savez(file, x=..., y=...)")
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error, NotImplementedError) as problem:
        if "allow_pickle" in str(problem):
            raise DataError(f"{path} holds Python objects, which would have to be unpickled: {BYTES_HINT}") from None
        raise DataError(f"{path} cannot be read as .npz data: {first_line(problem, empty='it is damaged')}") from None
    except MemoryError:
        raise DataError(f"{path} does not fit into memory; use fewer samples") from None
    # NumPy returns a member without an array's magic number as its bytes.
    for name, array in arrays.items():
        if not isinstance(array, np.ndarray):
            raise DataError(f"{path}: {name} is not a NumPy array")
    return arrays

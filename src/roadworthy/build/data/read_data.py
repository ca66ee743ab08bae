"""Data in any form that ``dataset.gather`` takes, given to the reader of that form."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from roadworthy.build.data import user_function
from roadworthy.build.data.array_data import read_arrays
from roadworthy.build.data.folder_data import read_folder
from roadworthy.build.data.npz_data import read_npz
from roadworthy.build.data.raw_data import ExpectedInputs, RawData
from roadworthy.core.errors import DataError


def read_data(data: Any, expected: ExpectedInputs) -> RawData:
    """The data behind a path, ``module:callable`` or arrays in memory; raises DataError where it cannot be read as samples."""
    if not isinstance(data, str | Path):
        return read_arrays(data, expected, "the data")
    path = Path(data)
    if path.is_dir():
        return read_folder(path, expected)
    if path.is_file():
        return read_npz(path, expected)
    if isinstance(data, str) and (function := user_function.named_in(data)):
        return read_arrays(user_function.call(function), expected, data)
    raise DataError(f"there is no data at {data}; give a folder of images or other files, an .npz file, or module:callable")

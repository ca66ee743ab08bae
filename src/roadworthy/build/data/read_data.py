"""Data in any form that ``dataset.gather`` takes, given to the reader of that form."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from roadworthy.build import user_object
from roadworthy.build.data import file_data
from roadworthy.build.data.array_data import named_samples, read_python, wanted_of
from roadworthy.build.data.files import arrays
from roadworthy.build.data.folder_data import read_folder
from roadworthy.build.data.live import spool
from roadworthy.build.data.raw_data import ExpectedInputs, RawData
from roadworthy.core.errors import DataError


def read_data(data: Any, expected: ExpectedInputs, scratch: Path) -> RawData:
    """The data behind a path or ``module:callable``, or in memory; a stream goes through the new directory ``scratch``.

    Raises DataError where it cannot be read as samples.
    """
    if not isinstance(data, str | Path):
        return read_python(data, expected, scratch, "the data")
    path = Path(data)
    if path.is_dir():
        return _read_directory(path, expected)
    if path.is_file():
        return file_data.read_file(path, expected)
    if isinstance(data, str) and (function := user_object.named_in(data)):
        return read_python(user_object.call(function), expected, scratch, data)
    raise DataError(f"there is no data at {data}; give a folder, a file ({file_data.FORMS}), or module:callable")


def _read_directory(path: Path, expected: ExpectedInputs) -> RawData:
    if spool.is_handed_over(path):
        return named_samples(spool.open_folder(path), expected, "the data")
    if arrays.is_folder_of_arrays(path):
        return file_data.read_arrays(arrays.read_folder(path), expected, str(path))
    wanted_of(expected).refuse_targets(str(path))
    return read_folder(path, expected)

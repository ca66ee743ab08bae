"""Arrays of samples in another dtype, without a loss: a fraction may be rounded, a whole number may not change."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from roadworthy.core import samples as sample_sets
from roadworthy.core.errors import DataError, InvalidRequest
from roadworthy.core.exact import cast_exactly
from roadworthy.core.samples import SampleSet, write_targets
from roadworthy.core.types import BYTES, Array

CHUNK = 256
"""Samples that are cast at once."""


def write(out: Path, samples: SampleSet, arrays: Mapping[str, tuple[Array, str]], rows: Array) -> SampleSet:
    """A sample set in the new directory ``out`` of ``arrays``, each with the dtype that it gets, and the targets of ``samples``.

    ``rows`` says which row of the user's data each sample is. Raises DataError, naming the row, for a value that would change.
    """
    out.mkdir(parents=True)
    for name, (array, dtype) in arrays.items():
        if BYTES in (dtype, str(array.dtype)):
            sample_sets.write_array(out, name, cast(array, dtype, name, rows))
        else:
            _write_numbers(out / sample_sets.file_of(name), array, dtype, name, rows)
    for name, targets in samples.open_targets().items():
        write_targets(out, name, targets)
    sample_sets.write_source_rows(out, rows)
    return SampleSet(out, tuple(arrays), samples.count, samples.targets)


def cast(array: Array, dtype: str, name: str, rows: Array) -> Array:
    """``array`` [samples, ...] with ``dtype``; DataError names the row of the user's data whose value would change."""
    try:
        return _cast(name, array, dtype)
    except InvalidRequest:
        for sample, row in zip(array, rows.tolist(), strict=True):
            try:
                _cast(name, sample, dtype)
            except InvalidRequest as problem:
                raise DataError(f"the data, row {row}: {problem.message}") from None
        raise


def matrix(columns: Mapping[str, Array], rows: Array) -> Array:
    """Columns [samples] side by side, of one dtype that holds all of them; DataError names a column that is not numbers."""
    for name, column in columns.items():
        if column.dtype == np.dtype(BYTES):
            text = column[0].decode(errors="replace")
            raise DataError(
                f"the column {name!r} of the data holds text ({text[:40]!r} in row {rows[0]}), and the model takes numbers: turn it into "
                "numbers, or leave it out"
            )
    dtype = str(np.result_type(*columns.values()))
    return np.stack([cast(column, dtype, name, rows) for name, column in columns.items()], axis=1)


def castable(array: Array, dtype: str) -> bool:
    """Whether ``array`` has ``dtype`` without a change of any value."""
    try:
        _cast("", array, dtype)
    except InvalidRequest:
        return False
    return True


def _cast(name: str, array: Array, dtype: str) -> Array:
    wanted = np.dtype(dtype)
    if array.dtype == wanted:
        return array
    if np.dtype(BYTES) in (array.dtype, wanted):
        held = "texts or byte strings" if array.dtype == np.dtype(BYTES) else str(array.dtype)
        takes = "texts or byte strings" if wanted == np.dtype(BYTES) else dtype
        raise InvalidRequest(f"input {name!r} holds {held}, and the model takes {takes}")
    if array.dtype.kind == "c" and wanted.kind == "c":
        return np.asarray(array.astype(wanted))
    if array.dtype.kind == "f" and wanted.kind in "iub":
        return cast_exactly(name, _whole(name, array, wanted), wanted)
    return cast_exactly(name, array, wanted)


def _whole(name: str, array: Array, wanted: np.dtype[np.generic]) -> Array:
    """Floats that are whole numbers, as such."""
    odd = ~(np.isfinite(array) & (array == np.rint(array)) & (np.abs(array) < 2.0**63))
    if odd.any():
        value = array[odd].reshape(-1)[0]
        why = "is missing (NaN), and whole numbers have no value for that: fill it first" if np.isnan(value) else f"is {value}"
        raise InvalidRequest(f"a value of input {name!r} {why}; the model takes whole numbers ({wanted})")
    return array.astype(np.int64)


def _write_numbers(path: Path, array: Array, dtype: str, name: str, rows: Array) -> None:
    # Plain writes and no writable mapping: on a full disk a mapping kills the process where a write raises.
    with open(path, "wb") as file:
        described = {"descr": np.lib.format.dtype_to_descr(np.dtype(dtype)), "fortran_order": False, "shape": array.shape}
        np.lib.format.write_array_header_1_0(file, described)
        for chunk in _chunks(array, dtype, name, rows):
            file.write(np.ascontiguousarray(chunk).data)


def _chunks(array: Array, dtype: str, name: str, rows: Array) -> Iterator[Array]:
    for start in range(0, len(array), CHUNK):
        part = slice(start, start + CHUNK)
        yield cast(np.asarray(array[part]), dtype, name, rows[part])

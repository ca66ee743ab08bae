"""Columns of a pandas table as arrays; pandas itself is not imported."""

from __future__ import annotations

from typing import Any

import numpy as np

from roadworthy.build.data.live import values
from roadworthy.build.data.live.wanted import Chunk, Wanted
from roadworthy.core.errors import DataError
from roadworthy.core.samples import TARGET, Targets
from roadworthy.core.types import BYTES, Array

NUMBERS = "biuf"


def chunk_of(frame: Any, wanted: Wanted, what: str) -> Chunk:
    """Every column of a DataFrame as an array [rows] (of cells that are lists, [rows, n]); those that are named as targets apart.

    Raises DataError for a column that no model can take, with its name and the row.
    """
    names = [str(name) for name in frame.columns]
    if frame.columns.nlevels > 1 or len(set(names)) < len(names):
        raise DataError(f"{what} has several columns of one name, or names of several levels; give each column a name of its own")
    wanted.refuse_targets(what, names)
    arrays = {name: array_of(frame.iloc[:, place], f"{what}: the column {name!r}") for place, name in enumerate(names)}
    inputs = {name: array for name, array in arrays.items() if not wanted.is_target(name)}
    if not inputs:
        raise DataError(f"{what} has no column for an input; it has {', '.join(names) or 'none'}")
    return Chunk(inputs, targets_of(frame, tuple(name for name in names if name not in inputs), what))


def targets_of(frame: Any, names: tuple[str, ...], what: str) -> Targets:
    """The columns ``names`` as targets: one alone, numbers as one array [rows, columns], others each by its name."""
    columns = [str(name) for name in frame.columns]
    arrays = [array_of(frame.iloc[:, columns.index(name)], f"{what}: the column {name!r}") for name in names]
    read = [np.array([text.decode() for text in array]) if array.dtype == np.dtype(BYTES) else array for array in arrays]
    if len(read) > 1 and all(array.ndim == 1 and array.dtype.kind in NUMBERS for array in read):
        return {TARGET: np.stack(read, axis=1)}
    return {TARGET if len(names) == 1 else name: array for name, array in zip(names, read, strict=True)}


def array_of(series: Any, what: str) -> Array:
    """One column: numbers, where a missing one is NaN, or texts."""
    if series.dtype.kind in "mM":
        raise DataError(f"{what} is {series.dtype}; turn it into numbers first")
    if isinstance(series.dtype, np.dtype) and series.dtype.kind in NUMBERS:
        return np.asarray(series)
    # pandas's own types of numbers say NA where a value is missing; of whole numbers no array can.
    if getattr(series.dtype, "kind", "") in NUMBERS and type(series.dtype).__name__ != "CategoricalDtype":
        return np.asarray(series.to_numpy(np.float64, na_value=np.nan) if series.hasnans else series.to_numpy(series.dtype.numpy_dtype))
    held = series.tolist()
    first = next((value for value in held if value is not None), None)
    if isinstance(first, list | tuple | np.ndarray):
        return _lists(held, what)
    if all(isinstance(value, bool | np.bool_) for value in held):
        return np.array(held, np.bool_)
    return values.column(held, what)


def _lists(held: list[Any], what: str) -> Array:
    rows = [np.asarray(value) if value is not None else None for value in held]
    for number, row in enumerate(rows):
        if row is None or rows[0] is None or row.shape != rows[0].shape:
            raise DataError(f"{what}, row {number} has {'no value' if row is None else f'{row.shape[0]} values'}; every row has as many")
    return values.array_of(np.stack([row for row in rows if row is not None]), what)


def is_frame(data: Any) -> bool:
    """Whether ``data`` is a DataFrame of pandas."""
    return ("pandas", "DataFrame") in _classes(data)


def is_series(data: Any) -> bool:
    """Whether ``data`` is a Series of pandas."""
    return ("pandas", "Series") in _classes(data)


def _classes(data: Any) -> list[tuple[str, str]]:
    return [(base.__module__.partition(".")[0], base.__name__) for base in type(data).__mro__]

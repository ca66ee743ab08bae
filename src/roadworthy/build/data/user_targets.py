"""Targets as users have them to arrays by name: one array, a dict, a list of dicts, rows of different lengths, texts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from roadworthy.core.errors import DataError
from roadworthy.core.samples import TARGET, Targets, one_each, split_rows
from roadworthy.core.types import Array

LABEL_NAMES = ("y", "labels", "label", "targets", "target")
PREFIX, ENDS = "y.", ".ends"


def read_targets(y: Any, what: str) -> dict[str, Array]:
    """``y`` as arrays by name, samples first; ``{}`` for None. One array has the name ``TARGET``.

    A mapping gives several by name, and so does a list of mappings with the same keys, one a sample (the form of torchvision's detection
    data). Rows of different lengths become an object array of arrays (``core.samples``), byte strings text. Raises DataError, with
    ``what`` in front.
    """
    if y is None:
        return {}
    if isinstance(y, Mapping):
        return {str(name): _array(value, f"{what}: y[{name!r}]") for name, value in y.items()}
    if _are(y, Mapping):
        return {name: _array([sample[name] for sample in y], f"{what}: y[{name!r}]") for name in _common_keys(y, what)}
    return {TARGET: _array(y, f"{what}: y")}


def take_targets(arrays: dict[str, Array], inputs: Sequence[str], what: str) -> dict[str, Array]:
    """The targets among the arrays of a file, which are taken out of ``arrays``; those that are named like ``inputs`` stay.

    ``y`` or ``labels`` is one array. ``y.boxes`` and ``y.classes`` are two by name. ``y.boxes.ends`` (int64 [count]) says where the rows
    of each sample end in ``y.boxes``. Raises DataError for both forms at once.
    """
    named = {name: arrays.pop(name) for name in list(arrays) if name.startswith(PREFIX) and name not in inputs}
    one = next(((name, arrays.pop(name)) for name in LABEL_NAMES if name in arrays and name not in inputs), None)
    ends = {name.removesuffix(ENDS): named.pop(name) for name in list(named) if name.endswith(ENDS)}
    if one is not None:
        only, array = one
        if set(ends) == {only} and not named:
            return {TARGET: _rows(array, ends[only], f"{what}: {only}")}
        if named or ends:
            raise DataError(f"{what} holds {only!r} and {next(iter((*named, *ends)))!r}: give one array of targets, or arrays by name")
        return read_targets(array, what)
    if stray := [name for name in ends if name not in named]:
        raise DataError(f"{what} holds {stray[0] + ENDS!r} and no {stray[0]!r}, whose ends it says")
    split = {name: _rows(array, ends[name], f"{what}: {name}") if name in ends else array for name, array in named.items()}
    return read_targets({name.removeprefix(PREFIX): array for name, array in split.items()}, what)


def check_length(targets: Targets, count: int, what: str) -> None:
    """Raises DataError where there are not ``count`` of the targets."""
    for name, array in targets.items():
        if len(array) != count:
            labels = f"of y[{name!r}]" if name else "labels"
            raise DataError(f"{what} has {count} samples and {len(array)} {labels}")


def unfastened(value: Any) -> Any:
    """A tensor of PyTorch off its gradient tape and its device; no framework is imported for it. Everything else as it is."""
    for step in ("detach", "cpu"):
        if callable(method := getattr(value, step, None)):
            value = method()
    return value


def _array(value: Any, what: str) -> Array:
    value = unfastened(value)
    if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        raise DataError(f"{what} has masked values, which no metric takes; fill them first, for example with .filled(0)")
    items = list(value) if isinstance(value, list | tuple) or (isinstance(value, np.ndarray) and value.dtype == object) else None
    array = _plain(value, what) if items is None else _from_items([unfastened(item) for item in items], what)
    if array.dtype.kind not in "biufUO" or array.ndim == 0:
        raise DataError(f"{what} is {array.dtype} {list(array.shape)}; targets are arrays of numbers or texts, samples first")
    return array


def _from_items(items: Sequence[Any], what: str) -> Array:
    """One target a sample: equal shapes give one array, other shapes an object array of arrays."""
    if items and all(isinstance(item, str | bytes) for item in items):
        return np.array([_text(item, what) for item in items])
    arrays = [_plain(list(item) if isinstance(item, set | frozenset) else item, what) for item in items]
    if len({array.shape for array in arrays}) <= 1:
        return _plain(np.stack(arrays) if arrays else np.zeros(0), what)
    if any(array.ndim == 0 for array in arrays):
        raise DataError(f"{what} holds single values and arrays; give one form for all samples")
    # An empty list of boxes has no second axis: it takes that of the others.
    inner = next(array.shape[1:] for array in arrays if array.size)
    dtype = np.result_type(*(array.dtype for array in arrays if array.size))
    if any(array.size and array.shape[1:] != inner for array in arrays):
        raise DataError(f"{what} holds arrays that differ in more than their first axis; give arrays [any number, ...] of equal rows")
    return one_each(array.astype(dtype) if array.size else np.zeros((0, *inner), dtype) for array in arrays)


def _plain(value: Any, what: str) -> Array:
    try:
        array = np.asarray(value)
    except (TypeError, ValueError, RuntimeError) as problem:
        raise DataError(f"{what} cannot be read as an array: {problem}") from None
    if array.dtype.kind == "S" or (array.dtype == object and all(isinstance(item, str | bytes) for item in array.flat)):
        return np.array([_text(item, what) for item in array.flat]).reshape(array.shape)
    if array.dtype == object and not all(isinstance(item, np.ndarray) for item in array.flat):
        other = next(type(item).__name__ for item in array.flat if not isinstance(item, np.ndarray))
        raise DataError(f"{what} holds a {other}; targets are arrays of numbers or texts, samples first")
    return array


def _text(item: str | bytes, what: str) -> str:
    if isinstance(item, str):
        return item
    try:
        return item.decode()
    except UnicodeDecodeError:
        raise DataError(f"{what} holds a byte string that is not UTF-8 text") from None


def _rows(array: Array, ends: Array, what: str) -> Array:
    try:
        return split_rows(array, ends)
    except ValueError:
        raise DataError(f"{what} has {len(array)} rows, and {what}{ENDS} does not say where those of each sample end") from None


def _are(value: Any, kind: type) -> bool:
    return isinstance(value, list | tuple | np.ndarray) and len(value) > 0 and all(isinstance(item, kind) for item in value)


def _common_keys(samples: Iterable[Mapping[Any, Any]], what: str) -> list[str]:
    keys: list[str] | None = None
    for number, sample in enumerate(samples):
        keys = keys if keys is not None else list(sample)
        if set(sample) != set(keys):
            raise DataError(f"{what}: y[{number}] has the keys {', '.join(map(str, sample))}, and y[0] has {', '.join(map(str, keys))}")
    return keys or []

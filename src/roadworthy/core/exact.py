"""The one rule for a value whose dtype changes on its way into a model: the number stays the same, or the request is refused.

A whole number arrives as exactly that number. A fraction is rounded to the nearest that the dtype has, as in every framework, but what
is finite stays finite. Fractions never become whole numbers, and only numbers and booleans become numbers.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from roadworthy.core.errors import InvalidRequest
from roadworthy.core.types import Array


def as_array(name: str, item: Any) -> Array:
    """``item`` as an array of its own dtype; InvalidRequest if it is not an array, or has masked values, which an array would reveal."""
    if isinstance(item, np.ma.MaskedArray) and np.ma.is_masked(item):
        raise InvalidRequest(f"input {name!r} has masked values, which no model takes; fill them first, for example with .filled(0)")
    try:
        return np.asarray(item)
    except (TypeError, ValueError, RuntimeError) as problem:
        # A tensor that keeps a gradient raises RuntimeError, one of a type that NumPy lacks TypeError.
        raise InvalidRequest(f"input {name!r} is not an array ({problem})") from None


def cast_exactly(name: str, array: Array, dtype: DTypeLike) -> Array:
    """``array`` itself where it has ``dtype``, else a C-contiguous copy of that dtype.

    Raises InvalidRequest, naming the input, the value, its position and the dtype, where the copy would not be the same numbers.
    """
    wanted = np.dtype(dtype)
    if array.dtype == wanted:
        return array
    if array.dtype.kind not in "biuf" or (array.dtype.kind == "f" and wanted.kind != "f"):
        raise _not_a_number(name, array, wanted)
    with np.errstate(all="ignore"):
        cast = array.astype(wanted, order="C")
    changed = _changed(array, cast)
    if changed is not None and changed.any():
        position = np.unravel_index(int(changed.argmax()), changed.shape)
        raise _refusal(name, array[position].item(), position, wanted)
    return cast


def pack_exactly(name: str, flat: Sequence[Any], dtype: DTypeLike, shape: tuple[int, ...]) -> Array:
    """``flat``, Python's own numbers, as an array of ``shape`` that is not to be written to; InvalidRequest as ``cast_exactly``.

    For a dtype of whole numbers there are ``int`` alone in ``flat``, for fractions ``int`` and ``float``.
    """
    wanted = np.dtype(dtype)
    try:
        # Half the time that NumPy takes for a list, which it goes through twice; and a number out of range is an error here.
        packed = struct.pack(f"{len(flat)}{wanted.char}", *flat)
    except (struct.error, OverflowError):
        index = next((index for index, value in enumerate(flat) if not _fits(value, wanted)), 0)
        raise _refusal(name, flat[index], np.unravel_index(index, shape), wanted) from None
    array: Array = np.frombuffer(packed, wanted)
    if wanted.kind == "f":
        _check_fractions(name, flat, array, shape)
    return array.reshape(shape)


def _check_fractions(name: str, flat: Sequence[Any], array: Array, shape: tuple[int, ...]) -> None:
    """What was packed is finite where it was, and each whole number the same; only large values need a look of their own."""
    # Written so that a NaN needs one too.
    large = np.flatnonzero(~(np.abs(array) < _most_exact(array.dtype)))
    if not len(large) or (np.isfinite(array[large]).all() and int not in set(map(type, flat))):
        return
    for index, held in zip(large.tolist(), array[large].tolist(), strict=True):
        value = flat[index]
        # Python compares a whole number with a fraction exactly.
        if not (held == value or math.isnan(held) or (isinstance(value, float) and math.isfinite(held))):
            raise _refusal(name, value, np.unravel_index(index, shape), array.dtype)


def _fits(value: Any, dtype: np.dtype[Any]) -> bool:
    try:
        struct.pack(dtype.char, value)
    except (struct.error, OverflowError):
        return False
    return True


def _changed(array: Array, cast: Array) -> Array | None:
    """Where ``cast`` holds other numbers than ``array``; ``None`` where that cannot be."""
    if array.dtype.kind == "b":
        return None
    if array.dtype.kind == "f":
        return None if np.isfinite(cast).all() else np.asarray(np.isfinite(array) & ~np.isfinite(cast))
    if cast.dtype.kind == "f":
        return _inexact(array, cast)
    low, high = _low(cast.dtype), _high(cast.dtype)
    if not array.size or (low <= array.min() and array.max() <= high):
        return None
    return np.asarray((array < low) | (array > high))


def _inexact(array: Array, cast: Array) -> Array | None:
    """Where a whole number is not one that the fractions' dtype has: too large, or with more significant bits than it keeps."""
    most = _most_exact(cast.dtype)
    if np.iinfo(array.dtype).max <= most:
        return None
    large = (array < -most) | (array > most)
    if not large.any():
        return None
    # Of a negative number in two's complement, the smallest one included.
    magnitude = np.where(array < 0, ~array.astype(np.uint64) + np.uint64(1), array.astype(np.uint64))
    lowest = magnitude & (~magnitude + np.uint64(1))
    return np.asarray(large & ((magnitude // np.maximum(lowest, np.uint64(1)) > most) | ~np.isfinite(cast)))


@cache
def _most_exact(dtype: np.dtype[Any]) -> int:
    """Up to here the dtype of fractions has every whole number."""
    return int(2 ** (np.finfo(dtype).nmant + 1))


@cache
def _low(dtype: np.dtype[Any]) -> int:
    return 0 if dtype.kind == "b" else int(np.iinfo(dtype).min)


@cache
def _high(dtype: np.dtype[Any]) -> int:
    return 1 if dtype.kind == "b" else int(np.iinfo(dtype).max)


def _refusal(name: str, value: Any, position: Sequence[Any], dtype: np.dtype[Any]) -> InvalidRequest:
    shown = f"a whole number of {value.bit_length()} bits" if isinstance(value, int) and value.bit_length() > 128 else value
    at = f" at {[int(index) for index in position]}" if len(position) else ""
    if dtype.kind != "f":
        return InvalidRequest(f"input {name!r} holds {shown}{at}, which is outside {dtype} ({_low(dtype)} to {_high(dtype)})")
    most = float(np.finfo(dtype).max)
    if not isinstance(value, int) or abs(value) > most:
        return InvalidRequest(f"input {name!r} holds {shown}{at}, which is outside {dtype} ({-most:.8g} to {most:.8g})")
    return InvalidRequest(
        f"input {name!r} holds {shown}{at}, which {dtype} has only rounded, as {int(dtype.type(value))} "
        f"(it has every whole number from -{_most_exact(dtype)} to {_most_exact(dtype)}); round it first where that is meant"
    )


def _not_a_number(name: str, array: Array, wanted: np.dtype[Any]) -> InvalidRequest:
    if array.dtype.hasobject and wanted.kind != "f":
        # Whole numbers that no dtype of NumPy's holds come as Python's own.
        for position, value in np.ndenumerate(array):
            if type(value) is int and not _fits(value, wanted):
                return _refusal(name, value, position, wanted)
    why = "; fractions are not cut to whole numbers: convert it where that is meant" if array.dtype.kind == "f" else ""
    return InvalidRequest(f"input {name!r} has dtype {array.dtype} and the model takes {wanted}{why}")

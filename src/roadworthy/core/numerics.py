"""How far one output is from another: the rule for NaN, infinities, whole numbers, quantisation and scale, in one place.

Worked example: the original gives ``[1.0, -4.0, inf]`` and a candidate ``[1.2, -4.0, inf]``. The scale is 4, the largest finite
magnitude. The differences are ``[0.2, 0, 0]``, as an infinity equals the same infinity, and the output's error is 0.2 / 4 = 0.05. Had
the candidate given 9.0 in place of the infinity, its error would be infinite.
"""

from __future__ import annotations

import numpy as np

from roadworthy.core.types import Array, Quantization

ROWS = 256
"""Rows that are read at a time: the answers of a whole evaluation may not fit in memory."""
CONTINUOUS, NUMBERS = frozenset("fc"), frozenset("fiubc")
"""Kinds of NumPy dtypes."""


def real_values(array: Array, quantization: Quantization | None) -> Array:
    """The values that ``array`` represents: float32 for the whole numbers of a quantised tensor, anything else as it is."""
    return quantization.values(array) if quantization and array.dtype.kind in "iu" else array


def scale_of(array: Array, quantization: Quantization | None = None) -> float:
    """The largest finite magnitude of ``array`` (any shape and dtype), 1 where it has none or is zero throughout.

    Whole numbers that are not quantised are indices or counts, where one step is another answer: their scale is 1, as is that of
    anything that is not a number.
    """
    if not (array.dtype.kind in CONTINUOUS or (quantization and array.dtype.kind in "iu")):
        return 1.0
    largest = 0.0
    array = np.atleast_1d(array)
    for start in range(0, len(array), ROWS):
        chunk = magnitudes(real_values(np.asarray(array[start : start + ROWS]), quantization))
        largest = max(largest, float(chunk.max(initial=0.0)))
    return largest or 1.0


def magnitudes(array: Array) -> Array:
    """The absolute value of each number, float64; 0 for what is not finite."""
    wide = np.abs(_wide(array))
    return np.where(np.isfinite(wide), wide, 0.0)


def differences(got: Array, want: Array) -> Array:
    """The distance of each element of ``got`` from that of ``want``, float64 of their common shape.

    A NaN equals a NaN at the same place, and an infinity the same infinity. Anything else against a number that is not finite is
    infinitely far. What is not a number (byte strings) is equal, or infinitely far.
    """
    if {got.dtype.kind, want.dtype.kind} - NUMBERS:
        return np.where(np.asarray(got.astype(object) == want.astype(object), bool), 0.0, np.inf)
    whole = want.dtype.kind not in CONTINUOUS and got.dtype.kind not in CONTINUOUS
    # Whole numbers beyond 2**53 that differ may be one number in float64.
    least = np.where(got == want, 0.0, 1.0) if whole else 0.0
    got, want = _wide(got), _wide(want)
    finite = np.isfinite(want)
    same = np.where(finite, np.isfinite(got), (got == want) | (np.isnan(got) & np.isnan(want)))
    with np.errstate(invalid="ignore", over="ignore"):
        found = np.maximum(np.where(finite, np.abs(got - want), 0.0), least)
    return np.asarray(np.where(same, found, np.inf))


def sample_errors(got: Array, want: Array, scale: float, quantization: Quantization | None = None) -> Array:
    """The largest difference of each sample (the first axis), in units of ``scale``: float64 [samples]."""
    found = differences(real_values(got, quantization), real_values(want, quantization))
    return np.asarray(found.max(axis=tuple(range(1, found.ndim)), initial=0.0) / scale)


def output_error(got: Array, want: Array, scale: float | None = None, quantization: Quantization | None = None) -> float:
    """The largest difference between ``got`` and ``want``, of any dtype, in units of ``scale``: by default that of ``want``.

    Give the scale where the two are a part of an output. Arrays of different shapes are infinitely far.
    """
    if got.shape != want.shape:
        return float("inf")
    scale = scale_of(want, quantization) if scale is None else scale
    return float(differences(real_values(got, quantization), real_values(want, quantization)).max(initial=0.0)) / scale


def nudged(array: Array, amplitude: float | Array, generator: np.random.Generator, bounds: tuple[float, float]) -> Array:
    """The floats ``array`` moved by normal noise of ``amplitude``, and still values like those of the data, which lie within ``bounds``.

    NaN and infinities stay where they are. A float that holds a whole number may be an identifier, a length or a switch: zero stays
    zero, and any other moves away from zero only, so that it is the same number where a model cuts it to a whole one.
    """
    noise = amplitude * generator.standard_normal(array.shape)
    whole = np.rint(array) == array
    moved = array + np.where(whole, np.sign(array) * np.abs(noise), noise)
    return np.asarray(np.where(np.isfinite(array), np.clip(moved, *bounds), array)).astype(array.dtype)


def bounds_of(array: Array) -> tuple[float, float]:
    """The least and the largest finite number of ``array``, 0 and 0 where it has none."""
    low, high = np.inf, -np.inf
    array = np.atleast_1d(array)
    for start in range(0, len(array), ROWS):
        chunk = np.asarray(array[start : start + ROWS])
        chunk = chunk[np.isfinite(chunk)]
        low, high = min(low, float(chunk.min(initial=np.inf))), max(high, float(chunk.max(initial=-np.inf)))
    return (low, high) if low <= high else (0.0, 0.0)


def softmax(array: Array) -> Array:
    """The softmax over the last axis, float64 (NaN where a value is not finite)."""
    wide = array.astype(np.float64)
    with np.errstate(all="ignore"):
        exponentials = np.exp(wide - wide.max(axis=-1, keepdims=True))
        return np.asarray(exponentials / exponentials.sum(axis=-1, keepdims=True))


def sigmoid(array: Array) -> Array:
    """1 / (1 + exp(-x)), float64."""
    wide = array.astype(np.float64)
    # exp of a negative number never overflows: 1 / (1 + e^-x) for x >= 0, e^x / (1 + e^x) below.
    with np.errstate(all="ignore"):
        small = np.exp(-np.abs(wide))
        return np.asarray(np.where(wide >= 0, 1.0, small) / (1 + small))


def _wide(array: Array) -> Array:
    return array.astype(np.complex128 if array.dtype.kind == "c" else np.float64)

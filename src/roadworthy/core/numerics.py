"""How far one output is from another: the rule for NaN, infinities, whole numbers and scale, in one place."""

from __future__ import annotations

import numpy as np

from roadworthy.core.types import Array

NUMBERS = "fiubc"
"""The kinds of dtypes that are numbers; byte strings are not."""
ROWS = 256
"""Rows that are read at a time: the answers of a whole evaluation may not fit in memory."""


def scale_of(array: Array) -> float:
    """The largest finite magnitude of ``array`` (any shape and dtype), 1 where it has none or is zero throughout."""
    largest = 0.0
    array = np.atleast_1d(array)
    for start in range(0, len(array) if array.dtype.kind in NUMBERS else 0, ROWS):
        magnitudes = np.abs(_wide(np.asarray(array[start : start + ROWS])))
        largest = max(largest, float(np.max(magnitudes, where=np.isfinite(magnitudes), initial=0.0)))
    return largest or 1.0


def output_error(got: Array, want: Array, scale: float) -> float:
    """The largest difference between ``got`` and ``want``, of one shape and any dtype, in units of ``scale``.

    A NaN equals a NaN at the same place, and an infinity the same infinity. Anything else against a number that is not finite is
    infinitely far, and so are other shapes. What is not a number (byte strings) is equal, or infinitely far.
    """
    if got.shape != want.shape:
        return float("inf")
    if {got.dtype.kind, want.dtype.kind} - set(NUMBERS):
        return 0.0 if np.array_equal(got, want) else float("inf")
    # Whole numbers beyond 2**53 that differ may be one number in float64.
    least = np.where(got == want, 0.0, 1.0) if want.dtype.kind in "iub" and got.dtype.kind in "iub" else 0.0
    got, want = _wide(got), _wide(want)
    finite = np.isfinite(want)
    alike = np.where(finite, np.isfinite(got), (got == want) | (np.isnan(got) & np.isnan(want)))
    if not alike.all():
        return float("inf")
    with np.errstate(invalid="ignore"):
        errors = np.maximum(np.where(finite, np.abs(got - want), 0.0), least)
    return float(errors.max(initial=0.0)) / scale


def _wide(array: Array) -> Array:
    return array.astype(np.complex128 if array.dtype.kind == "c" else np.float64)

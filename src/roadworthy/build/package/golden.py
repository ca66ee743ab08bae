"""Which samples become the golden ones: few, different from each other, and with the largest magnitude of each output."""

from __future__ import annotations

from collections.abc import Collection
from itertools import islice

import numpy as np

from roadworthy.core.types import Array, Arrays

COUNT = 8


def choose(answers: Arrays, count: int, wanted: int = COUNT, *, call: int = 1, avoid: Collection[int] = ()) -> list[int]:
    """Rows of at most ``wanted`` of ``count`` samples, in rising order, and at least the ``call`` that one call takes.

    First the sample that gives each output its largest magnitude, because errors are relative to it; then the first whose answer
    holds a NaN or an infinity; then, where the first output has classes, one sample of each top class; then samples at equal
    distances. Rows in ``avoid`` are not taken. Where there are fewer samples than one call takes, they are repeated.
    """
    rows: dict[int, None] = {}
    numbers = [array for array in answers.values() if np.issubdtype(array.dtype, np.floating)]
    for array in numbers:
        rows[_largest(array)] = None
    for array in numbers:
        rows |= dict.fromkeys(_not_finite(array))
    first = next(iter(answers.values()))
    if first.ndim == 2 and first.shape[1] > 1 and np.issubdtype(first.dtype, np.floating):
        _, firsts = np.unique(np.argmax(first, axis=1), return_index=True)
        rows |= dict.fromkeys(int(row) for row in firsts)
    most = max(wanted, len(answers), call)
    rows |= dict.fromkeys(int(row) for row in np.linspace(0, count - 1, most).astype(int))
    if avoid or len(rows) < call:
        rows |= dict.fromkeys(range(count))
    chosen = sorted([row for row in rows if row not in avoid][:most])
    return sorted(chosen * -(-call // len(chosen))) if len(chosen) < call else chosen


def _largest(array: Array) -> int:
    """The row of the largest finite magnitude, read a row at a time: the answers of a whole evaluation may not fit in memory."""
    return int(np.argmax([np.max(np.abs(row), where=np.isfinite(row), initial=0.0) for row in array]))


def _not_finite(array: Array) -> list[int]:
    """The first row that holds a NaN or an infinity, if one does."""
    return list(islice((row for row, values in enumerate(array) if not np.isfinite(values).all()), 1))

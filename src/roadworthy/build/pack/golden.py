"""Which samples go along as golden ones: few, telling, and with the scale of all."""

from __future__ import annotations

import numpy as np

from roadworthy.core.types import Array, Arrays

COUNT = 8


def choose(answers: Arrays, count: int, wanted: int = COUNT) -> list[int]:
    """Rows of at most ``wanted`` of ``count`` samples, in rising order.

    First the sample that gives each output its largest magnitude, because errors are relative to it; then, where
    the first output has classes, one sample of each top class in turn; then samples evenly spaced.
    """
    rows: dict[int, None] = {}
    for array in answers.values():
        if np.issubdtype(array.dtype, np.floating):
            rows[_largest(array)] = None
    first = next(iter(answers.values()))
    if first.ndim == 2 and first.shape[1] > 1 and np.issubdtype(first.dtype, np.floating):
        _, firsts = np.unique(np.argmax(first, axis=1), return_index=True)
        rows |= dict.fromkeys(int(row) for row in firsts)
    rows |= dict.fromkeys(int(row) for row in np.linspace(0, count - 1, wanted).astype(int))
    return sorted(list(rows)[: max(wanted, len(answers))])


def _largest(array: Array) -> int:
    """The row of the largest magnitude, read a row at a time: the answers of a whole evaluation may not fit in memory."""
    return int(np.argmax([float(np.max(np.abs(row), initial=0.0)) for row in array]))

"""Labels as the user gave them to class indices."""

from __future__ import annotations

import numpy as np

from roadworthy.core.errors import DataError
from roadworthy.core.types import Array


def class_indices(labels: Array, count: int, what: str) -> Array:
    """``labels`` as int64 [count], from whole numbers, booleans, floats that are whole, a column of these, or one-hot rows.

    Raises DataError, with ``what`` in front, where they are something else, not ``count``, negative or too large.
    """
    indices = _as_whole_numbers(labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels)
    if indices.ndim != 1 or indices.dtype.kind not in "iu":
        raise DataError(f"{what}: y is {indices.dtype} {list(indices.shape)}; it must be one integer class index for each sample")
    if len(indices) != count:
        raise DataError(f"{what} has {count} samples and {len(indices)} labels")
    low, high = indices.min(), indices.max()
    if low < 0 or high > np.iinfo(np.int32).max:
        raise DataError(f"{what}: y holds {low if low < 0 else high}; class indices start at 0")
    return indices.astype(np.int64)


def _as_whole_numbers(labels: Array) -> Array:
    """``labels`` as whole numbers where nothing is lost by it; Keras has floats 0. and 1. for two classes."""
    if is_one_hot(labels):
        return np.asarray(labels.argmax(axis=1))
    if labels.ndim == 1 and (labels.dtype.kind == "b" or is_whole(labels)):
        return labels.astype(np.int64)
    return labels


def is_one_hot(labels: Array) -> bool:
    """Whether ``labels`` are rows, each with one 1 and else zeros."""
    if labels.ndim != 2 or not labels.size or labels.dtype.kind not in "biuf":
        return False
    return bool(np.isin(labels, (0, 1)).all() and (labels.sum(axis=1) == 1).all())


def is_whole(labels: Array) -> bool:
    """Whether ``labels`` are floats without a fraction."""
    return labels.dtype.kind == "f" and labels.size > 0 and bool(np.isfinite(labels).all() and (labels == np.rint(labels)).all())

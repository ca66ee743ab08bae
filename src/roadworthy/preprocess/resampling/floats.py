"""Resampling in float32: sums of old pixels, in the order and with the weights of each library."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from roadworthy.core.types import Array
from roadworthy.preprocess.resampling.kernel import Centers, Kernel
from roadworthy.preprocess.resampling.weights import Taps, antialiased, between, keys, positions

CUBIC = -0.75
"""The parameter of the bicubic kernel of torch and OpenCV without antialias; with it, Pillow's and torch's is -0.5."""

TABLE = 1024
"""TensorFlow's bicubic has a table of weights for so many positions between two pixels."""


def resize(pixels: Array, to: tuple[int, int], how: Kernel) -> Array:
    """``pixels`` [H,W,C] at the size ``to``, float32, not clipped."""
    if how.filter == "bilinear" and not how.antialias and how.like in ("pillow", "tf"):
        return _lerped(pixels, to, how.centers)
    rows, columns = (_taps(size, length, how) for size, length in zip(pixels.shape, to, strict=False))
    if how.like == "tf":
        return summed(summed(pixels, 0, rows), 1, columns)
    return summed(summed(pixels, 1, columns), 0, rows)


def summed(pixels: Array, axis: int, taps: Taps) -> Array:
    """Along ``axis`` the sums of the pixels that ``taps`` name, in the type of their weights."""
    indices, weights = taps
    shape = (-1, 1, 1) if axis == 0 else (1, -1, 1)
    total: Array = np.take(pixels, indices[0], axis) * weights[0].reshape(shape)
    for index, weight in zip(indices[1:], weights[1:], strict=True):
        total += np.take(pixels, index, axis) * weight.reshape(shape)
    return total


def _taps(size: int, length: int, how: Kernel) -> Taps:
    if how.antialias:
        return antialiased(size, length, how.filter, "float32", inverse=how.like == "tf")
    if how.like == "tf" and how.filter == "bicubic":
        return _tabled(size, length, how.centers)
    return between(size, length, how.centers, CUBIC if how.filter == "bicubic" else None, "rounded" if how.like == "opencv" else "fused")


def _lerped(pixels: Array, to: tuple[int, int], centers: Centers) -> Array:
    """Bilinear as TensorFlow computes it: from the left pixel a part of the way to the right one, then from the upper to the lower."""
    (rows, (_, down)), (columns, (_, across)) = (
        between(size, length, centers, None) for size, length in zip(pixels.shape, to, strict=False)
    )
    below = across[:, None]
    left, right = (np.take(pixels, column, 1).astype(np.float32) for column in columns)
    # Each old row once, though two new rows may need it.
    right -= left
    right *= below
    right += left
    upper, lower = (np.take(right, row, 0) for row in rows)
    lower -= upper
    lower *= down[:, None, None]
    lower += upper
    return np.asarray(lower)


@lru_cache(maxsize=64)
def _tabled(size: int, length: int, centers: Centers) -> Taps:
    """The weights of TensorFlow's bicubic: by table; where centres are "half" with -0.5, and no weight for what lies past the edge."""
    where = positions(size, length, centers, "float32")
    first = np.floor(where)
    part = np.rint((where - first) * np.float32(TABLE)) / TABLE
    a = -0.5 if centers == "half" else CUBIC
    apart = np.stack([part + 1, part, 1 - part, 2 - part])
    near, far = keys(a)
    weights = np.where(apart <= 1, near(apart), far(apart)).astype(np.float32)
    unbound = first.astype(np.intp) + np.arange(-1, 3)[:, None]
    indices = unbound.clip(0, size - 1)
    if centers == "half":
        weights *= indices == unbound
        weights /= weights.sum(axis=0)
    return indices, weights

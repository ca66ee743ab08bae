"""Resampling of uint8 in whole numbers, as torch and OpenCV do it; the results are equal to theirs to the bit."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from roadworthy.core.types import Array
from roadworthy.preprocess.resampling.floats import CUBIC, summed
from roadworthy.preprocess.resampling.kernel import Kernel
from roadworthy.preprocess.resampling.weights import Taps, antialiased, between

OPENCV_BITS = 11
"""OpenCV's weights of a bilinear resize are multiples of 2 to the power of minus this."""

TORCH_BITS = 22
"""The most bits that torch gives its weights, which are 16-bit numbers."""


def as_torch(pixels: Array, to: tuple[int, int], how: Kernel) -> Array:
    """uint8 ``pixels`` [H,W,C] at the size ``to`` by torch's kernel for uint8 tensors: columns first, rounded after each axis."""
    for axis, length in ((1, to[1]), (0, to[0])):
        size = pixels.shape[axis]
        if size != length:
            taps, bits = _torch_taps(size, length, how)
            sums = summed(pixels, axis, taps)
            sums += 1 << (bits - 1)
            sums >>= bits
            pixels = sums.clip(0, 255).astype(np.uint8)
    return pixels


def as_opencv(pixels: Array, to: tuple[int, int]) -> Array:
    """uint8 ``pixels`` [H,W,C] at the size ``to`` as ``cv2.resize(interpolation=INTER_LINEAR)``."""
    columns, rows = (_opencv_taps(pixels.shape[axis], to[axis], axis == 1) for axis in (1, 0))
    across = summed(pixels, 1, columns)
    across >>= 4
    above, below = ((np.take(across, index, 0) * weight[:, None, None]) >> 16 for index, weight in zip(*rows, strict=True))
    return np.asarray(((above + below + 2) >> 2).astype(np.uint8))


@lru_cache(maxsize=64)
def _torch_taps(size: int, length: int, how: Kernel) -> tuple[Taps, int]:
    """Indices with whole weights, and by how many bits the sum must be shifted."""
    if how.antialias:
        indices, weights = antialiased(size, length, how.filter, "float64")
    else:
        indices, weights = _merged(between(size, length, "half", CUBIC if how.filter == "bicubic" else None, "float64"))
    most, bits = weights.max(), 0
    while bits < TORCH_BITS and int(0.5 + most * (1 << (bits + 1))) < 1 << 15:
        bits += 1
    # Halves go away from zero.
    whole = np.trunc(weights * (1 << bits) + np.copysign(0.5, weights)).astype(np.int32)
    return (indices, whole), bits


def _merged(taps: Taps) -> Taps:
    """One weight for a pixel that occurs several times, at the edge: it is rounded once."""
    indices, weights = taps[0], taps[1].copy()
    for later in range(1, len(indices)):
        for earlier in range(later):
            same = indices[later] == indices[earlier]
            weights[earlier] += np.where(same, weights[later], 0)
            weights[later][same] = 0
    return indices, weights


@lru_cache(maxsize=64)
def _opencv_taps(size: int, length: int, across: bool) -> Taps:
    indices, weights = between(size, length, "half", None, "rounded", clipped=across)
    return indices, np.rint(weights * np.float32(1 << OPENCV_BITS)).astype(np.int32)

"""Resampling that Pillow does not do: without antialias, to floats, with other pixel centres, by other libraries' arithmetic.

Every kernel is separable: along each axis a new pixel is a weighted sum of a few old ones. The libraries differ in the weights, in the
order of the axes, and in where they round; ``floats`` and ``integers`` follow each to the bit where their docstrings say so.
"""

from __future__ import annotations

import numpy as np

from roadworthy.core.types import Array
from roadworthy.preprocess.resampling import floats, integers
from roadworthy.preprocess.resampling.kernel import Centers, Filter, Kernel, Like
from roadworthy.preprocess.resampling.weights import nearest

__all__ = ["Centers", "Filter", "Kernel", "Like", "resize"]


def resize(pixels: Array, to: tuple[int, int], how: Kernel) -> Array:
    """``pixels`` [H,W,C] at the size ``to``: uint8 where ``how`` is rounded, else float32."""
    if how.filter == "nearest":
        rows, columns = (nearest(size, length, how) for size, length in zip(pixels.shape, to, strict=False))
        taken = pixels[rows[:, None], columns]
        return taken if how.rounded else taken.astype(np.float32, copy=False)
    if how.rounded and how.like == "torch" and how.centers == "half":
        return integers.as_torch(pixels, to, how)
    if how.rounded and how.like == "opencv" and how.filter == "bilinear":
        return integers.as_opencv(pixels, to)
    values = floats.resize(pixels, to, how)
    return np.rint(values.clip(0, 255)).astype(np.uint8) if how.rounded else values

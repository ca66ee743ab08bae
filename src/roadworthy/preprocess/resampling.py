"""Resampling that Pillow does not do: without antialias, to floats, with other pixel centres, by other libraries' arithmetic."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from roadworthy.core.types import Array

Filter: TypeAlias = Literal["nearest", "bilinear", "bicubic", "lanczos", "box", "hamming"]
Centers: TypeAlias = Literal["half", "corner", "aligned"]
Like: TypeAlias = Literal["pillow", "torch", "tf", "opencv"]

CUBIC = -0.75
"""The kernel's parameter in torch's bicubic interpolation without antialias; with it, Pillow and torch both use -0.5."""


@dataclass(frozen=True)
class Kernel:
    """How pixels are interpolated; the fields are those of ``steps.Resize``."""

    filter: Filter = "bilinear"
    antialias: bool = True
    centers: Centers = "half"
    rounded: bool = True
    like: Like = "pillow"


def resize(pixels: Array, to: tuple[int, int], how: Kernel) -> Array:
    """``pixels`` [H,W,C] at the size ``to``: uint8 where ``how`` is rounded, else float32."""
    values = pixels
    for axis, length in ((1, to[1]), (0, to[0])):
        values = _interpolate(values, axis, length, how.filter, how.centers)
    return np.rint(values.clip(0, 255)).astype(np.uint8) if how.rounded else values.astype(np.float32, copy=False)


def bilinear(pixels: Array, to: tuple[int, int]) -> Array:
    """``pixels`` at the size ``to`` as float32: bilinear, without antialias."""
    values = pixels.astype(np.float32)
    for axis, length in ((1, to[1]), (0, to[0])):
        values = _interpolate(values, axis, length, "bilinear", "half")
    return values


def _interpolate(pixels: Array, axis: int, length: int, filter: str, centers: str) -> Array:
    """``pixels`` along one axis at ``length`` points, from the 2 or 4 nearest, in float32; edges repeat."""
    size, cubic = pixels.shape[axis], filter == "bicubic"
    where = _where(size, length, centers)
    if filter == "nearest":
        return np.take(pixels, np.floor(where + 0.5).astype(np.intp).clip(0, size - 1), axis)
    if not cubic:
        where = where.clip(0)
    first = np.floor(where).astype(np.intp)
    shape = [1] * pixels.ndim
    shape[axis] = length
    total: Array | float = 0.0
    for tap in range(-1, 3) if cubic else range(2):
        distance = np.abs(where - first - tap)
        weight = _cubic(distance) if cubic else 1 - distance
        total = total + weight.astype(np.float32).reshape(shape) * np.take(pixels, (first + tap).clip(0, size - 1), axis)
    return np.asarray(total)


def _where(size: int, length: int, centers: str) -> Array:
    if centers == "half":
        return (np.arange(length) + 0.5) * (size / length) - 0.5
    return np.arange(length) * (size / length if centers == "corner" else (size - 1) / max(1, length - 1))


def _cubic(distance: Array) -> Array:
    """Keys' convolution kernel (1981) with the parameter ``CUBIC``."""
    near = ((CUBIC + 2) * distance - (CUBIC + 3)) * distance**2 + 1
    far = CUBIC * (((distance - 5) * distance + 8) * distance - 4)
    return np.where(distance <= 1, near, far)

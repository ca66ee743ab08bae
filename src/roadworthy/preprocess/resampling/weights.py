"""For each new pixel along one axis: which old pixels it is made of, and with which weights."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, Literal, TypeAlias

import numpy as np

from roadworthy.core.types import Array
from roadworthy.preprocess.resampling.kernel import Centers, Filter, Kernel

SUPPORT: dict[Filter, float] = {"bilinear": 1.0, "bicubic": 2.0, "lanczos": 3.0, "box": 0.5, "hamming": 1.0}
"""How far a filter reaches, in old pixels where it does not shrink."""

Precision: TypeAlias = Literal["float32", "fused", "rounded", "float64"]
"""That of a position. "fused" is float32 with one rounding for the multiplication and the subtraction, as torch has it on CPUs with FMA;
"rounded" is float64 rounded to float32 in the end, as OpenCV has it."""
Taps: TypeAlias = "tuple[Array, Array]"
"""Indices and weights, each [taps, new pixels]."""


def nearest(size: int, length: int, how: Kernel) -> Array:
    """The old pixel of each of ``length`` new ones.

    "half" takes the one that lies under the new pixel's centre, as Pillow and TensorFlow 2; torch's "nearest" and OpenCV's take the one
    under its beginning, as "corner" does.
    """
    places = np.arange(length, dtype=np.float32)
    if how.centers == "aligned" and length > 1:
        # TensorFlow rounds halves up.
        found = np.floor(places * np.float32((size - 1) / (length - 1)) + np.float32(0.5))
    elif how.centers == "half" and how.like in ("pillow", "tf"):
        found = np.floor((places + np.float32(0.5)) * _ratio(size, length))
    elif how.like == "opencv":
        # Its scale is rounded twice: 9 * 14 / 18 is below 7 there.
        found = np.floor(np.arange(length) * (1 / (length / size)))
    else:
        found = np.floor(places * _ratio(size, length))
    return np.asarray(found.astype(np.intp).clip(0, size - 1))


@lru_cache(maxsize=64)
def between(
    size: int, length: int, centers: Centers, cubic: float | None, precision: Precision = "float32", *, clipped: bool = True
) -> Taps:
    """The two nearest pixels, or with the parameter ``cubic`` of Keys' kernel (1981) the four; edges repeat. No antialias.

    Positions have the ``precision`` that they have in the library: in float32 they differ in the fourth digit of a pixel value. Where
    positions past the edge are not ``clipped``, a pixel at the edge is taken twice: that tells where its parts are rounded first.
    """
    where = positions(size, length, centers, precision)
    if cubic is None and clipped:
        where = where.clip(0, size - 1)
    first = np.floor(where)
    part = where - first
    reach = range(2) if cubic is None else range(-1, 3)
    indices = np.stack([first.astype(np.intp) + tap for tap in reach]).clip(0, size - 1)
    if cubic is None:
        return indices, np.stack([1 - part, part])
    near, far = keys(cubic)
    return indices, np.stack([far(part + 1), near(part), near(1 - part), far(2 - part)])


@lru_cache(maxsize=64)
def antialiased(size: int, length: int, filter: Filter, precision: Literal["float32", "float64"], *, inverse: bool = False) -> Taps:
    """All pixels below the ``filter``, which is made wider where the image gets smaller. The weights of a new pixel add up to 1.

    ``inverse``: the old size over the new one is 1 divided by the new one over the old, each rounded, as TensorFlow has it.
    """
    real: Any = np.float64 if precision == "float64" else np.float32
    ratio = real(1) / real(length / size) if inverse else real(size / length)
    widened = max(ratio, real(1))
    support = real(SUPPORT[filter]) * widened
    centers = (np.arange(length) + real(0.5)).astype(real) * ratio
    first = (centers - support + real(0.5)).astype(np.intp).clip(0)
    last = (centers + support + real(0.5)).astype(np.intp).clip(None, size)
    indices = first + np.arange((last - first).max())[:, None]
    distances = (indices - centers + real(0.5)).astype(real) / widened
    weights = np.where(indices < last, _filter(filter, np.abs(distances)), real(0)).astype(real)
    return indices.clip(0, size - 1), weights / weights.sum(axis=0)


def positions(size: int, length: int, centers: Centers, precision: Precision) -> Array:
    """Where the new pixels lie between the old ones, in float32 or float64."""
    if precision == "rounded":
        return positions(size, length, centers, "float64").astype(np.float32)
    real: Any = np.float64 if precision == "float64" else np.float32
    places: Array = np.arange(length).astype(real)
    if centers == "aligned":
        return np.asarray(places * real((size - 1) / (length - 1) if length > 1 else 0))
    if centers == "corner":
        return np.asarray(places * real(size / length))
    if precision == "fused":
        places = (places + 0.5) * np.float64(_ratio(size, length)) - 0.5
        return places.astype(np.float32)
    return np.asarray((places + real(0.5)) * real(size / length) - real(0.5))


def _ratio(size: int, length: int) -> np.float32:
    return np.float32(size) / np.float32(length)


def keys(a: float) -> tuple[Callable[[Array], Array], Callable[[Array], Array]]:
    """Keys' kernel (1981) with the parameter ``a``: below a distance of 1, and from 1 to 2."""

    def near(distance: Array) -> Array:
        return np.asarray(((a + 2) * distance - (a + 3)) * distance * distance + 1)

    def far(distance: Array) -> Array:
        return np.asarray(((a * distance - 5 * a) * distance + 8 * a) * distance - 4 * a)

    return near, far


def _filter(name: Filter, distances: Array) -> Array:
    """The height of the filter at ``distances`` from its centre, none of which is negative."""
    one = distances.dtype.type(1)
    match name:
        case "bilinear":
            return np.asarray((one - distances).clip(0))
        case "bicubic":
            near, far = keys(-0.5)
            return np.where(distances < 1, near(distances), np.where(distances < 2, far(distances), 0 * one))
        case "box":
            return np.asarray(np.where(distances <= 0.5, one, 0 * one))
        case "hamming":
            return np.where(distances < 1, np.sinc(distances) * (0.54 + 0.46 * np.cos(np.pi * distances)), 0 * one)
        case _:
            return np.where(distances < 3, np.sinc(distances) * np.sinc(distances / 3), 0 * one)

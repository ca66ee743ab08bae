"""The worst image as a person sees it: two rows of values, and the place of the largest difference cut out of both as small PNG files."""

from __future__ import annotations

import base64
import io

import numpy as np
from PIL import Image

from roadworthy.build.preprocessing.proof.levels import Unit, place_of_largest
from roadworthy.bundle.pixels import WorstImage
from roadworthy.core.types import Array
from roadworthy.preprocess.decode import ImageDecoder
from roadworthy.preprocess.pictures import Pictures
from roadworthy.preprocess.steps import PILLOW_LIMIT

ROW = 8
"""Values of a row that are shown."""
CUT = 64
"""Pixels of a side of what is cut out."""


def worst_image(pictures: Pictures, index: int, ours: Array, theirs: Array, unit: Unit, *, channels_first: bool) -> WorstImage:
    """What is shown of one image; both samples have one shape."""
    place = place_of_largest(ours, theirs, unit)
    mine, other = unit.pixels(ours), unit.pixels(theirs)
    if channels_first:
        mine, other, place = np.moveaxis(mine, 0, 2), np.moveaxis(other, 0, 2), (*place[1:], place[0])
    row, column, channel = place
    first = max(0, min(column - ROW // 2, mine.shape[1] - ROW))
    row_of = slice(first, first + ROW)
    size = ImageDecoder("RGB", PILLOW_LIMIT).decode(pictures.open(index), pictures.names[index]).size
    cut = _around(row, column, mine.shape[:2])
    return WorstImage(
        pictures.names[index], (size[1], size[0]), (row, column, channel), first, _rounded(mine[row, row_of, channel]),
        _rounded(other[row, row_of, channel]), _png(mine[cut]), _png(other[cut]), _png(_stretched(np.abs(mine - other)[cut])),
    )  # fmt: skip


def _rounded(values: Array) -> tuple[float, ...]:
    return tuple(round(float(value), 3) for value in values)


def _around(row: int, column: int, size: tuple[int, ...]) -> tuple[slice, slice]:
    top, left = (max(0, min(at - CUT // 2, length - CUT)) for at, length in zip((row, column), size, strict=True))
    return slice(top, top + CUT), slice(left, left + CUT)


def _stretched(difference: Array) -> Array:
    """A difference of which the largest value is white."""
    return np.asarray(difference * (255 / max(float(difference.max()), 1e-12)))


def _png(pixels: Array) -> str:
    """Pixels [H,W,1] or [H,W,3] as a PNG file in base64; empty for any other number of channels."""
    if pixels.shape[2] not in (1, 3):
        return ""
    values = np.rint(pixels.clip(0, 255)).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(values[:, :, 0] if values.shape[2] == 1 else values).save(stream, "PNG", optimize=True)
    return base64.b64encode(stream.getvalue()).decode()

"""What the steps hand to each other, pixels as an array or a Pillow image, and the arithmetic of their sizes; imports no Pillow."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from roadworthy.core.types import Array

if TYPE_CHECKING:
    from PIL import Image

Pixels: TypeAlias = "Array | Image.Image"
ImageLike: TypeAlias = "bytes | bytearray | memoryview | Path | Image.Image | Array"


def as_array(pixels: Pixels) -> Array:
    """``pixels`` as an array with three axes; a Pillow image becomes [H,W,C]."""
    array = np.asarray(pixels)
    return array[:, :, None] if array.ndim == 2 else array


def resized_size(size: tuple[int, int], wanted: int | tuple[int, int]) -> tuple[int, int]:
    """The (height, width) after a resize. One number is for the shorter side; the longer becomes ``int(wanted * long / short)``."""
    if not isinstance(wanted, int):
        return wanted
    height, width = size
    if width <= height:
        return int(wanted * height / width), wanted
    return wanted, int(wanted * width / height)

"""What the steps hand to each other: pixels as an array or a Pillow image, and their shape. It imports no Pillow."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import msgspec
import numpy as np

from roadworthy.core.types import Array

if TYPE_CHECKING:
    from PIL import Image

Pixels: TypeAlias = "Array | Image.Image"
ImageLike: TypeAlias = "bytes | bytearray | memoryview | Path | Image.Image | Array"


class SampleShape(msgspec.Struct, frozen=True):
    """The dtype and the axes of one sample, without the batch; a height or width is ``None`` where the image decides it."""

    dtype: str
    height: int | None
    width: int | None
    channels: int
    channels_first: bool = False

    @property
    def axes(self) -> tuple[int | None, ...]:
        """[C,H,W] or [H,W,C]."""
        if self.channels_first:
            return self.channels, self.height, self.width
        return self.height, self.width, self.channels

    def sized(self, height: int | None, width: int | None) -> SampleShape:
        """The same with another height and width."""
        return SampleShape(self.dtype, height, width, self.channels, self.channels_first)

    def __str__(self) -> str:
        return f"{self.dtype} [{', '.join('any' if size is None else str(size) for size in self.axes)}]"


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

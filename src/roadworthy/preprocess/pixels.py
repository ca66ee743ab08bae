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
    """The dtype and the axes of one sample, without the batch; a height or width is ``None`` where the image decides it.

    Values that are not ``normalized`` are pixels of 0 to 255, whatever their dtype.
    """

    dtype: str
    height: int | None
    width: int | None
    channels: int
    channels_first: bool = False
    normalized: bool = False

    @property
    def axes(self) -> tuple[int | None, ...]:
        """[C,H,W] or [H,W,C]."""
        if self.channels_first:
            return self.channels, self.height, self.width
        return self.height, self.width, self.channels

    def sized(self, height: int | None, width: int | None, dtype: str | None = None) -> SampleShape:
        """The same with another height and width, and another ``dtype`` where given."""
        return msgspec.structs.replace(self, height=height, width=width, dtype=dtype or self.dtype)

    def __str__(self) -> str:
        return f"{self.dtype} [{', '.join('any' if size is None else str(size) for size in self.axes)}]"


def as_array(pixels: Pixels) -> Array:
    """``pixels`` as an array with three axes; a Pillow image becomes [H,W,C]."""
    array = np.asarray(pixels)
    return array[:, :, None] if array.ndim == 2 else array


def resized_size(size: tuple[int, int], wanted: int | tuple[int, int] | None, longest: int | None = None) -> tuple[int, int]:
    """The (height, width) after a resize. One number is for the shorter side; the longer becomes ``int(wanted * long / short)``.

    Where that is more than ``longest``, the longer side becomes ``longest`` and the shorter ``int(longest * short / long)``, with the
    sides that it would have had; without ``wanted`` it always does. No side gets less than one pixel.
    """
    if isinstance(wanted, tuple):
        return wanted
    height, width = size
    short, long = min(size), max(size)
    if wanted is not None:
        short, long = wanted, int(wanted * long / short)
    if longest is not None and (wanted is None or long > longest):
        short, long = max(1, int(longest * short / long)), longest
    return (long, short) if width <= height else (short, long)


def fitted_size(size: tuple[int, int], inside: tuple[int, int], scale_up: bool) -> tuple[int, int]:
    """The (height, width) at which an image of ``size`` fits ``inside``, each rounded half to even; at least one pixel."""
    ratio = min(inside[0] / size[0], inside[1] / size[1])
    ratio = ratio if scale_up else min(ratio, 1.0)
    return max(1, round(size[0] * ratio)), max(1, round(size[1] * ratio))


def padded_size(fitted: tuple[int, int], inside: tuple[int, int], stride: int | None) -> tuple[int, int]:
    """``inside``, or with a ``stride`` the smallest multiples of it that hold ``fitted``."""
    if stride is None:
        return inside
    return -(-fitted[0] // stride) * stride, -(-fitted[1] // stride) * stride


def fraction_crop(size: tuple[int, int], fraction: float) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of the centre with ``fraction`` of each side, as ``tf.image.central_crop`` has it."""
    top, left = (int((side - side * fraction) / 2) for side in size)
    return left, top, size[1] - left, size[0] - top


def aspect_crop(size: tuple[int, int], wanted: tuple[int, int]) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of the largest centre with the aspect of ``wanted``, as Keras's ``crop_to_aspect_ratio`` has it."""
    # Keras divides in float32.
    height = max(1, min(size[0], int(np.float32(size[1] * wanted[0]) / np.float32(wanted[1]))))
    width = max(1, min(size[1], int(np.float32(size[0] * wanted[1]) / np.float32(wanted[0]))))
    top, left = (size[0] - height) // 2, (size[1] - width) // 2
    return left, top, left + width, top + height

"""Resize and centre crop with torchvision's rounding, on Pillow images; sizes are (height, width), as arrays have them."""

from __future__ import annotations

import numpy as np
from PIL import Image

from roadworthy.core.types import Array

FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
    "box": Image.Resampling.BOX,
    "hamming": Image.Resampling.HAMMING,
}
CUBIC = -0.75
"""The kernel's parameter in torch's bicubic interpolation without antialias; with it, Pillow and torch both use -0.5."""


def as_image(pixels: Array | Image.Image) -> Image.Image:
    """uint8 ``pixels`` [H,W,C] with one or three channels as a Pillow image."""
    if isinstance(pixels, Image.Image):
        return pixels
    return Image.fromarray(pixels[:, :, 0] if pixels.ndim == 3 and pixels.shape[2] == 1 else np.ascontiguousarray(pixels))


def resize(
    image: Image.Image, to: tuple[int, int], filter: str, *, antialias: bool, extent: tuple[float, float] | None = None
) -> Image.Image:
    """``image`` at the size ``to``; with ``extent`` (width, height) only that part of it, from the top left, which needs antialias.

    With antialias, and for ``nearest`` always, Pillow does it, as torchvision does for a Pillow image. Without,
    bilinear and bicubic follow ``torch.nn.functional.interpolate(align_corners=False, antialias=False)``, rounded to uint8.
    """
    height, width = to
    if image.size == (width, height) and extent in (None, image.size):
        return image
    if antialias or filter == "nearest":
        return image.resize((width, height), FILTERS[filter], box=None if extent is None else (0, 0, *extent))
    pixels = np.asarray(image)
    for axis, length in ((1, width), (0, height)):
        pixels = _interpolate(pixels, axis, length, filter == "bicubic")
    return Image.fromarray(np.rint(pixels.clip(0, 255)).astype(np.uint8))


def crop_box(size: tuple[int, int], crop: tuple[int, int]) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of a centre crop. Where the image is smaller, the box reaches past it by the padding."""
    left, right = _span(size[1], crop[1])
    top, bottom = _span(size[0], crop[0])
    return left, top, right, bottom


def _span(length: int, wanted: int) -> tuple[int, int]:
    # Python's rounding to even, as torchvision has it; padding puts the odd pixel after the image.
    start = round((length - wanted) / 2) if length >= wanted else -((wanted - length) // 2)
    return start, start + wanted


def _interpolate(pixels: Array, axis: int, length: int, cubic: bool) -> Array:
    """``pixels`` along one axis at ``length`` points, from the 2 or 4 nearest, in float32; edges repeat."""
    size = pixels.shape[axis]
    where = (np.arange(length) + 0.5) * (size / length) - 0.5
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


def _cubic(distance: Array) -> Array:
    """Keys' convolution kernel (1981) with the parameter ``CUBIC``."""
    near = ((CUBIC + 2) * distance - (CUBIC + 3)) * distance**2 + 1
    far = CUBIC * (((distance - 5) * distance + 8) * distance - 4)
    return np.where(distance <= 1, near, far)

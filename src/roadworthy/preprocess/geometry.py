"""Resize, letterbox, crops and grey on the pixels between two steps; sizes are (height, width), as arrays have them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from PIL import Image

from roadworthy.core.types import Array
from roadworthy.preprocess import resampling
from roadworthy.preprocess.pixels import Pixels, as_array, aspect_crop
from roadworthy.preprocess.resampling import Kernel

FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
    "box": Image.Resampling.BOX,
    "hamming": Image.Resampling.HAMMING,
}


def as_image(pixels: Pixels) -> Image.Image:
    """uint8 ``pixels`` [H,W,C] with one or three channels as a Pillow image."""
    if isinstance(pixels, Image.Image):
        return pixels
    return Image.fromarray(pixels[:, :, 0] if pixels.ndim == 3 and pixels.shape[2] == 1 else np.ascontiguousarray(pixels))


def size_of(pixels: Pixels) -> tuple[int, int]:
    """The (height, width) of an image."""
    return (pixels.height, pixels.width) if isinstance(pixels, Image.Image) else pixels.shape[:2]


def resize(pixels: Pixels, to: tuple[int, int], how: Kernel, extent: tuple[float, float] | None = None) -> Pixels:
    """``pixels`` at the size ``to`` as ``how`` says it; with ``extent`` (width, height) only that part of it, from the top left.

    What Pillow can do, Pillow does; ``resampling`` does the rest. An extent needs a resize that is Pillow's.
    """
    height, width = to
    if size_of(pixels) == to and extent in (None, (width, height)):
        return pixels if how.rounded or _is_float(pixels) else as_array(pixels).astype(np.float32, copy=False)
    if _is_float(pixels):
        how = replace(how, rounded=False)
    elif by_pillow(how):
        box = None if extent is None else (0, 0, *extent)
        return as_image(pixels).resize((width, height), FILTERS[how.filter], box=box)
    return resampling.resize(as_array(pixels), to, how)


def by_pillow(how: Kernel) -> bool:
    """Whether the resize is one of Pillow's own."""
    return how.like == "pillow" and how.rounded and how.centers == "half" and (how.antialias or how.filter == "nearest")


def padded(pixels: Pixels, to: tuple[int, int], value: int, *, centered: bool) -> Pixels:
    """``pixels`` in an image of ``value`` at the size ``to``: in its middle, the odd pixel right and below, or at its top left."""
    height, width = size_of(pixels)
    if (height, width) == to:
        return pixels
    top, left = ((to[0] - height) // 2, (to[1] - width) // 2) if centered else (0, 0)
    array = as_array(pixels)
    larger = np.full((*to, array.shape[2]), value, array.dtype)
    larger[top : top + height, left : left + width] = array
    return larger


def crop(pixels: Pixels, wanted: tuple[int, int], rounding: str, larger: str) -> Pixels:
    """The centre of ``pixels``; see ``steps.Crop``."""
    size = size_of(pixels)
    if larger == "resize":
        pixels = as_array(pixels)
        if size[0] < wanted[0] or size[1] < wanted[1]:
            return resampling.resize(as_array(cut(pixels, aspect_crop(size, wanted))), wanted, Kernel(antialias=False, rounded=False))
        pixels = pixels.astype(np.float32, copy=False)
    return pixels if size == wanted else cut(pixels, crop_box(size, wanted, rounding))


def crop_box(size: tuple[int, int], crop: tuple[int, int], rounding: str = "even") -> tuple[int, int, int, int]:
    """Left, top, right, bottom of a centre crop. Where the image is smaller, the box reaches past it by the padding."""
    left, right = _span(size[1], crop[1], rounding)
    top, bottom = _span(size[0], crop[0], rounding)
    return left, top, right, bottom


def cut(pixels: Pixels, box: tuple[int, int, int, int]) -> Pixels:
    """The part of ``pixels`` in ``box``: left, top, right, bottom. What lies past the image is zero."""
    if isinstance(pixels, Image.Image):
        return pixels if box == (0, 0, *pixels.size) else pixels.crop(box)
    height, width = size_of(pixels)
    left, top, right, bottom = box
    inside = pixels[max(0, top) : min(height, bottom), max(0, left) : min(width, right)]
    margins = ((max(0, -top), max(0, bottom - height)), (max(0, -left), max(0, right - width)), (0, 0))
    return np.pad(inside, margins) if any(map(any, margins)) else inside


def grey(pixels: Array, like: str) -> Array:
    """uint8 [H,W,3] in RGB order as grey [H,W,1]; see ``steps.Grey``."""
    if like == "pillow":
        return as_array(as_image(pixels).convert("L"))
    red, green, blue = (pixels[:, :, channel].astype(np.float32) for channel in range(3))
    sums = red * np.float32(0.2989) + green * np.float32(0.587) + blue * np.float32(0.114)
    return as_array(sums.astype(np.uint8))


def _span(length: int, wanted: int, rounding: str) -> tuple[int, int]:
    margin = length - wanted
    if margin < 0 and rounding != "floor":
        # Padding puts the odd pixel behind the image.
        before = -margin // 2
        return -before, wanted - before
    start = round(margin / 2) if rounding == "even" else margin // 2
    return start, start + wanted


def _is_float(pixels: Pixels) -> bool:
    return not isinstance(pixels, Image.Image) and pixels.dtype != np.uint8

"""Whether TensorFlow's pixels are those of Roadworthy: both make samples of the same image files."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image

from roadworthy.core.types import Array
from roadworthy.preprocess.contract import Contract
from roadworthy.preprocess.image import Preprocessor
from roadworthy.preprocess.steps import Normalize

SCALES = ((1.0, 1.0), (2.3, 3.1), (1.7, 1.2), (0.6, 0.9))
"""Heights and widths of the images, as shares of a sample's."""


@dataclass(frozen=True)
class ComparedPixels:
    """The number of ``images`` that were compared, and the largest and the mean difference in ``levels`` of the 255 of a pixel."""

    images: int
    largest: float
    mean: float


def compare(contract: Contract, samples_of: Callable[[list[bytes]], Array]) -> ComparedPixels:
    """``samples_of`` makes samples of image files; how far they are from those of ``contract``."""
    shape = contract.sample_shape()
    files = images(shape.height or 1, shape.width or 1)
    wanted, found = Preprocessor(contract.image).many(files), samples_of(files)
    levels = np.abs(found.astype(np.float64) - wanted.astype(np.float64)) * _per_level(contract)
    return ComparedPixels(len(files), float(levels.max()), float(levels.mean()))


def images(height: int, width: int) -> list[bytes]:
    """JPEG and PNG files of several sizes around ``height`` and ``width``, smooth and with noise, in colour and grey."""
    random = np.random.default_rng(0)
    files = []
    for number, (tall, wide) in enumerate(SCALES):
        size = (max(2, round(width * wide)), max(2, round(height * tall)))
        smooth = Image.fromarray(random.integers(0, 256, (5, 7, 3), np.uint8)).resize(size, Image.Resampling.BICUBIC)
        noisy = np.asarray(smooth).astype(int) + random.integers(-24, 25, (size[1], size[0], 3))
        picture = Image.fromarray(noisy.clip(0, 255).astype(np.uint8))
        files += [_file(picture, "JPEG"), _file(picture.convert("L") if number % 2 else picture, "PNG")]
    return files


def _file(picture: Image.Image, format: str) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format)
    return buffer.getvalue()


def _per_level(contract: Contract) -> Array:
    """What a difference of a sample's values is multiplied by to be one of pixels, in the shape that fits a sample."""
    last = contract.image[-1]
    if not isinstance(last, Normalize):
        return np.ones(())
    each = np.array(last.std) / abs(last.scale)
    return each.reshape(-1, 1, 1) if last.axis == 0 else each

"""The input of a model that takes one image: where its axes are, and the last steps, which give it its layout and its numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import msgspec
import numpy as np

from roadworthy.core.errors import DataError
from roadworthy.core.evidence import Note
from roadworthy.core.types import Array, TensorSpec
from roadworthy.preprocess.spec import Layout
from roadworthy.preprocess.steps import ChannelsFirst, Normalize, Step

CHANNELS = (1, 3)
LEVELS: Array = np.arange(256, dtype=np.float64)
"""The values of a pixel."""


@dataclass(frozen=True)
class ImageInput:
    """``height`` and ``width`` are None where the input leaves them open."""

    spec: TensorSpec
    height: int | None
    width: int | None
    channels: int
    layout: Layout

    @property
    def size(self) -> tuple[int, int] | None:
        """(height, width), None where one of them is open."""
        return None if self.height is None or self.width is None else (self.height, self.width)


def of_spec(spec: TensorSpec) -> ImageInput | None:
    """The input as an image of one or three channels, None where it has no such shape. Channels may come first or last, not both."""
    if len(spec.shape) != 4:
        return None
    first, last = spec.shape[1] in CHANNELS, spec.shape[3] in CHANNELS
    if first == last:
        return None
    sizes = spec.shape[2:] if first else spec.shape[1:3]
    height, width = (size if isinstance(size, int) else None for size in sizes)
    channels = spec.shape[1] if first else spec.shape[3]
    assert isinstance(channels, int)
    return ImageInput(spec, height, width, channels, "CHW" if first else "HWC")


def numbers(image: ImageInput, values: Normalize) -> tuple[tuple[Step, ...], tuple[Note, ...]]:
    """The steps from pixels [H,W,C] to what ``image`` takes, where ``values`` says what a pixel stands for: ``(p * scale - mean) / std``.

    A quantised input takes the whole number that stands for this value. uint8 takes the pixel itself, and int8 the pixel less 128, where
    that is the same within one level: so TFLite's metadata describe it, and its Task Library does it.

    Raises DataError where the input's dtype cannot be made of pixels.
    """
    layout: tuple[Step, ...] = (ChannelsFirst(),) if image.layout == "CHW" else ()
    axis: Literal[0, 2] = 0 if image.layout == "CHW" else 2
    dtype, quantization = image.spec.dtype, image.spec.quantization
    if dtype == "float32":
        return (*layout, msgspec.structs.replace(values, axis=axis)), ()
    if dtype not in ("uint8", "int8"):
        raise DataError(f"the input {image.spec.name!r} is {dtype}, and images become float32, uint8 or int8")
    shift = 0 if dtype == "uint8" else 128
    if quantization is None and dtype == "uint8" and values.keeps_values:
        return layout, ()
    if quantization is None:
        raise DataError(f"the input {image.spec.name!r} is {dtype} and does not say what its numbers stand for")
    # One row for each channel that has values of its own.
    mean, std = (np.array(each, np.float64)[:, None] for each in (values.mean, values.std))
    exact = (LEVELS * values.scale - mean) / std / quantization.scale + quantization.zero_point
    low, high = (0, 255) if dtype == "uint8" else (-128, 127)
    off = float(np.abs(np.rint(exact).clip(low, high) - (LEVELS - shift)).max())
    if off <= 1:
        kept = (Normalize(1.0, (128.0,), (1.0,), axis, "int8"),) if shift else ()
        return (*layout, *kept), _on_kept(image.spec, off)
    if dtype == "uint8":
        raise DataError(f"the input {image.spec.name!r} is uint8 and stands for other values than its pixels: up to {off:.0f} levels apart")
    whole = _composed(values, axis, quantization.scale, quantization.zero_point)
    whole.check(1)
    return (*layout, whole), ()


def _composed(values: Normalize, axis: Literal[0, 2], scale: float, zero: int) -> Normalize:
    """Normalisation and quantisation as one step: ``q = (p * scale - mean) / (std * s) + z``."""
    count = max(len(values.mean), len(values.std))
    means, stds = (each * count if len(each) == 1 else each for each in (values.mean, values.std))
    std = tuple(one * scale for one in stds)
    mean = tuple(one - zero * step for one, step in zip(means, std, strict=True))
    if not all(map(math.isfinite, (*mean, *std))):
        raise DataError("mean, std and quantisation together are not finite")
    return Normalize(values.scale, mean, std, axis, "int8")


def _on_kept(spec: TensorSpec, off: float) -> tuple[Note, ...]:
    if not off:
        return ()
    given = "the pixels themselves" if spec.dtype == "uint8" else "the pixels less 128"
    return (
        Note(f"the {spec.dtype} input {spec.name!r} takes {given}; its quantisation of the normalised values is up to one level apart"),
    )

"""The step from pixel values to the numbers that the model takes."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Literal

import msgspec
import numpy as np

from roadworthy.core.errors import DataError
from roadworthy.core.types import Array
from roadworthy.preprocess.pixels import Pixels, SampleShape, as_array
from roadworthy.preprocess.steps.base import StepBase


class Normalize(StepBase, frozen=True, tag="normalize"):
    """The value ``p`` becomes ``(p * scale - mean) / std``, with one mean and std for each channel, or one for all.

    ``axis`` is the axis of the channels: 2 in [H,W,C], 0 in [C,H,W]. ``int8``, for quantised models, is the nearest whole number to
    the value, from -128 to 127.

    ``arithmetic`` is the order of the operations, and with it the last bits of a float32. All results are float32.

    - "fused": one multiplication by ``scale / std`` and one addition of ``-mean / std``; the fastest.
    - "torch": ``p / n`` where ``scale`` is 1/n, else ``p * scale``; less ``mean``; divided by ``std``; as torchvision's ``ToTensor`` and
      ``Normalize``, and as ``keras.applications``.
    - "numpy": ``p * scale`` in float64, then as "torch"; as the NumPy processors of transformers.
    - "keras": ``p * scale``, plus ``-mean``, divided by ``std``; as Keras's ``Rescaling``, and torchvision's ``ToDtype(scale=True)``.
    """

    scale: float = 1 / 255
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    axis: Literal[0, 2] = 0
    dtype: Literal["float32", "int8"] = "float32"
    arithmetic: Literal["fused", "torch", "numpy", "keras"] = "fused"

    @property
    def keeps_values(self) -> bool:
        """Whether every pixel keeps its value and becomes a float alone."""
        return self.dtype == "float32" and self.scale == 1 and not any(self.mean) and all(value == 1 for value in self.std)

    @property
    def divisor(self) -> float | None:
        """What torch divides a pixel by: n where the scale is 1/n; None where it multiplies, and for other arithmetics."""
        found = round(1 / self.scale, 6)
        return found if self.arithmetic == "torch" and found and 1 / found == self.scale else None

    def apply(self, pixels: Pixels) -> Pixels:
        values = _computed(self, as_array(pixels))
        return values if self.dtype == "float32" else np.rint(values).clip(-128, 127).astype(np.int8)

    def shape(self, before: SampleShape) -> SampleShape:
        if before.normalized:
            raise DataError(f"normalize takes pixels of 0 to 255; the steps before it give {before}")
        if self.axis != (axis := 0 if before.channels_first else 2):
            raise DataError(f"normalize has axis = {self.axis}; the channels of {before} are on axis {axis}")
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) not in (1, before.channels):
                each = "" if before.channels == 1 else f", or {before.channels}: one for each"
                raise DataError(f"{name} has {len(values)} numbers; it needs 1: one for every channel{each}")
        return msgspec.structs.replace(before, dtype=self.dtype, normalized=True)

    def describe(self) -> str:
        order = "" if self.arithmetic == "fused" else f", in the order of {self.arithmetic}"
        return f"(pixel * {self.scale:.6g} - {_numbers(self.mean)}) / {_numbers(self.std)}, as {self.dtype}{order}"

    def check(self, pixel_limit: int) -> None:
        for name, values in (("mean", self.mean), ("std", self.std)):
            if not all(map(math.isfinite, values)):
                raise DataError(f"{name} holds a number that is not finite")
        if not all(value > 0 for value in self.std):
            raise DataError("std must be greater than 0 in every channel")
        if not (math.isfinite(self.scale) and self.scale != 0):
            raise DataError(f"scale is {self.scale}; it must be finite and not 0")
        if self.dtype == "int8":
            self._check_int8()
        reached = [pixel * self.scale - mean for pixel in (1, 255) for mean in (0.0, *self.mean)]
        if not all(1e-30 < abs(value) / std < 1e30 or value == 0 for value in reached for std in self.std):
            raise DataError("scale, mean and std together lead out of the range of float32")

    def _check_int8(self) -> None:
        """Whole numbers are useless where the values lie close together, or past what int8 holds."""
        channels = max(len(self.mean), len(self.std))
        means, stds = (values * channels if len(values) == 1 else values for values in (self.mean, self.std))
        for mean, std in zip(means, stds, strict=False):
            low, high = sorted((pixel * self.scale - mean) / std for pixel in (0, 255))
            if low < -128.5 or high > 127.5 or high - low < 2:
                raise DataError(f"dtype int8 holds -128 to 127, and scale, mean and std lead from {low:.4g} to {high:.4g}")


def _computed(step: Normalize, pixels: Array) -> Array:
    """float32 values in the shape of ``pixels``."""
    pixels = np.ascontiguousarray(pixels)
    # Three numbers for each pixel are slow to apply; for a whole row of [H,W,C] they are one vector.
    flat = pixels.reshape(len(pixels), -1) if step.axis == 2 else pixels
    compute = _fused if step.arithmetic == "fused" else _in_order
    return compute(step, flat, pixels.shape[1] if step.axis == 2 else 1).reshape(pixels.shape)


def _fused(step: Normalize, pixels: Array, width: int) -> Array:
    factor, offset = _affine(step, width)
    values: Array = np.multiply(pixels, factor)
    if offset is not None:
        values += offset
    return values


def _in_order(step: Normalize, pixels: Array, width: int) -> Array:
    mean, std = (values.astype(np.float32) for values in _by_channel(step, width))
    values: Array
    if step.arithmetic == "numpy":
        values = (pixels.astype(np.float64) * step.scale).astype(np.float32)
    elif (divisor := step.divisor) is not None:
        values = np.divide(pixels, np.float32(divisor), dtype=np.float32)
    else:
        values = np.multiply(pixels, np.float32(step.scale), dtype=np.float32)
    if any(step.mean):
        values -= mean
    if any(value != 1 for value in step.std):
        values /= std
    return values


@lru_cache(maxsize=64)
def _affine(step: Normalize, width: int) -> tuple[Array, Array | None]:
    """``(p * scale - mean) / std`` as one multiplication and one addition in float32."""
    mean, std = _by_channel(step, width)
    return (step.scale / std).astype(np.float32), (-mean / std).astype(np.float32) if any(step.mean) else None


def _by_channel(step: Normalize, width: int) -> tuple[Array, Array]:
    """Mean and std in float64, in the shape that fits the channels of [C,H,W], or ``width`` pixels of a row of [H,W,C]."""
    channels = max(len(step.mean), len(step.std))
    mean, std = (np.broadcast_to(np.array(values, np.float64), channels) for values in (step.mean, step.std))
    if step.axis == 0:
        return mean.reshape(-1, 1, 1), std.reshape(-1, 1, 1)
    return (np.tile(mean, width), np.tile(std, width)) if channels > 1 else (mean, std)


def _numbers(values: tuple[float, ...]) -> str:
    return f"{values[0]:.6g}" if len(values) == 1 else f"[{', '.join(f'{value:.6g}' for value in values)}]"

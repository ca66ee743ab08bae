"""The steps by which one image becomes one sample: each is data that a bundle holds, and carries itself out.

A new step is one class here and its name in ``Step``. The codec tells the classes apart by their ``kind``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import lru_cache
from typing import ClassVar, Literal, TypeAlias, get_args

import msgspec
import numpy as np

from roadworthy.core.errors import DataError
from roadworthy.core.types import Array
from roadworthy.preprocess.pixels import ImageLike, Pixels, SampleShape, as_array, resized_size

PIXEL_LIMIT = 25_000_000
PILLOW_LIMIT = 89_478_485
"""The number of pixels above which Pillow itself warns of a decompression bomb."""

GREY, COLOUR = 1, 3
"""The channels that an image may have."""


class _Step(msgspec.Struct, frozen=True, tag_field="kind", forbid_unknown_fields=True):
    """What the steps share. A field that a reader does not know may change the pixels, so it is refused like an unknown step.

    Between steps the pixels are uint8, as an array [H,W,C] or as a Pillow image of the same (``pixels.as_array``, ``geometry.as_image``):
    steps that Pillow carries out copy nothing between them.
    """

    grows: ClassVar[bool] = False
    """Whether the step may make an image larger."""

    def apply(self, pixels: Pixels) -> Pixels:
        """The pixels after this step."""
        raise NotImplementedError

    def shape(self, before: SampleShape) -> SampleShape:
        """The shape after this step; raises DataError where the step does not take what the one before it gives."""
        raise NotImplementedError

    def describe(self) -> str:
        """The step in a few words, as the model card, the report and the server show it."""
        raise NotImplementedError

    def check(self, pixel_limit: int) -> None:
        """Raises DataError where the step's own values make no sense."""

    def peak(self, before: SampleShape) -> int:
        """The most pixels that the step holds at once; asked where it ``grows``."""
        raise NotImplementedError


class Decode(_Step, frozen=True, tag="decode"):
    """The file's bytes to 8-bit grey or RGB; always the first step. See ``decode.ImageDecoder`` for what is read.

    An image of more than ``pixel_limit`` pixels is refused before it is decoded.
    """

    color: Literal["RGB", "L"] = "RGB"
    pixel_limit: int = PIXEL_LIMIT

    def apply(self, pixels: ImageLike) -> Pixels:
        from roadworthy.preprocess.decode import ImageDecoder

        return ImageDecoder(self.color, self.pixel_limit).decode(pixels).image

    def shape(self, before: SampleShape) -> SampleShape:
        raise DataError("decode must be the first step, and occur once")

    def decoded(self, height: int | None = None, width: int | None = None) -> SampleShape:
        """The shape of an image of this size."""
        return SampleShape("uint8", height, width, GREY if self.color == "L" else COLOUR)

    def describe(self) -> str:
        return f"decoded as {'grey' if self.color == 'L' else self.color}"

    def check(self, pixel_limit: int) -> None:
        if not 1 <= self.pixel_limit <= PILLOW_LIMIT:
            raise DataError(f"pixel_limit is {self.pixel_limit}; it must lie between 1 and {PILLOW_LIMIT}")


class Resize(_Step, frozen=True, tag="resize"):
    """``size`` is (height, width), or one number for the shorter side with the aspect kept. ``geometry.resize`` says how it is done."""

    size: int | tuple[int, int]
    filter: Literal["nearest", "bilinear", "bicubic", "lanczos", "box", "hamming"] = "bilinear"
    antialias: bool = True
    grows: ClassVar[bool] = True

    def apply(self, pixels: Pixels) -> Pixels:
        from roadworthy.preprocess import geometry

        image = geometry.as_image(pixels)
        to = resized_size((image.height, image.width), self.size)
        return geometry.resize(image, to, self.filter, antialias=self.antialias)

    def shape(self, before: SampleShape) -> SampleShape:
        _want_pixels("resize", before)
        if not isinstance(self.size, int):
            return before.sized(*self.size)
        if before.height is None or before.width is None:
            return before.sized(None, None)
        return before.sized(*resized_size((before.height, before.width), self.size))

    def describe(self) -> str:
        to = f"{self.size} on the shorter side" if isinstance(self.size, int) else _by(self.size)
        return f"resized to {to} ({self.filter}{'' if self.antialias else ', no antialias'})"

    def check(self, pixel_limit: int) -> None:
        _check_size("resize.size", self.size, pixel_limit)
        if not self.antialias and self.filter not in ("nearest", "bilinear", "bicubic"):
            raise DataError(f"the filter {self.filter} exists only with antialias = true")

    def peak(self, before: SampleShape) -> int:
        after = self.shape(before)
        # Columns are resized before rows: between the two the image has the old height and the new width.
        return max(after.height or 0, before.height or 0) * (after.width or 0)


class Crop(_Step, frozen=True, tag="crop"):
    """The centre at ``size``, (height, width) or one number for a square; a smaller image is padded with zeros."""

    size: int | tuple[int, int]

    def apply(self, pixels: Pixels) -> Pixels:
        from roadworthy.preprocess import geometry

        image, (height, width) = geometry.as_image(pixels), _pair(self.size)
        if (image.height, image.width) == (height, width):
            return image
        return image.crop(geometry.crop_box((image.height, image.width), (height, width)))

    def shape(self, before: SampleShape) -> SampleShape:
        _want_pixels("crop", before)
        return before.sized(*_pair(self.size))

    def describe(self) -> str:
        return f"centre-cropped to {_by(_pair(self.size))}"

    def check(self, pixel_limit: int) -> None:
        _check_size("crop", self.size, pixel_limit)


class ReverseChannels(_Step, frozen=True, tag="reverse_channels"):
    """RGB to BGR, as OpenCV and Caffe order the colours."""

    def apply(self, pixels: Pixels) -> Pixels:
        return as_array(pixels)[:, :, ::-1]

    def shape(self, before: SampleShape) -> SampleShape:
        _want_pixels("reverse_channels", before)
        return before

    def describe(self) -> str:
        return "channels in the order BGR"


class ChannelsFirst(_Step, frozen=True, tag="channels_first"):
    """[H,W,C] to [C,H,W], as PyTorch's convolutions take it."""

    def apply(self, pixels: Pixels) -> Pixels:
        return as_array(pixels).transpose(2, 0, 1)

    def shape(self, before: SampleShape) -> SampleShape:
        if before.channels_first:
            raise DataError("channels_first occurs twice")
        return msgspec.structs.replace(before, channels_first=True)

    def describe(self) -> str:
        return "laid out as CHW"


class Normalize(_Step, frozen=True, tag="normalize"):
    """The value ``p`` becomes ``(p * scale - mean) / std``, with one mean and std for each channel, or one for all.

    ``axis`` is the axis of the channels: 2 in [H,W,C], 0 in [C,H,W]. ``int8``, for quantised models, is the nearest whole number to
    the value, from -128 to 127.
    """

    scale: float = 1 / 255
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    axis: Literal[0, 2] = 0
    dtype: Literal["float32", "int8"] = "float32"

    @property
    def keeps_values(self) -> bool:
        """Whether every pixel keeps its value and becomes a float alone."""
        return self.dtype == "float32" and self.scale == 1 and not any(self.mean) and all(value == 1 for value in self.std)

    def apply(self, pixels: Pixels) -> Pixels:
        factor, offset = _affine(self)
        values: Array = np.multiply(np.ascontiguousarray(as_array(pixels)), factor)
        if offset is not None:
            values += offset
        return values if self.dtype == "float32" else np.rint(values).clip(-128, 127).astype(np.int8)

    def shape(self, before: SampleShape) -> SampleShape:
        if before.dtype != "uint8":
            raise DataError(f"normalize takes uint8 pixels; the steps before it give {before}")
        if self.axis != (axis := 0 if before.channels_first else 2):
            raise DataError(f"normalize has axis = {self.axis}; the channels of {before} are on axis {axis}")
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) not in (1, before.channels):
                each = "" if before.channels == 1 else f", or {before.channels}: one for each"
                raise DataError(f"{name} has {len(values)} numbers; it needs 1: one for every channel{each}")
        return msgspec.structs.replace(before, dtype=self.dtype)

    def describe(self) -> str:
        return f"(pixel * {self.scale:.6g} - {_numbers(self.mean)}) / {_numbers(self.std)}, as {self.dtype}"

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


Step: TypeAlias = Decode | Resize | Crop | ReverseChannels | ChannelsFirst | Normalize
KINDS: tuple[str, ...] = tuple(step.__struct_config__.tag for step in get_args(Step))
"""The ``kind`` of every step that this version knows."""


def check(steps: tuple[Step, ...]) -> None:
    """Raises DataError where a step's values make no sense or the steps do not fit each other."""
    sample_shape(steps)


def sample_shape(steps: tuple[Step, ...]) -> SampleShape:
    """The shape that the steps give in the end; raises DataError as ``check`` does."""
    if not steps or not isinstance(first := steps[0], Decode):
        raise DataError("the first step must be decode")
    for step in steps:
        step.check(first.pixel_limit)
    shape = first.decoded()
    for step in steps[1:]:
        shape = step.shape(shape)
    return shape


def unknown_kinds(kinds: Iterable[str]) -> tuple[str, ...]:
    """Those of ``kinds`` that no step of this version has."""
    return tuple(kind for kind in kinds if kind not in KINDS)


@lru_cache(maxsize=64)
def _affine(step: Normalize) -> tuple[Array, Array | None]:
    """``(p * scale - mean) / std`` as one multiplication and one addition in float32."""
    channels = max(len(step.mean), len(step.std))
    shape = (channels, 1, 1) if step.axis == 0 else (channels,)
    mean, std = (np.broadcast_to(np.array(values, np.float64), channels).reshape(shape) for values in (step.mean, step.std))
    return (step.scale / std).astype(np.float32), (-mean / std).astype(np.float32) if any(step.mean) else None


def _want_pixels(kind: str, before: SampleShape) -> None:
    if before.dtype != "uint8" or before.channels_first:
        raise DataError(f"{kind} takes uint8 pixels [height, width, channels]; the steps before it give {before}: put it before them")


def _check_size(name: str, size: int | tuple[int, int], pixel_limit: int) -> None:
    height, width = _pair(size)
    if height < 1 or width < 1:
        raise DataError(f"{name} is {height} x {width}; both must be at least 1")
    if height * width > pixel_limit:
        raise DataError(f"{name} is {height} x {width}, more than the pixel_limit of {pixel_limit}")


def _pair(size: int | tuple[int, int]) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else size


def _by(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]}"


def _numbers(values: tuple[float, ...]) -> str:
    return f"{values[0]:.6g}" if len(values) == 1 else f"[{', '.join(f'{value:.6g}' for value in values)}]"

"""The first step: a file's bytes to pixels."""

from __future__ import annotations

from typing import Literal

from roadworthy.core.errors import DataError
from roadworthy.preprocess.pixels import ImageLike, Pixels, SampleShape
from roadworthy.preprocess.steps.base import StepBase

PIXEL_LIMIT = 25_000_000
PILLOW_LIMIT = 89_478_485
"""The number of pixels above which Pillow itself warns of a decompression bomb."""

GREY, COLOUR = 1, 3
"""The channels that an image may have."""


class Decode(StepBase, frozen=True, tag="decode"):
    """The file's bytes to 8-bit grey or RGB; always the first step. See ``decode.ImageDecoder`` for what is read.

    An image of more than ``pixel_limit`` pixels is refused before it is decoded. ``orient`` turns and mirrors it as its EXIF data say.
    ``deep`` is for 16-bit grey: "upper" takes the upper 8 bits, as TensorFlow and OpenCV do; "clip" cuts off at 255, as Pillow's
    ``convert("RGB")`` in training does.
    """

    color: Literal["RGB", "L"] = "RGB"
    pixel_limit: int = PIXEL_LIMIT
    orient: bool = False
    deep: Literal["upper", "clip"] = "upper"

    def apply(self, pixels: ImageLike) -> Pixels:
        from roadworthy.preprocess.decode import ImageDecoder

        return ImageDecoder(self.color, self.pixel_limit, self.orient, self.deep).decode(pixels).image

    def shape(self, before: SampleShape) -> SampleShape:
        raise DataError("decode must be the first step, and occur once")

    def decoded(self, height: int | None = None, width: int | None = None) -> SampleShape:
        """The shape of an image of this size."""
        return SampleShape("uint8", height, width, GREY if self.color == "L" else COLOUR)

    def describe(self) -> str:
        oriented = ", turned as EXIF says" if self.orient else ""
        deep = ", 16-bit grey cut off at 255" if self.deep == "clip" else ""
        return f"decoded as {'grey' if self.color == 'L' else self.color}{oriented}{deep}"

    def check(self, pixel_limit: int) -> None:
        if not 1 <= self.pixel_limit <= PILLOW_LIMIT:
            raise DataError(f"pixel_limit is {self.pixel_limit}; it must lie between 1 and {PILLOW_LIMIT}")

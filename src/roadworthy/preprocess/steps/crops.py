"""Steps that cut the centre out of an image."""

from __future__ import annotations

from typing import Literal

from roadworthy.core.errors import DataError
from roadworthy.preprocess.pixels import Pixels, SampleShape, aspect_crop, fraction_crop
from roadworthy.preprocess.steps.base import StepBase, by, check_size, pair, want_pixels


class Crop(StepBase, frozen=True, tag="crop"):
    """The centre at ``size``, (height, width) or one number for a square.

    ``rounding`` says where the crop begins if the margin is odd: "even" (half to even: torchvision) or "down" (Keras, TensorFlow,
    transformers). Where the image is smaller, an odd pixel of padding lies right and below; with "floor", which is "down" otherwise,
    left and above (the NumPy processors of transformers).

    ``larger`` says what becomes of an image that is smaller than the crop: "pad" with zeros, or "resize" as Keras's ``CenterCrop``: the
    largest centre of the crop's aspect is resized to it (bilinear, no antialias); the pixels are then float32, as Keras's are.
    """

    size: int | tuple[int, int]
    rounding: Literal["even", "down", "floor"] = "even"
    larger: Literal["pad", "resize"] = "pad"

    def apply(self, pixels: Pixels) -> Pixels:
        from roadworthy.preprocess import geometry

        return geometry.crop(pixels, pair(self.size), self.rounding, self.larger)

    def shape(self, before: SampleShape) -> SampleShape:
        want_pixels("crop", before)
        return before.sized(*pair(self.size), "float32" if self.larger == "resize" else before.dtype)

    def describe(self) -> str:
        rounding = {"even": "", "down": ", rounded down", "floor": ", rounded down also in the padding"}[self.rounding]
        larger = "" if self.larger == "pad" else ", smaller images resized"
        return f"centre-cropped to {by(pair(self.size))}{rounding}{larger}"

    def check(self, pixel_limit: int) -> None:
        check_size("crop", self.size, pixel_limit)


class CropFraction(StepBase, frozen=True, tag="crop_fraction"):
    """The centre with ``fraction`` of each side, above 0 and at most 1, as ``tf.image.central_crop``."""

    fraction: float

    def apply(self, pixels: Pixels) -> Pixels:
        from roadworthy.preprocess import geometry

        return geometry.cut(pixels, fraction_crop(geometry.size_of(pixels), self.fraction))

    def shape(self, before: SampleShape) -> SampleShape:
        want_pixels("crop_fraction", before)
        if before.height is None or before.width is None:
            return before
        left, top, right, bottom = fraction_crop((before.height, before.width), self.fraction)
        return before.sized(bottom - top, right - left)

    def describe(self) -> str:
        return f"centre-cropped to {self.fraction:.6g} of each side"

    def check(self, pixel_limit: int) -> None:
        if not 0 < self.fraction <= 1:
            raise DataError(f"crop_fraction.fraction is {self.fraction}; it must be above 0 and at most 1")


class CropToAspect(StepBase, frozen=True, tag="crop_to_aspect"):
    """The largest centre with the aspect of ``size``, (height, width) or one number for a square: Keras's ``crop_to_aspect_ratio``.

    It only cuts; the resize to ``size`` is a step behind it.
    """

    size: int | tuple[int, int]

    def apply(self, pixels: Pixels) -> Pixels:
        from roadworthy.preprocess import geometry

        return geometry.cut(pixels, aspect_crop(geometry.size_of(pixels), pair(self.size)))

    def shape(self, before: SampleShape) -> SampleShape:
        want_pixels("crop_to_aspect", before)
        if before.height is None or before.width is None:
            return before.sized(None, None)
        left, top, right, bottom = aspect_crop((before.height, before.width), pair(self.size))
        return before.sized(bottom - top, right - left)

    def describe(self) -> str:
        return f"centre-cropped to the aspect of {by(pair(self.size))}"

    def check(self, pixel_limit: int) -> None:
        check_size("crop_to_aspect", self.size, pixel_limit)

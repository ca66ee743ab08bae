"""Steps that change the size of an image by resampling it: resize and letterbox."""

from __future__ import annotations

from typing import ClassVar

from roadworthy.core.errors import DataError
from roadworthy.preprocess.pixels import Pixels, SampleShape, fitted_size, padded_size, resized_size
from roadworthy.preprocess.resampling import Centers, Filter, Kernel, Like
from roadworthy.preprocess.steps.base import StepBase, by, check_size, pair, want_pixels

WITHOUT_ANTIALIAS = ("nearest", "bilinear", "bicubic")
"""The filters that exist without antialias."""


class Resize(StepBase, frozen=True, tag="resize"):
    """``size`` is (height, width), or one number for the shorter side with the aspect kept. ``resampling`` says how it is done.

    ``longest`` is the most that the longer side may get: where it would get more, it gets ``longest`` and the shorter side follows.
    With ``longest`` and without ``size`` the longer side always gets ``longest``.

    ``centers`` says where the new pixels lie between the old ones: "half" (pixel centres at one half: Pillow, torch, TensorFlow 2,
    OpenCV), "corner" (TensorFlow 1's ``resize_bilinear``) or "aligned" (``align_corners=True``). ``rounded`` = false keeps the
    interpolated values as float32, as Keras and TensorFlow do. ``like`` is the library whose kernel it is.
    """

    size: int | tuple[int, int] | None = None
    filter: Filter = "bilinear"
    antialias: bool = True
    longest: int | None = None
    centers: Centers = "half"
    rounded: bool = True
    like: Like = "pillow"
    grows: ClassVar[bool] = True

    @property
    def kernel(self) -> Kernel:
        """How the pixels are interpolated."""
        return Kernel(self.filter, self.antialias, self.centers, self.rounded, self.like)

    def resized(self, height: int, width: int) -> tuple[int, int]:
        """The (height, width) that an image of this size gets."""
        return resized_size((height, width), self.size, self.longest)

    def apply(self, pixels: Pixels) -> Pixels:
        from roadworthy.preprocess import geometry

        return geometry.resize(pixels, self.resized(*geometry.size_of(pixels)), self.kernel)

    def shape(self, before: SampleShape) -> SampleShape:
        want_pixels("resize", before)
        if before.dtype != "uint8" and self.rounded:
            raise DataError("resize of float pixels is not rounded: set rounded = false in every resize behind the first that has it")
        dtype = "uint8" if self.rounded else "float32"
        if isinstance(self.size, tuple):
            return before.sized(*self.size, dtype)
        if before.height is None or before.width is None:
            return before.sized(None, None, dtype)
        return before.sized(*self.resized(before.height, before.width), dtype)

    def describe(self) -> str:
        how: list[str] = [self.filter]
        how += [] if self.antialias else ["no antialias"]
        how += [] if self.centers == "half" else [f"pixel centres {self.centers}"]
        how += [] if self.rounded else ["not rounded"]
        how += [] if self.like == "pillow" else [f"as {self.like}"]
        return f"resized to {self._target()} ({', '.join(how)})"

    def _target(self) -> str:
        if isinstance(self.size, tuple):
            return by(self.size)
        if self.size is None:
            return f"{self.longest} on the longer side"
        return f"{self.size} on the shorter side" + (f", at most {self.longest} on the longer" if self.longest else "")

    def check(self, pixel_limit: int) -> None:
        self._check_size(pixel_limit)
        if not self.antialias and self.filter not in WITHOUT_ANTIALIAS:
            raise DataError(f"the filter {self.filter} exists only with antialias = true")
        if self.like == "opencv" and self.antialias and self.filter != "nearest":
            raise DataError('OpenCV has no antialias: state antialias = false with like = "opencv"')
        if self.like == "opencv" and self.centers != "half":
            raise DataError('like = "opencv" has the pixel centres of OpenCV alone: leave centers out')
        if self.like == "torch" and self.rounded and self.centers != "half":
            raise DataError(f'torch has no kernel for uint8 with centers = "{self.centers}": state rounded = false, or leave like out')
        if self.centers != "half" and self.antialias and self.filter != "nearest":
            raise DataError(f'centers = "{self.centers}" exists only with antialias = false')

    def _check_size(self, pixel_limit: int) -> None:
        if self.size is None and self.longest is None:
            raise DataError("resize has neither size nor longest; state one of them")
        if self.size is not None:
            check_size("resize.size", self.size, pixel_limit)
        if self.longest is None:
            return
        if isinstance(self.size, tuple):
            raise DataError("resize.longest limits a size of one number; a pair states both sides already")
        check_size("resize.longest", self.longest, pixel_limit)
        if self.size is not None and self.longest < self.size:
            raise DataError(f"resize.longest is {self.longest}, less than the size {self.size} of the shorter side")


class Letterbox(StepBase, frozen=True, tag="letterbox"):
    """The image scaled to fit inside ``size``, (height, width) or one number for a square, and padded with ``value``, 0 to 255.

    With ``stride`` the padded size is not ``size``, but the smallest multiple of ``stride`` in which the scaled image fits
    (Ultralytics' ``auto=True``). ``scale_up`` = false leaves a smaller image at its size. ``centered`` pads on both sides, else right
    and below. Without ``antialias`` the resize is OpenCV's, with it Pillow's.
    """

    size: int | tuple[int, int]
    stride: int | None = None
    value: int = 114
    scale_up: bool = True
    centered: bool = True
    filter: Filter = "bilinear"
    antialias: bool = False
    grows: ClassVar[bool] = True

    def sizes(self, height: int, width: int) -> tuple[tuple[int, int], tuple[int, int]]:
        """The (height, width) of an image of this size after the scaling, and with the padding."""
        fitted = fitted_size((height, width), pair(self.size), self.scale_up)
        return fitted, padded_size(fitted, pair(self.size), self.stride)

    def apply(self, pixels: Pixels) -> Pixels:
        from roadworthy.preprocess import geometry

        kernel = Kernel(self.filter, self.antialias, like="pillow" if self.antialias else "opencv")
        fitted, padded = self.sizes(*geometry.size_of(pixels))
        return geometry.padded(geometry.resize(pixels, fitted, kernel), padded, self.value, centered=self.centered)

    def shape(self, before: SampleShape) -> SampleShape:
        want_pixels("letterbox", before)
        if self.stride is None:
            return before.sized(*pair(self.size))
        if before.height is None or before.width is None:
            return before.sized(None, None)
        return before.sized(*self.sizes(before.height, before.width)[1])

    def describe(self) -> str:
        how = [self.filter] + ([] if self.antialias else ["no antialias"]) + ([] if self.scale_up else ["never larger"])
        where = "on both sides" if self.centered else "right and below"
        multiple = f", to multiples of {self.stride}" if self.stride else ""
        return f"scaled to fit in {by(pair(self.size))} ({', '.join(how)}) and padded {where} with {self.value}{multiple}"

    def check(self, pixel_limit: int) -> None:
        check_size("letterbox", self.size, pixel_limit)
        if not 0 <= self.value <= 255:
            raise DataError(f"letterbox.value is {self.value}; a pixel has 0 to 255")
        if not self.antialias and self.filter not in WITHOUT_ANTIALIAS:
            raise DataError(f"the filter {self.filter} exists only with antialias = true")
        if self.stride is not None and (self.stride < 1 or any(side % self.stride for side in pair(self.size))):
            raise DataError(f"letterbox {by(pair(self.size))} is not a multiple of its stride {self.stride}")

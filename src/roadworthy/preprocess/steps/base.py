"""What every step has, and what the steps check in common."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from roadworthy.core.errors import DataError
from roadworthy.preprocess.pixels import Pixels, SampleShape


class StepBase(msgspec.Struct, frozen=True, tag_field="kind", forbid_unknown_fields=True):
    """What the steps share. A field that a reader does not know may change the pixels, so it is refused like an unknown step.

    Between steps the pixels are an array [H,W,C] of uint8, or of float32 after a resize that is not ``rounded``; or a Pillow image of
    uint8 (``pixels.as_array``, ``geometry.as_image``): steps that Pillow carries out copy nothing between them. Float pixels have the
    range of uint8 ones, 0 to 255.
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
        after = self.shape(before)
        # Columns are resized before rows: between the two the image has the old height and the new width.
        return max(after.height or 0, before.height or 0) * (after.width or 0)


def want_pixels(kind: str, before: SampleShape) -> None:
    """Raises DataError where ``before`` is not an image [height, width, channels] of pixels from 0 to 255."""
    if before.normalized or before.channels_first:
        raise DataError(f"{kind} takes pixels [height, width, channels]; the steps before it give {before}: put it before them")


def check_size(name: str, size: int | tuple[int, int], pixel_limit: int) -> None:
    """Raises DataError where ``size`` is not the size of an image of at most ``pixel_limit`` pixels."""
    height, width = pair(size)
    if height < 1 or width < 1:
        raise DataError(f"{name} is {height} x {width}; both must be at least 1")
    if height * width > pixel_limit:
        raise DataError(f"{name} is {height} x {width}, more than the pixel_limit of {pixel_limit}")


def pair(size: int | tuple[int, int]) -> tuple[int, int]:
    """(height, width); one number is a square."""
    return (size, size) if isinstance(size, int) else size


def by(size: tuple[int, int]) -> str:
    """``size`` in words."""
    return f"{size[0]} x {size[1]}"

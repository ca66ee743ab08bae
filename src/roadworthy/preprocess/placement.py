"""Where a sample's pixels lie in its image: what turns the boxes of a detector into those of the image that was sent."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from roadworthy.core.errors import DataError
from roadworthy.core.types import Array
from roadworthy.preprocess.pixels import SampleShape, aspect_crop, fraction_crop
from roadworthy.preprocess.steps import Crop, CropFraction, CropToAspect, Decode, Letterbox, Resize, Step
from roadworthy.preprocess.steps.base import pair

Size = tuple[int, int]
ORIENTATIONS: dict[int, tuple[bool, bool, bool]] = {
    1: (False, False, False), 2: (False, False, True), 3: (False, True, True), 4: (False, True, False),
    5: (True, False, False), 6: (True, False, True), 7: (True, True, True), 8: (True, True, False),
}  # fmt: skip
"""EXIF orientation: whether rows and columns change places and then whether rows, and columns, run backwards."""


@dataclass(frozen=True)
class Placement:
    """A point of the image (row, column), in pixels from its top left corner, is at ``point * scale + offset`` in the sample.

    Pixel (0, 0) reaches from 0 to 1, so that its centre is at 0.5. ``size`` is the (height, width) of the image as its file stores it.
    Where its EXIF orientation was followed, ``swapped`` says that the image's columns are the sample's rows: ``scale`` and ``offset`` are
    of the sample's axes, and a negative scale is of an axis that runs backwards.
    """

    size: Size
    scale: tuple[float, float] = (1.0, 1.0)
    offset: tuple[float, float] = (0.0, 0.0)
    swapped: bool = False

    @property
    def matrix(self) -> Array:
        """float64 [2, 3]: a point (x, y) of the sample is at ``matrix @ (x, y, 1)`` in the image."""
        (down, across), (top, left) = self.scale, self.offset
        x, y = (1 / across, 0.0, -left / across), (0.0, 1 / down, -top / down)
        return np.array([y, x] if self.swapped else [x, y], np.float64)

    def to_image(self, boxes: Array, *, clip: bool = False) -> Array:
        """Boxes of the sample [..., 4] (left, top, right, bottom, in pixels of the sample) in the pixels of the image, float64.

        With ``clip`` what lies in the padding, and so outside the image, is cut off.
        """
        found = _turned(boxes, self.matrix)
        if clip:
            height, width = self.size
            found = found.clip(0, [width, height, width, height])
        return found

    def to_sample(self, boxes: Array) -> Array:
        """Boxes of the image [..., 4] (left, top, right, bottom) in the pixels of the sample, float64."""
        (down, across), (top, left) = self.scale, self.offset
        x, y = (across, 0.0, left), (0.0, down, top)
        matrix = np.array([x, y], np.float64)
        return _turned(boxes, matrix[:, [1, 0, 2]] if self.swapped else matrix)


def of_steps(steps: tuple[Step, ...], size: Size, orientation: int = 1) -> Placement:
    """Where ``steps`` put an image of ``size`` (height, width, as stored) whose EXIF ``orientation`` was followed: 1 where none was.

    Raises DataError where a step changes the size in a way that is not known here.
    """
    first, *after = steps
    assert isinstance(first, Decode)
    swapped, *backwards = ORIENTATIONS.get(orientation, ORIENTATIONS[1])
    sides = (size[1], size[0]) if swapped else size
    scale = [-1.0 if back else 1.0 for back in backwards]
    offset = [float(side) if back else 0.0 for back, side in zip(backwards, sides, strict=True)]
    shape = first.decoded(*sides)
    for step in after:
        by = _of_step(step, shape)
        scale = [one * by_one for one, (by_one, _) in zip(scale, by, strict=True)]
        offset = [one * by_one + more for one, (by_one, more) in zip(offset, by, strict=True)]
        shape = step.shape(shape)
    return Placement(size, (scale[0], scale[1]), (offset[0], offset[1]), swapped)


Axis = tuple[float, float]
"""The scale and the offset of one axis."""


def _of_step(step: Step, before: SampleShape) -> tuple[Axis, Axis]:
    """What one step does to rows and columns."""
    assert before.height is not None and before.width is not None
    size = before.height, before.width
    match step:
        case Resize():
            return _resized(size, step.resized(*size), step.centers)
        case Letterbox():
            fitted, padded = step.sizes(*size)
            margins = [(whole - part) // 2 if step.centered else 0 for whole, part in zip(padded, fitted, strict=True)]
            down, across = _resized(size, fitted, "half")
            return (down[0], margins[0]), (across[0], margins[1])
        case Crop():
            return _cropped(step, size)
        case CropFraction():
            return _cut(fraction_crop(size, step.fraction))
        case CropToAspect():
            return _cut(aspect_crop(size, pair(step.size)))
    after = step.shape(before)
    if (after.height, after.width) != size:
        raise DataError(f"where the pixels lie after the step {step.__struct_config__.tag!r} is not known")
    return (1.0, 0.0), (1.0, 0.0)


def _resized(size: Size, to: Size, centers: str) -> tuple[Axis, Axis]:
    down, across = (_axis(old, new, centers) for old, new in zip(size, to, strict=True))
    return down, across


def _axis(old: int, new: int, centers: str) -> Axis:
    """By which rule the centres of old and new pixels meet: the whole extents, the first centres, or the first and the last."""
    if centers == "half":
        return new / old, 0.0
    scale = new / old if centers == "corner" else (new - 1) / (old - 1) if old > 1 and new > 1 else 1.0
    return scale, 0.5 - 0.5 * scale


def _cropped(step: Crop, size: Size) -> tuple[Axis, Axis]:
    from roadworthy.preprocess.geometry import crop_box

    wanted = pair(step.size)
    if step.larger == "pad" or (size[0] >= wanted[0] and size[1] >= wanted[1]):
        return _cut(crop_box(size, wanted, step.rounding))
    left, top, right, bottom = aspect_crop(size, wanted)
    down, across = wanted[0] / (bottom - top), wanted[1] / (right - left)
    return (down, -top * down), (across, -left * across)


def _cut(box: tuple[int, int, int, int]) -> tuple[Axis, Axis]:
    left, top, _, _ = box
    return (1.0, -float(top)), (1.0, -float(left))


def _turned(boxes: Array, matrix: Array) -> Array:
    """Boxes under an affine map; an axis that runs backwards changes the sides of a box."""
    corners = np.asarray(boxes, np.float64).reshape(*np.shape(boxes)[:-1], 2, 2) @ matrix[:, :2].T + matrix[:, 2]
    return np.concatenate([corners.min(-2), corners.max(-2)], axis=-1)

"""Training's results for some images, and what steps make of the same images."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from roadworthy.build.preprocessing.proof.levels import Gap, Unit, gap, unit_of
from roadworthy.core.errors import RoadworthyError
from roadworthy.core.types import Array
from roadworthy.preprocess.image import Preprocessor
from roadworthy.preprocess.pictures import Pictures
from roadworthy.preprocess.pixels import SampleShape, as_array
from roadworthy.preprocess.steps import Crop, Step

MOVED = "training's transform gives its channels {}: they were moved to compare"


def layout_note(theirs: Array, shape: SampleShape) -> str:
    """Why training's sample has to be laid out anew to be compared with one of ``shape``; empty where it has not."""
    first, last = theirs.shape[0] == shape.channels, theirs.shape[2] == shape.channels
    if shape.channels_first and last and not first:
        return MOVED.format("last")
    return MOVED.format("first") if first and not last and not shape.channels_first else ""


def fitted(theirs: Array, shape: SampleShape) -> Array:
    """``theirs`` in the layout of ``shape``: a channel axis at the other end is moved, nothing else is changed."""
    if not layout_note(theirs, shape):
        return theirs
    return np.moveaxis(theirs, 2, 0) if shape.channels_first else np.moveaxis(theirs, 0, 2)


def size_of(sample: Array, shape: SampleShape) -> tuple[int, int]:
    """The height and width of a sample in the layout of ``shape``."""
    height, width = sample.shape[1:] if shape.channels_first else sample.shape[:2]
    return int(height), int(width)


@dataclass(frozen=True)
class Compared:
    """Some ``pictures``, training's results for them, and the ``unit`` of the deployment's own steps, in which differences are counted."""

    pictures: Pictures
    theirs: tuple[Array, ...]
    unit: Unit

    def gap(self, steps: tuple[Step, ...], shift: tuple[int, int], places: Iterable[int]) -> Gap | None:
        """The differences of ``steps`` from training's; ``None`` where they do not give samples of training's shape."""
        found, own = Gap(), unit_of(steps)
        for index in places:
            try:
                mine = prepare(self.pictures, index, steps, shift)
            except (RoadworthyError, ValueError):
                # Steps that do not fit each other, or this image, are not what training did.
                return None
            if mine.shape != self.theirs[index].shape:
                return None
            found = found.plus(gap(mine, self.theirs[index], self.unit, own))
        return found


def prepare(pictures: Pictures, index: int, steps: tuple[Step, ...], shift: tuple[int, int] = (0, 0)) -> Array:
    """What ``steps`` make of one image, where their crop begins elsewhere by ``shift``: (down, right)."""
    if shift == (0, 0):
        return Preprocessor(steps).one(pictures.open(index), name=pictures.names[index])
    place = next(place for place, step in enumerate(steps) if isinstance(step, Crop))
    pixels = prepare(pictures, index, steps[:place])
    moved = np.roll(pixels, (-shift[0], -shift[1]), axis=(0, 1))
    for step in steps[place:]:
        moved = as_array(step.apply(moved))
    return np.ascontiguousarray(moved)

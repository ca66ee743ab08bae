"""Shuffled batches of a sample set, mirrored and shifted where that is asked for; the same batch goes to the teacher and the student."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from roadworthy.build.compress.outputs import OutputLoss, prepared
from roadworthy.core.errors import DataError
from roadworthy.core.samples import SampleSet
from roadworthy.core.types import Array, TensorSpec

CHANNELS = (1, 3, 4)
"""Sizes of an axis of colours: grey, colours, colours with transparency."""


@dataclass(frozen=True)
class Batch:
    """Inputs by name and, by the name of an output, its labels in the form that its loss takes; rows [samples, ...]."""

    feeds: Mapping[str, Array]
    targets: Mapping[str, Array]


@dataclass(frozen=True)
class Changes:
    """What is done to the images of a batch: ``flip`` mirrors half of them, ``crop`` shifts each by up to so many pixels."""

    flip: bool = False
    crop: int = 0

    @property
    def any(self) -> bool:
        """Whether anything is done."""
        return self.flip or self.crop > 0


class Batches:
    """The samples in an order that the seed decides, another one in each epoch; batch ``number`` is the same whenever it is asked for.

    Every batch has ``size`` samples: what is left at the end of an epoch waits for another one, because a batch of few samples gives
    batch normalisation no statistics. ``heights`` gives the axis of the pixels' rows for each input that is an image (``image_axis``).
    """

    def __init__(
        self,
        samples: SampleSet,
        losses: Sequence[OutputLoss],
        size: int,
        *,
        seed: int,
        changes: Changes = Changes(),
        heights: Mapping[str, int] | None = None,
    ) -> None:
        if samples.count < 2:
            raise DataError(f"{samples.count} training sample is too few to learn from")
        if changes.any and not heights:
            raise DataError("no input is an image that can be mirrored or shifted: leave flip and crop out")
        self.size = min(size, samples.count)
        self.steps = samples.count // self.size
        self._seed, self._changes, self._heights = seed, changes, heights or {}
        self._inputs, self._targets = samples.open(), samples.open_targets()
        self._losses = [loss for loss in losses if loss.target is not None]
        self._count = samples.count
        self._order: tuple[int, Array] = (-1, np.empty(0, np.int64))

    def at(self, number: int) -> Batch:
        """Batch ``number`` of the whole training, from 0 on."""
        epoch, step = divmod(number, self.steps)
        if self._order[0] != epoch:
            self._order = epoch, np.random.default_rng((self._seed, epoch)).permutation(self._count)
        rows = self._order[1][step * self.size : (step + 1) * self.size]
        # In rising order a mapped file is read forwards; within a batch the order does not matter.
        rows = np.sort(rows)
        feeds = {name: array[rows] for name, array in self._inputs.items()}
        if self._changes.any:
            feeds |= changed({name: feeds[name] for name in self._heights}, self._heights, self._changes, (self._seed, epoch, step))
        return Batch(
            feeds, {loss.output: prepared(loss, self._targets[loss.target][rows]) for loss in self._losses if loss.target is not None}
        )


def changed(images: Mapping[str, Array], heights: Mapping[str, int], changes: Changes, seed: Sequence[int]) -> dict[str, Array]:
    """Copies of ``images``, rows [samples, ...], of which each sample is mirrored or not and shifted by a random number of pixels.

    ``heights`` is the axis of the pixels' rows, that of their columns is the next. All images of one sample are changed in one way.
    Pixels that come in from outside repeat the border: that needs no knowledge of how the values were normalised, where zero may be
    black, grey, or a value that no image has.
    """
    generator = np.random.default_rng(tuple(seed))
    count = len(next(iter(images.values())))
    mirrored = generator.integers(0, 2, count) if changes.flip else np.zeros(count, np.int64)
    shifts = generator.integers(0, 2 * changes.crop + 1, (count, 2))
    return {name: _changed(array, heights[name], mirrored, shifts, changes.crop) for name, array in images.items()}


def _changed(images: Array, height: int, mirrored: Array, shifts: Array, crop: int) -> Array:
    moved = np.moveaxis(images, (height, height + 1), (1, 2))
    rows, columns = moved.shape[1:3]
    padded = np.pad(moved, [(0, 0), (crop, crop), (crop, crop), *[(0, 0)] * (moved.ndim - 3)], mode="edge") if crop else moved
    out = np.empty_like(moved)
    for index, (mirror, (down, right)) in enumerate(zip(mirrored.tolist(), shifts.tolist(), strict=True)):
        window = padded[index, down : down + rows, right : right + columns]
        out[index] = window[:, ::-1] if mirror else window
    return np.ascontiguousarray(np.moveaxis(out, (1, 2), (height, height + 1)))


def image_axes(inputs: Sequence[TensorSpec], *, channels_first: bool) -> dict[str, int]:
    """The axis of the pixels' rows, in rows [samples, ...], for each of ``inputs`` that has the shape of an image."""
    found = {spec.name: image_axis(spec.sample_shape, channels_first=channels_first) for spec in inputs}
    return {name: axis for name, axis in found.items() if axis is not None}


def image_axis(shape: Sequence[int | str], *, channels_first: bool) -> int | None:
    """The axis of the pixels' rows in rows [samples, ...] of samples of ``shape``; ``None`` where these are not images.

    The axis of channels has 1, 3 or 4 of them, and none where there are two axes; where both ends do, ``channels_first`` decides.
    """
    if len(shape) == 2:
        return 1
    if len(shape) != 3:
        return None
    first, last = shape[0] in CHANNELS, shape[-1] in CHANNELS
    if not (first or last):
        return None
    return 2 if first and (channels_first or not last) else 1

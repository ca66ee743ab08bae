"""Two preprocessings of the same image compared value by value: in levels of the pixel, and in units of float32's last place."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from roadworthy.bundle.pixels import Verdict, words_of
from roadworthy.core.types import Array
from roadworthy.preprocess.steps import Normalize, Step

ROUNDING = 8.0
"""The largest difference, in units of the last place, that the order of the same operations in float32 explains."""
NEARLY, NEARLY_LEVEL = 0.99, 0.5
"""Two are within 1 level where so many of the values are, and where the mean difference is at most so many levels."""


@dataclass(frozen=True)
class Unit:
    """What one level of a pixel is in a sample, and which value the pixel 0 has: arrays that fit a sample's shape."""

    level: Array
    zero: Array

    def pixels(self, sample: Array) -> Array:
        """``sample`` as pixels of 0 to 255, in float64."""
        return (sample.astype(np.float64) - self.zero) / self.level


def unit_of(steps: tuple[Step, ...]) -> Unit:
    """The unit of the samples that ``steps`` give."""
    last = next((step for step in reversed(steps) if isinstance(step, Normalize)), None)
    if last is None:
        return Unit(np.ones(1), np.zeros(1))
    channels = max(len(last.mean), len(last.std))
    shape = (channels, 1, 1) if last.axis == 0 else (channels,)
    mean, std = (np.broadcast_to(np.array(values, np.float64), channels).reshape(shape) for values in (last.mean, last.std))
    return Unit(last.scale / std, -mean / std)


@dataclass(frozen=True)
class Gap:
    """The differences of some images: of so many ``values`` so many are not equal; the others in levels (see the module)."""

    images: int = 0
    values: int = 0
    unequal: int = 0
    within: int = 0
    ulp: float = 0.0
    largest: float = 0.0
    total: float = 0.0

    def plus(self, other: Gap) -> Gap:
        """Both together."""
        return Gap(
            self.images + other.images,
            self.values + other.values,
            self.unequal + other.unequal,
            self.within + other.within,
            max(self.ulp, other.ulp),
            max(self.largest, other.largest),
            self.total + other.total,
        )

    @property
    def mean(self) -> float:
        """The mean difference in levels."""
        return self.total / self.values if self.values else 0.0

    @property
    def share(self) -> float:
        """The share of the values that differ by at most one level."""
        return self.within / self.values if self.values else 1.0

    @property
    def verdict(self) -> Verdict:
        """What this proves."""
        if not self.unequal:
            return "equal to the bit"
        if self.ulp <= ROUNDING:
            return "equal within float32 rounding"
        return "within 1 level" if self.share >= NEARLY and self.mean <= NEARLY_LEVEL else "different"

    @property
    def words(self) -> str:
        """The verdict with its figures."""
        return words_of(self.verdict, self.share, self.largest, self.mean, self.ulp)

    @property
    def equal(self) -> bool:
        """Whether nothing but rounding is between the two."""
        return self.verdict in ("equal to the bit", "equal within float32 rounding")


def gap(ours: Array, theirs: Array, unit: Unit, own: Unit | None = None) -> Gap:
    """The differences of one sample in levels of ``unit``; both have one shape. ``own`` is the unit in which ``ours`` was computed."""
    a, b = ours.astype(np.float64), theirs.astype(np.float64)
    away = np.abs(a - b)
    levels = away / np.abs(unit.level)
    # Where the mean is subtracted the numbers were larger than the result: their last place counts.
    size = np.maximum(np.maximum(np.abs(a), np.abs(b)), np.abs((own or unit).zero))
    places = away / np.spacing(size.astype(np.float32)).astype(np.float64)
    return Gap(
        1, a.size, int(np.count_nonzero(away)), int(np.count_nonzero(levels <= 1 + 1e-6)), float(places.max(initial=0.0)),
        float(levels.max(initial=0.0)), float(levels.sum()),
    )  # fmt: skip


def place_of_largest(ours: Array, theirs: Array, unit: Unit) -> tuple[int, ...]:
    """Where in the sample the largest difference is, in levels."""
    levels = np.abs(ours.astype(np.float64) - theirs.astype(np.float64)) / np.abs(unit.level)
    return tuple(int(index) for index in np.unravel_index(int(np.argmax(levels)), levels.shape))

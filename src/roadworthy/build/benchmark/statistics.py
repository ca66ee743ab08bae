"""Intervals over rounds: medians, and ratios of two contestants paired by the round they both ran in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np

from roadworthy.core.evidence import ENOUGH, Interval
from roadworthy.core.types import Array

RESAMPLES, SEED = 2000, 20260102
RESTLESS = 0.25
"""A width of the median's interval, relative to the median, above which something that no counter shows came between."""

Rounds = Mapping[int, float]
"""One figure for each round by its number."""


@dataclass(frozen=True)
class Series:
    """One figure of one contestant in every round that it ran, by the number of the round; ``quiet`` are the undisturbed rounds."""

    values: Rounds
    quiet: frozenset[int]

    @property
    def undisturbed(self) -> Rounds:
        """The figures of the quiet rounds."""
        return {number: value for number, value in self.values.items() if number in self.quiet}

    @property
    def noisy(self) -> int:
        """How many rounds were disturbed."""
        return len(self.values) - len(self.undisturbed)

    @property
    def enough(self) -> bool:
        """Whether the quiet rounds alone are enough to say something."""
        return len(self.undisturbed) >= ENOUGH

    @property
    def counted(self) -> Rounds:
        """The quiet rounds; all of them where the quiet ones are too few to say anything."""
        return self.undisturbed if self.enough else self.values

    @property
    def typical(self) -> Interval:
        """The median of ``counted`` with its 95 % interval; there is one round at least."""
        return median_interval(np.array(list(self.counted.values())))

    @property
    def trusted(self) -> bool:
        """Whether enough rounds were quiet, and these agree."""
        return self.enough and width(self.typical) <= RESTLESS


@dataclass(frozen=True)
class Paired:
    """One contestant's figure over another's, paired by round. ``quiet``: over rounds that were quiet for both, otherwise over all."""

    ratio: Interval
    quiet: bool


def paired(a: Series, b: Series, bridge: Series | None = None, confidence: float = 0.95) -> Paired | None:
    """``a`` over ``b`` over the rounds that were quiet for both, or over all that both ran where those are too few.

    ``bridge`` is a contestant that ran beside both, for two that ran in different rounds. ``None`` with too few rounds.
    A contestant is as fast as itself, whatever disturbed it.
    """
    if a == b:
        return Paired(Interval(1.0, 1.0, 1.0), True)
    for middle in (None, bridge):
        for quiet in (True, False):
            first, second = (one.undisturbed if quiet else one.values for one in (a, b))
            third = None if middle is None else middle.undisturbed if quiet else middle.values
            if found := ratio(first, second, third, confidence):
                return Paired(found, quiet)
    return None


def median_interval(values: Array, confidence: float = 0.95) -> Interval:
    """The median of one figure a round, and its bootstrap interval over the rounds."""
    low, high = np.quantile(_medians(values), _tails(confidence))
    return Interval(float(np.median(values)), float(low), float(high))


def width(interval: Interval) -> float:
    """The width of an interval, relative to its estimate."""
    return (interval.high - interval.low) / interval.value if interval.value else 0.0


def ratio(a: Rounds, b: Rounds, bridge: Rounds | None = None, confidence: float = 0.95) -> Interval | None:
    """``a`` over ``b`` paired by round; through ``bridge`` where the two never ran in the same rounds; ``None`` without enough of them.

    What slows both in one round leaves their ratio alone, which is why pairs are resampled and not the two apart.
    """
    common = sorted(a.keys() & b.keys())
    if len(common) >= ENOUGH:
        return median_interval(np.array([a[number] / b[number] for number in common]), confidence)
    if bridge is None:
        return None
    first, second = (_logs(one, bridge) for one in (a, b))
    if min(len(first), len(second)) < ENOUGH:
        return None
    # The two sides ran in different rounds, so they are resampled apart, from different seeds.
    drawn = _medians(first) - _medians(second, seed=SEED + 1)
    low, high = np.exp(np.quantile(drawn, _tails(confidence)))
    return Interval(float(np.exp(np.median(first) - np.median(second))), float(low), float(high))


def widest(a: Rounds, b: Rounds) -> Interval:
    """``a`` over ``b`` where no rounds pair them: as wide as the rounds themselves allow."""
    first, second = list(a.values()), list(b.values())
    return Interval(float(np.median(first) / np.median(second)), min(first) / max(second), max(first) / min(second))


def _tails(confidence: float) -> list[float]:
    return [(1 - confidence) / 2, (1 + confidence) / 2]


def _logs(a: Rounds, b: Rounds) -> Array:
    return np.asarray(np.log([a[number] / b[number] for number in sorted(a.keys() & b.keys())]))


def _medians(values: Array, seed: int = SEED) -> Array:
    drawn = np.sort(values[_draws(len(values), seed)], axis=1)
    return np.asarray((drawn[:, (len(values) - 1) // 2] + drawn[:, len(values) // 2]) / 2)


@cache
def _draws(count: int, seed: int) -> Array:
    return np.random.default_rng(seed).integers(0, count, (RESAMPLES, count))

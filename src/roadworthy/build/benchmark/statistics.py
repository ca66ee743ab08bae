"""Intervals over rounds: medians, and ratios of two candidates paired by the rounds that both ran in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from roadworthy.core import bootstrap
from roadworthy.core.evidence import ENOUGH, Interval
from roadworthy.core.types import Array

SEED = 20260102
WIDEST_TRUSTED = 0.25
"""The rounds agree where the interval of the median is at most this share of the median wide."""

Rounds = Mapping[int, float]
"""One figure for each round by the round's number."""


@dataclass(frozen=True)
class Measurement:
    """One figure of one candidate in one round. ``quiet``: no other process disturbed it."""

    value: float
    quiet: bool


@dataclass(frozen=True)
class Series:
    """One figure of one candidate in every round that it ran in, by the round's number."""

    measurements: Mapping[int, Measurement]

    @cached_property
    def all(self) -> Rounds:
        """The figures of all rounds."""
        return {number: one.value for number, one in self.measurements.items()}

    @cached_property
    def quiet(self) -> Rounds:
        """The figures of the rounds that no other process disturbed."""
        return {number: one.value for number, one in self.measurements.items() if one.quiet}

    @property
    def disturbed(self) -> int:
        """How many rounds were disturbed."""
        return len(self.all) - len(self.quiet)

    @property
    def enough(self) -> bool:
        """Whether the quiet rounds alone are enough for a figure."""
        return len(self.quiet) >= ENOUGH

    @property
    def counted(self) -> Rounds:
        """The quiet rounds; all of them where the quiet ones are too few."""
        return self.quiet if self.enough else self.all

    @cached_property
    def median(self) -> Interval:
        """The median of ``counted`` with its 95 % interval; at least one round is needed."""
        return median_interval(np.array(list(self.counted.values())))

    @property
    def trusted(self) -> bool:
        """Whether enough rounds were quiet and these agree."""
        return self.enough and width(self.median) <= WIDEST_TRUSTED


@dataclass(frozen=True)
class Paired:
    """One candidate's figure over another's, paired by round. ``quiet``: over rounds that were quiet for both, otherwise over all."""

    ratio: Interval
    quiet: bool


def paired(a: Series, b: Series, bridge: Series | None = None, confidence: float = 0.95) -> Paired | None:
    """``a`` over ``b`` over the rounds that were quiet for both, or over all that both ran where those are too few.

    ``bridge`` is a candidate that ran beside both, for two that ran in different rounds. ``None`` with too few rounds.
    The ratio of a candidate to itself is 1, whatever disturbed it.
    """
    if a == b:
        return Paired(Interval(1.0, 1.0, 1.0), True)
    if found := _paired(a, b, None, confidence):
        return found
    return _paired(a, b, bridge, confidence) if bridge else None


def _paired(a: Series, b: Series, bridge: Series | None, confidence: float) -> Paired | None:
    """Over the quiet rounds where these are enough, else over all."""
    if found := ratio(a.quiet, b.quiet, bridge.quiet if bridge else None, confidence):
        return Paired(found, True)
    if found := ratio(a.all, b.all, bridge.all if bridge else None, confidence):
        return Paired(found, False)
    return None


def median_interval(values: Array, confidence: float = 0.95) -> Interval:
    """The median of one figure a round, and its bootstrap interval over the rounds."""
    low, high = np.quantile(bootstrap.medians(values, SEED), _tails(confidence))
    return Interval(float(np.median(values)), float(low), float(high))


def width(interval: Interval) -> float:
    """The width of an interval, relative to its estimate."""
    return (interval.high - interval.low) / interval.value if interval.value else 0.0


def ratio(a: Rounds, b: Rounds, bridge: Rounds | None = None, confidence: float = 0.95) -> Interval | None:
    """``a`` over ``b`` paired by round; through ``bridge`` where the two never ran in the same rounds; ``None`` without enough of them.

    A disturbance that slows both in one round does not change their ratio, so the pairs are resampled and not each side alone.
    """
    common = sorted(a.keys() & b.keys())
    if len(common) >= ENOUGH:
        return median_interval(np.array([a[number] / b[number] for number in common]), confidence)
    if bridge is None:
        return None
    first, second = (_logs(one, bridge) for one in (a, b))
    if min(len(first), len(second)) < ENOUGH:
        return None
    # The two sides ran in different rounds, so each is resampled alone, from a seed of its own.
    drawn = bootstrap.medians(first, SEED) - bootstrap.medians(second, SEED + 1)
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

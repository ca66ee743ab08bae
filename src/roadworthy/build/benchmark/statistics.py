"""Figures over rounds: medians with intervals, ratios of two of them, and rounds corrected for how fast the host was in each.

One rule makes all figures of a table agree: a figure is the median of the rounds that count, corrected for how fast the host was in them,
and a ratio is the quotient of the two figures that are shown. A candidate that left early, while the clock was higher, is not made
faster by that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from roadworthy.core import bootstrap
from roadworthy.core.evidence import ENOUGH, Interval
from roadworthy.core.types import Array

SEED = 20260102
WIDEST_TRUSTED = 0.25
"""The rounds agree where the interval of the median is at most this share of the median wide."""

ALIGNMENTS = 10
"""Repetitions of the median polish, which settles in a few."""
LEAST_QUIET = 0.1
"""Where fewer of the rounds than this share are quiet, they are more likely disturbances that no counter showed."""

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
        return _enough(len(self.quiet), len(self.all))

    @property
    def counted(self) -> Rounds:
        """The quiet rounds; all of them where the quiet ones are too few."""
        return self.quiet if self.enough else self.all

    @cached_property
    def middle(self) -> float:
        """The median of ``counted`` alone."""
        return float(np.median(list(self.counted.values())))

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
    """One figure over another: the quotient of the two medians. ``rounds`` is how many rounds both have that count.

    ``quiet`` says that these are enough and were quiet for both.
    """

    ratio: Interval
    rounds: int
    quiet: bool


def paired(a: Series, b: Series, confidence: float = 0.95) -> Paired:
    """The median of ``a`` over that of ``b``; each has one round at least. The ratio of a candidate to itself is 1.

    The interval is a bootstrap of the rounds that both have, in which what slows both cancels; of each one's own rounds where these
    are too few; and as wide as the rounds themselves with fewer than ``ENOUGH`` of them.
    """
    if a == b:
        return Paired(Interval(1.0, 1.0, 1.0), len(a.counted), True)
    common = sorted(a.counted.keys() & b.counted.keys())
    quiet = a.enough and b.enough and len(common) >= ENOUGH
    if min(len(a.counted), len(b.counted)) < ENOUGH:
        return Paired(_widest(a.counted, b.counted), len(common), quiet)
    joint = len(common) >= ENOUGH
    first, second = (np.log([one.counted[number] for number in (common if joint else sorted(one.counted))]) for one in (a, b))
    # The same seed draws the same rounds for both.
    drawn = bootstrap.medians(first, SEED) - bootstrap.medians(second, SEED if joint else SEED + 1)
    value = a.median.value / b.median.value
    low, high = value * np.exp(np.quantile(drawn, _tails(confidence)) - (np.median(first) - np.median(second)))
    return Paired(Interval(value, float(min(low, value)), float(max(high, value))), len(common), quiet)


def log_ratios(a: Series, b: Series) -> tuple[Array, bool]:
    """The logarithm of ``a`` over ``b`` in each round (float64 [n]), and whether these are the rounds that were quiet for both.

    All rounds that both ran count where the quiet ones are too few, and none where all are too few.
    """
    for first, second, quiet in ((a.quiet, b.quiet, True), (a.all, b.all, False)):
        common = sorted(first.keys() & second.keys())
        if _enough(len(common), len(a.all.keys() & b.all.keys())):
            return np.log([first[number] / second[number] for number in common]), quiet
    return np.zeros(0), False


def aligned(series: Sequence[Series]) -> tuple[Series, ...]:
    """``series`` of one race, corrected for how fast the host was while each of them ran.

    Rounds in which the same candidates ran are one block: within it all saw the same host. The speed of the host in each block, relative
    to the median round, is found by median polish (Tukey 1977, "Exploratory Data Analysis") of the logarithms over candidates and blocks.
    No ratio of two candidates within a round changes, and nothing changes where all ran in the same rounds.
    """
    logs = [{number: float(np.log(value)) for number, value in one.counted.items()} for one in series]
    ran = {number: tuple(number in one.measurements for one in series) for number in {number for one in series for number in one.all}}
    shifts = dict.fromkeys(ran.values(), 0.0)
    for _ in range(ALIGNMENTS):
        centres = [float(np.median([value - shifts[ran[number]] for number, value in one.items()])) if one else 0.0 for one in logs]
        offsets: dict[tuple[bool, ...], list[float]] = {}
        for one, centre in zip(logs, centres, strict=True):
            for block in {ran[number] for number in one}:
                within = [value - centre for number, value in one.items() if ran[number] == block]
                offsets.setdefault(block, []).append(float(np.median(within)))
        shifts |= {block: float(np.median(found)) for block, found in offsets.items()}
        middle = float(np.median([shifts[block] for block in ran.values()])) if ran else 0.0
        shifts = {block: shift - middle for block, shift in shifts.items()}
    factors = {number: float(np.exp(-shifts[block])) for number, block in ran.items()}
    return tuple(
        Series({number: replace(one, value=one.value * factors[number]) for number, one in each.measurements.items()}) for each in series
    )


def median_interval(values: Array, confidence: float = 0.95) -> Interval:
    """The median of one figure a round, and its bootstrap interval over the rounds."""
    low, high = np.quantile(bootstrap.medians(values, SEED), _tails(confidence))
    return Interval(float(np.median(values)), float(low), float(high))


def width(interval: Interval) -> float:
    """The width of an interval, relative to its estimate."""
    return (interval.high - interval.low) / interval.value if interval.value else 0.0


def _widest(a: Rounds, b: Rounds) -> Interval:
    first, second = list(a.values()), list(b.values())
    return Interval(float(np.median(first) / np.median(second)), min(first) / max(second), max(first) / min(second))


def _enough(quiet: int, rounds: int) -> bool:
    return quiet >= max(ENOUGH, LEAST_QUIET * rounds)


def _tails(confidence: float) -> list[float]:
    return [(1 - confidence) / 2, (1 + confidence) / 2]

"""When the question about a candidate is decided before its samples are used up: tests that hold however often one looks.

Testing by betting (Waudby-Smith and Ramdas 2023, "Estimating means of bounded random variables by betting"): a gambler bets against the
hypothesis on each sample before it is seen. Under the hypothesis no strategy multiplies the stake by 1 / alpha at any time, with a
probability above alpha (Ville 1939). Looking after every call of a model and stopping therefore costs nothing. The strategy is a mixture:
the stake is divided evenly, and each part bets another fixed fraction of what it could lose.

Worked example: a budget of 1 %, at 97.5 % confidence, and no sample ever changes. The boldest part grows by 1 / (1 - 0.01) a sample, so
that the whole stake has grown fortyfold after about 570 samples, and the candidate passes. A candidate that loses 10 points is
rejected after about 200.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from roadworthy.build.verify.intervals import ONE_SIDED as ALPHA
from roadworthy.build.verify.intervals import TAIL
from roadworthy.core.evidence import Interval
from roadworthy.core.types import Array

FRACTIONS = np.array([1 / 64, 1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 0.98])
"""What each part of the stake bets, as a fraction of the largest bet that cannot lose more than there is."""
SAME_SHARE = 0.005
"""A candidate is the same function early where, at 95 % confidence, fewer than this share of all samples are beyond its tolerance."""
SAME_SAMPLES = math.ceil(math.log(ALPHA) / math.log1p(-SAME_SHARE))
"""The samples that show it, none of them beyond: the exact binomial bound (Clopper and Pearson 1934). The number is fixed beforehand."""
FEWEST = 256
"""No candidate passes its budget on fewer samples: a generous budget would be met by the first call."""
NARROWEST = 1e-9
STEPS = 50

Stop = Literal["same", "other", "passes", "hopeless"]


@dataclass(frozen=True)
class Bounds:
    """The least and the most that one sample can lose; infinite where that is not known."""

    low: float
    high: float


@dataclass(frozen=True)
class Question:
    """What makes a candidate pass: to be the same function (``same_passes``), or a drop within ``budget`` (``drop_passes``), or either.

    The same function has relative errors up to ``limit``, and up to ``misses`` samples that differ in whole numbers. ``bounds`` are those
    of one sample's loss. Without ``passes_early`` nothing but a rejection is certain before the last sample.
    """

    same_passes: bool
    drop_passes: bool
    limit: float
    misses: float
    budget: float
    bounds: Bounds
    passes_early: bool = True


class MeanTest:
    """Whether the mean of numbers within ``bounds``, seen in random order, lies below ``limit``, or above it."""

    def __init__(self, limit: float, bounds: Bounds) -> None:
        self._limit, self._bounds = limit, bounds
        self._below, self._above = np.zeros(len(FRACTIONS)), np.zeros(len(FRACTIONS))

    def add(self, values: Array) -> None:
        """See ``values`` (float64 [n])."""
        self._below += _bet_below(values, self._limit, self._bounds.high)
        self._above += _bet_below(-values, -self._limit, -self._bounds.low)

    def below(self, alpha: float) -> bool:
        """Whether the mean is below the limit; wrong with a probability of at most ``alpha``, over all looks together."""
        return _stake(self._below) >= -math.log(alpha)

    def above(self, alpha: float) -> bool:
        """Whether it is above, in the same way."""
        return _stake(self._above) >= -math.log(alpha)


class Stopping:
    """Whether a candidate's verdict is decided by the samples so far; ``found`` says how, and is ``None`` before it is.

    ``same``: it is the same function. ``other``: it is another one, and that is not allowed. ``passes`` and ``hopeless``: its drop is
    within the budget, or beyond it.
    """

    def __init__(self, question: Question) -> None:
        self._asked, self._test = question, MeanTest(question.budget, question.bounds)
        self.found: Stop | None = None

    def see(self, samples: int, worst: float, misses: int, losses: Array | None) -> bool:
        """The totals so far: ``samples``, the ``worst`` relative error and the samples that differ in whole numbers (``misses``).

        ``losses`` are those of the samples that came since the last call (float64 [n]), ``None`` for a metric of a whole set: that has no
        figure of a few samples, so nothing but another function is certain early.
        """
        if losses is not None:
            self._test.add(losses)
        self.found = self._verdict(samples, worst, misses, losses is not None)
        return self.found is not None

    def _verdict(self, samples: int, worst: float, misses: int, scored: bool) -> Stop | None:
        asked = self._asked
        other = worst > asked.limit or misses > asked.misses
        early = scored and asked.passes_early
        if early and asked.same_passes and not other and not misses and samples >= SAME_SAMPLES:
            return "same"
        if not asked.drop_passes:
            return "other" if other else None
        if early and samples >= FEWEST and self._test.below(TAIL):
            return "passes"
        return "hopeless" if scored and (other or not asked.same_passes) and self._test.above(ALPHA) else None


def interval(values: Array, bounds: Bounds, usual: Interval) -> tuple[Interval, float]:
    """The mean of ``values`` (float64 [n]), its 95 % interval and one-sided upper 95 % bound, valid for an n that the values decided.

    An end without a bound is that of the ``usual`` interval.
    """
    low, high = bounds.low, bounds.high
    upper, bound = (_upper(values, alpha, high) if math.isfinite(high) else usual.high for alpha in (TAIL, ALPHA))
    lower = -_upper(-values, TAIL, -low) if math.isfinite(low) else usual.low
    return Interval(float(np.mean(values)), lower, upper), bound


def _upper(values: Array, alpha: float, high: float) -> float:
    """The largest mean that ``values`` up to ``high`` do not reject at ``alpha``."""
    levels, counts = np.unique(values, return_counts=True)

    def rejected(mean: float) -> bool:
        return _stake(_bet_below(levels, mean, high, counts)) >= -math.log(alpha)

    least, most = float(np.mean(values)), high
    for _ in range(STEPS):
        middle = (least + most) / 2
        least, most = (least, middle) if rejected(middle) else (middle, most)
    return most


def _bet_below(values: Array, limit: float, high: float, counts: Array | float = 1.0) -> Array:
    """The logarithm of what each part's stake has grown by, from betting that the mean of ``values`` is below ``limit``."""
    if not math.isfinite(high):
        return np.zeros(len(FRACTIONS))
    gains = (limit - values) / max(high - limit, NARROWEST)
    return np.asarray(np.sum(counts * np.log1p(np.maximum(FRACTIONS[:, None] * gains, NARROWEST - 1)), axis=1))


def _stake(logs: Array) -> float:
    """The logarithm of the whole stake, all parts together, which began at 1."""
    largest = float(logs.max())
    return largest + math.log(float(np.mean(np.exp(logs - largest))))

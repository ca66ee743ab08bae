"""Whether one candidate is slower than another, or as fast within a margin: tests on paired rounds that hold however often one looks.

A sign test by betting. Each round says only whether the ratio of the two lies above a limit. Under the hypothesis that its median does
not, that happens with a probability of at most a half, so no strategy of bets multiplies its stake by 1 / alpha at any time, with a
probability above alpha (Ville 1939; Waudby-Smith and Ramdas 2023, "Estimating means of bounded random variables by betting"). The
strategy is a mixture of fixed bets. Inverted, the test is a confidence sequence for a median (Howard and Ramdas 2022, "Sequential
estimation of quantiles with applications to A/B testing and best-arm identification").

Nothing is assumed about the distribution of the times: how much slower a round was does not count. What is assumed: one round says nothing
about the error of the next, beyond what both candidates share. ``bursts`` excludes the rounds in which a neighbour was active; rounds in
random order share what the host does.

Worked example: against 19 others at 95 % confidence (alpha = 0.05 / 19) a candidate is slower after 12 rounds that all say so.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from roadworthy.core.evidence import Interval
from roadworthy.core.types import Array

BETS = np.array([0.1, 0.2, 0.4, 0.6, 0.8, 0.98])
"""What each part of the stake bets, as a fraction of the largest bet."""
FAR = math.log(1.5)
"""A ratio this large (its logarithm) is not noise in most rounds."""
FAR_SHARE, FAR_BET = 1 / 8, 0.9
"""A candidate that is not slower appears slower by ``FAR`` in at most this share of its rounds: so much may be disturbed unseen. The second
is what is bet against that, as a fraction of the largest bet.
"""


def above(logs: Array, limit: float, alpha: float) -> bool:
    """Whether the median of ``logs`` (float [n], of the ratios) lies above ``limit``; wrong with a probability of at most ``alpha``."""
    return _growth(int(np.sum(logs > limit)), len(logs)) >= -math.log(alpha)


def slower(logs: Array, limit: float, alpha: float) -> bool:
    """Whether the ratios lie above ``limit`` in the median, or by ``FAR`` in more than ``FAR_SHARE`` of the rounds.

    Half of the stake is bet on each. The second ends after six rounds what needs no more than a first sight.
    """
    n, far = len(logs), int(np.sum(logs > limit + FAR))
    gained = far * math.log1p(FAR_BET * (1 - FAR_SHARE) / FAR_SHARE) + (n - far) * math.log1p(-FAR_BET)
    return float(np.logaddexp(_growth(int(np.sum(logs > limit)), n), gained)) - math.log(2) >= -math.log(alpha)


def median(values: Array, alpha: float = 0.05) -> Interval:
    """The median of ``values`` (float [n]) and its confidence sequence at this n; with few rounds the interval is their whole range."""
    ordered = np.sort(values)
    n = len(ordered)
    needed = _needed(n, alpha / 2)
    low, high = (ordered[n - needed], ordered[needed - 1]) if needed else (ordered[0], ordered[-1])
    return Interval(float(np.median(ordered)), float(low), float(high))


@lru_cache(maxsize=4096)
def _growth(wins: int, rounds: int) -> float:
    """The logarithm of what the whole stake has grown to, after ``wins`` of ``rounds``."""
    logs = wins * np.log1p(BETS) + (rounds - wins) * np.log1p(-BETS)
    return float(np.logaddexp.reduce(logs)) - math.log(len(BETS))


@lru_cache(maxsize=1024)
def _needed(rounds: int, alpha: float) -> int:
    """The fewest of ``rounds`` that must lie on one side of the median's limit to exclude it; 0 where even all are too few."""
    return next((wins for wins in range(rounds // 2, rounds + 1) if _growth(wins, rounds) >= -math.log(alpha)), 0)

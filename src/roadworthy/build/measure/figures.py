"""Intervals over rounds: medians, and ratios of two contestants paired by the round they both ran in."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from roadworthy.core.evidence import Interval
from roadworthy.core.types import Array

RESAMPLES, SEED = 2000, 20260102
ENOUGH = 5
"""Quiet rounds below which nothing is claimed."""

Rounds = Mapping[int, float]
"""One figure for each round by its number."""


def median_interval(values: Array) -> Interval:
    """The median of one figure a round, and its 95 % bootstrap interval over the rounds."""
    low, high = np.quantile(_medians(values), [0.025, 0.975])
    return Interval(float(np.median(values)), float(low), float(high))


def ratio(a: Rounds, b: Rounds, bridge: Rounds | None = None) -> Interval | None:
    """``a`` over ``b`` paired by round; through ``bridge`` where the two never ran in the same rounds; ``None`` without enough of them.

    What slows both in one round leaves their ratio alone, which is why pairs are resampled and not the two apart.
    """
    common = sorted(a.keys() & b.keys())
    if len(common) >= ENOUGH:
        return median_interval(np.array([a[number] / b[number] for number in common]))
    if bridge is None:
        return None
    first, second = (_logs(one, bridge) for one in (a, b))
    if min(len(first), len(second)) < ENOUGH:
        return None
    # The two sides ran in different rounds, so they are resampled apart, from different seeds.
    drawn = _medians(first) - _medians(second, seed=SEED + 1)
    low, high = np.exp(np.quantile(drawn, [0.025, 0.975]))
    return Interval(float(np.exp(np.median(first) - np.median(second))), float(low), float(high))


def _logs(a: Rounds, b: Rounds) -> Array:
    return np.asarray(np.log([a[number] / b[number] for number in sorted(a.keys() & b.keys())]))


def _medians(values: Array, seed: int = SEED) -> Array:
    drawn = np.random.default_rng(seed).integers(0, len(values), (RESAMPLES, len(values)))
    return np.asarray(np.median(values[drawn], axis=1))

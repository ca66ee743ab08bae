"""Ratios survive what slows both sides; medians survive what slows one round."""

from __future__ import annotations

import numpy as np
import pytest

from roadworthy.build.benchmark import statistics


def test_the_ratio_is_paired_by_round() -> None:
    random = np.random.default_rng(0)
    # ``a`` ran in slow rounds alone, which would look like its own fault without the pairing.
    weather = {number: 1 + 3 * random.random() for number in range(30)}
    a = {number: 2.0 * slow * (1 + 0.01 * random.standard_normal()) for number, slow in weather.items() if slow > 2}
    ratio = statistics.ratio(a, weather)
    assert ratio is not None
    assert ratio.low <= ratio.value <= ratio.high
    assert ratio.value == pytest.approx(2.0, rel=0.02)
    assert ratio.high - ratio.low < 0.05


def test_one_wild_round_moves_no_median() -> None:
    values = np.array([1.0] * 19 + [100.0])
    interval = statistics.median_interval(values)
    assert (interval.value, interval.low, interval.high) == (1.0, 1.0, 1.0)


def test_two_that_never_met_are_compared_through_the_original() -> None:
    random = np.random.default_rng(1)
    original = {number: 10 + random.random() for number in range(40)}
    a = {number: original[number] / 2 for number in range(20)}
    b = {number: original[number] / 4 for number in range(20, 40)}
    ratio = statistics.ratio(a, b, original)
    assert ratio is not None
    assert ratio.value == pytest.approx(2.0)


def test_few_rounds_claim_nothing() -> None:
    few = dict.fromkeys(range(statistics.ENOUGH - 1), 1.0)
    assert statistics.ratio(few, few) is None
    assert statistics.ratio(few, few, few) is None

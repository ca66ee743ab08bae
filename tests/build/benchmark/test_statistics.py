"""What slows both sides does not change a ratio; what slows one round does not change a median."""

from __future__ import annotations

import numpy as np
import pytest

from roadworthy.build.benchmark import statistics


def test_the_ratio_is_paired_by_round() -> None:
    random = np.random.default_rng(0)
    # ``a`` ran in slow rounds alone: without the pairing it would look slower than it is.
    slowdown = {number: 1 + 3 * random.random() for number in range(30)}
    a = {number: 2.0 * slow * (1 + 0.01 * random.standard_normal()) for number, slow in slowdown.items() if slow > 2}
    ratio = statistics.ratio(a, slowdown)
    assert ratio is not None
    assert ratio.low <= ratio.value <= ratio.high
    assert ratio.value == pytest.approx(2.0, rel=0.02)
    assert ratio.high - ratio.low < 0.05


def test_one_outlier_does_not_move_the_median() -> None:
    values = np.array([1.0] * 19 + [100.0])
    interval = statistics.median_interval(values)
    assert (interval.value, interval.low, interval.high) == (1.0, 1.0, 1.0)


def test_two_that_never_ran_in_the_same_round_are_compared_through_the_original() -> None:
    random = np.random.default_rng(1)
    original = {number: 10 + random.random() for number in range(40)}
    a = {number: original[number] / 2 for number in range(20)}
    b = {number: original[number] / 4 for number in range(20, 40)}
    ratio = statistics.ratio(a, b, original)
    assert ratio is not None
    assert ratio.value == pytest.approx(2.0)


def test_too_few_rounds_give_no_ratio() -> None:
    few = dict.fromkeys(range(statistics.ENOUGH - 1), 1.0)
    assert statistics.ratio(few, few) is None
    assert statistics.ratio(few, few, few) is None

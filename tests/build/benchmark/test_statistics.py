"""What slows both sides does not change a ratio; what slows one round does not change a median."""

from __future__ import annotations

import numpy as np
import pytest

from roadworthy.build.benchmark import statistics
from roadworthy.build.benchmark.statistics import Measurement, Series


def series(values: dict[int, float], quiet: bool = True) -> Series:
    return Series({number: Measurement(value, quiet) for number, value in values.items()})


def test_one_that_ran_in_slow_rounds_alone_is_corrected_for_the_host() -> None:
    random = np.random.default_rng(0)
    host = {number: 1.0 if number < 15 else 3.0 for number in range(30)}
    first, second, third = (
        {number: ms * slow * (1 + 0.01 * random.standard_normal()) for number, slow in host.items()} for ms in (1, 2, 4)
    )
    late = {number: value for number, value in third.items() if number >= 15}
    a, b, c = statistics.aligned([series(first), series(second), series(late)])
    for one, other, expected in ((c, a, 4.0), (c, b, 2.0), (b, a, 2.0)):
        ratio = statistics.paired(one, other).ratio
        assert ratio.value == pytest.approx(expected, rel=0.02) and ratio.low <= ratio.value <= ratio.high
        assert ratio.value == pytest.approx(one.median.value / other.median.value)
    assert c.all[20] / a.all[20] == pytest.approx(late[20] / first[20]), "within a round nothing changes"


def test_where_all_ran_in_the_same_rounds_nothing_is_corrected() -> None:
    given = [series({0: 1.0, 1: 5.0, 2: 1.1}), series({0: 2.0, 1: 9.0, 2: 2.1})]
    assert [one.all for one in statistics.aligned(given)] == [pytest.approx(one.all) for one in given]
    assert statistics.aligned([series({}), series({})]) == (series({}), series({}))


def test_what_slows_both_does_not_widen_their_ratio() -> None:
    random = np.random.default_rng(0)
    host = np.exp(random.standard_normal(30))
    a, b = (series(dict(enumerate(ms * host * (1 + 0.01 * random.standard_normal(30))))) for ms in (2.0, 1.0))
    found = statistics.paired(a, b)
    assert found.quiet and found.rounds == 30
    assert statistics.width(found.ratio) < 0.1 < statistics.width(a.median)


def test_a_few_rounds_that_look_quiet_among_many_that_do_not_are_not_enough() -> None:
    many = Series({number: Measurement(2.0, False) for number in range(94)} | {number: Measurement(9.0, True) for number in range(94, 100)})
    assert not many.enough and many.median.value == 2.0
    assert Series({number: one for number, one in many.measurements.items() if number > 60}).enough


def test_one_outlier_does_not_move_the_median() -> None:
    values = np.array([1.0] * 19 + [100.0])
    interval = statistics.median_interval(values)
    assert (interval.value, interval.low, interval.high) == (1.0, 1.0, 1.0)


def test_two_that_never_ran_in_the_same_round_are_compared_through_the_original() -> None:
    """Rounds of the second group ran on a host half as fast."""
    random = np.random.default_rng(1)
    original = {number: (10 + 0.1 * random.random()) * (1 if number < 20 else 2) for number in range(40)}
    a = {number: original[number] / 2 for number in range(20)}
    b = {number: original[number] / 4 for number in range(20, 40)}
    _, first, second = statistics.aligned([series(original), series(a), series(b)])
    found = statistics.paired(first, second)
    assert found.ratio.value == pytest.approx(2.0, rel=0.02)
    assert not found.quiet and found.rounds == 0
    assert len(statistics.log_ratios(first, second)[0]) == 0


def test_with_few_rounds_a_ratio_is_as_wide_as_they_are() -> None:
    found = statistics.paired(series({0: 2.0, 1: 3.0}), series({0: 1.0, 1: 1.0}))
    assert (found.ratio.low, found.ratio.high, found.quiet) == (2.0, 3.0, False)

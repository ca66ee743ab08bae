"""Stopping early keeps its promise: over many data sets, looked at after every call, the wrong verdict is as rare as it says."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from roadworthy.build.verify import intervals, sequential
from roadworthy.build.verify.sequential import Bounds, MeanTest, Question, Stopping
from roadworthy.core.evidence import Interval
from roadworthy.core.types import Array

RUNS, SAMPLES, CALL = 200, 1600, 64
BUDGET = 0.01
ONE = Bounds(-1.0, 1.0)
Draw = Callable[[np.random.Generator], Array]


def changes(worse: float, better: float = 0.0) -> Draw:
    """Losses of a top-1 metric: 1 where an answer became wrong, -1 where it became right."""
    return lambda random: random.choice([1.0, -1.0, 0.0], SAMPLES, p=[worse, better, 1 - worse - better])


def question(**fields: object) -> Question:
    usual = {"same_passes": False, "drop_passes": True, "limit": 1e-5, "misses": 5.0, "budget": BUDGET, "bounds": ONE}
    return Question(**(usual | fields))  # type: ignore[arg-type]


def verdicts(draw: Draw, asked: Question) -> list[str | None]:
    """The verdict on each of many data sets, when it is asked for after every call."""
    found: list[str | None] = []
    for seed in range(RUNS):
        losses, stopping = draw(np.random.default_rng(seed)), Stopping(asked)
        for start in range(0, SAMPLES, CALL):
            if stopping.see(min(start + CALL, SAMPLES), 1.0, 0, losses[start : start + CALL]):
                break
        found.append(stopping.found)
    return found


def most(alpha: float) -> float:
    """The count that a rate of ``alpha`` exceeds in one of a thousand repetitions of the whole test."""
    return float(RUNS * alpha + 3.1 * np.sqrt(RUNS * alpha * (1 - alpha)))


@pytest.mark.parametrize(
    "draw",
    [
        pytest.param(changes(0.01), id="few samples change"),
        pytest.param(changes(0.03, 0.02), id="some samples change"),
        pytest.param(changes(0.21, 0.20), id="many samples change"),
        pytest.param(lambda random: random.beta(0.02, 1.98, SAMPLES), id="real-valued losses, most of them tiny"),
    ],
)
def test_a_drop_exactly_at_the_budget_seldom_stops_early(draw: Draw) -> None:
    found = verdicts(draw, question())
    assert found.count("passes") <= most(sequential.TAIL)
    assert found.count("hopeless") <= most(sequential.ALPHA)


def test_the_usual_bound_looked_at_after_every_call_would_not_keep_the_promise() -> None:
    """Why the tests by betting are needed: the bound for a fixed number of samples lets far more through when one looks repeatedly."""
    wrong, runs = 0, 1000
    for seed in range(runs):
        losses = changes(0.03, 0.02)(np.random.default_rng(seed))
        looks = np.arange(CALL, SAMPLES + 1, CALL)
        means = np.cumsum(losses)[looks - 1] / looks
        errors = np.sqrt(np.maximum(np.cumsum(losses**2)[looks - 1] / looks - means**2, 1e-12) / looks)
        later = looks >= sequential.FEWEST
        wrong += bool(np.any((means + 1.96 * errors <= BUDGET) & later))
    assert wrong > 2 * sequential.TAIL * runs


@pytest.mark.parametrize(("draw", "verdict"), [(changes(0.0), "passes"), (changes(0.001), "passes"), (changes(0.1), "hopeless")])
def test_what_is_obvious_stops_early(draw: Draw, verdict: str) -> None:
    found = verdicts(draw, question())
    assert found.count(verdict) > 0.9 * RUNS


def test_the_interval_holds_where_the_values_chose_when_to_stop() -> None:
    """The true drop of 5 points lies within the interval at the moment of rejection; the usual interval misses it far more often."""
    missed = missed_by_usual = 0
    for seed in range(RUNS // 2):
        losses, test = changes(0.05)(np.random.default_rng(seed)), MeanTest(BUDGET, ONE)
        count = 0
        while count < SAMPLES and not test.above(sequential.ALPHA):
            test.add(losses[count : count + CALL])
            count += CALL
        usual, _ = intervals.drop_interval(losses[:count], 1.0)
        found, bound = sequential.interval(losses[:count], ONE, usual)
        assert found.low <= found.value <= bound <= found.high
        assert found.low > BUDGET - 1e-9 or count >= SAMPLES or not test.above(sequential.TAIL)
        missed += not found.low <= 0.05 <= found.high
        missed_by_usual += usual.low > 0.05
    assert missed <= most(sequential.ALPHA)
    assert missed_by_usual > missed


def test_an_end_without_a_bound_is_that_of_the_usual_interval() -> None:
    found, bound = sequential.interval(np.full(100, 0.3), Bounds(0.0, float("inf")), Interval(0.3, 0.2, 0.4))
    assert 0.1 < found.low < 0.3 and (found.high, bound) == (0.4, 0.4)


def test_a_metric_without_bounds_or_of_a_whole_set_stops_nothing() -> None:
    unbounded = Stopping(question(bounds=Bounds(-np.inf, np.inf)))
    assert not any(unbounded.see(count, 1.0, 0, np.full(CALL, 5.0)) for count in range(CALL, SAMPLES, CALL))
    whole = Stopping(question())
    assert not any(whole.see(count, 1.0, 0, None) for count in range(CALL, SAMPLES, CALL))


def test_the_same_function_needs_a_fixed_number_of_samples_and_not_one_beyond() -> None:
    asked = question(same_passes=True, drop_passes=False)
    assert 1 - intervals.binomial_upper(0, sequential.SAME_SAMPLES, sequential.ALPHA) >= 1 - sequential.SAME_SHARE
    none = np.zeros(CALL)
    same = Stopping(asked)
    assert not same.see(sequential.SAME_SAMPLES - 1, 1e-6, 0, none)
    assert same.see(sequential.SAME_SAMPLES, 1e-6, 0, none) and same.found == "same"
    one = Stopping(asked)
    assert not one.see(SAMPLES, 1e-6, 1, none)
    assert one.see(SAMPLES, 1e-6, 6, none) and one.found == "other"
    far = Stopping(asked)
    assert far.see(CALL, 1e-4, 0, none) and far.found == "other"


def test_a_figure_of_a_whole_set_ends_early_for_another_function_alone() -> None:
    asked = question(same_passes=True, drop_passes=False)
    assert not Stopping(asked).see(SAMPLES, 1e-6, 0, None)
    assert Stopping(asked).see(CALL, 1e-4, 0, None)


def test_a_quantised_original_has_both_ways_to_pass() -> None:
    asked = question(same_passes=True)
    same, within, beyond = Stopping(asked), Stopping(asked), Stopping(asked)
    assert same.see(sequential.SAME_SAMPLES, 1e-6, 0, np.zeros(sequential.SAME_SAMPLES)) and same.found in ("same", "passes")
    assert within.see(1000, 0.1, 0, np.zeros(1000)) and within.found == "passes"
    assert beyond.see(1000, 0.1, 0, np.ones(1000)) and beyond.found == "hopeless"


def test_a_generous_budget_is_not_met_by_the_first_call() -> None:
    generous = Stopping(question(budget=1.0))
    assert not generous.see(CALL, 1.0, 0, np.zeros(CALL))
    assert generous.see(sequential.FEWEST, 1.0, 0, np.zeros(CALL))

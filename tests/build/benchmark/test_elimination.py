"""Who leaves a race and when it stops: on drawn rounds, and in simulated races on a quiet and on a busy machine."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roadworthy.build.benchmark import pairs, signs
from roadworthy.build.benchmark.decision.ranking import Ranking
from roadworthy.build.benchmark.elimination import CHECKS, FEWEST, MOST, REPORTED, Contest, thinned
from roadworthy.build.benchmark.statistics import Measurement, Series
from roadworthy.bundle.course import Course, CourseCheck

sys.path.insert(0, str(Path(__file__).parents[3] / "benchmarks"))

import simulated_races as simulated

RACES = 12


def contest(
    speeds: dict[str, float], *, noise: float = 0.01, quiet: bool = True, seed: int = 0, timed: bool = True
) -> tuple[Course, set[str]]:
    """The course of a race of ``original`` against ``speeds``, and those that were still in at its end."""
    random = np.random.default_rng(seed)
    everyone = {"original": 9.0, **speeds}
    rounds: dict[str, dict[int, Measurement]] = {name: {} for name in everyone}
    running = Contest("original", speeds, "latency", timed=timed)
    running.begin()
    for number in range(MOST):
        named = {name: Series(dict(found)) for name, found in rounds.items() if name == "original" or name not in running.left}
        needed = running.next_round(named, float(number), late=False)
        if not needed:
            break
        for name in needed:
            ms = everyone[name] * np.exp(noise * random.standard_normal())
            rounds[name][number] = Measurement(ms, quiet and name != "original")
    else:
        running.ended({name: Series(found) for name, found in rounds.items() if name not in running.left}, float(MOST), limited=False)
    return running.course(), speeds.keys() - running.left.keys()


def test_the_fastest_leads_and_the_race_stops_long_before_the_most_rounds() -> None:
    course, left = contest({"a": 1.0, "b": 1.06, "c": 3.0, "d": 1.3})
    assert (course.stopped, left) == ("leads", {"a"}) and course.rounds < MOST / 2
    gone = {one.plan: one for one in course.departures}
    assert (gone["c"].why, gone["c"].rounds, gone["c"].by) == ("far", FEWEST, "a")
    assert gone["b"].why == "slower" and gone["b"].rounds > FEWEST
    ratio = gone["c"].ratio
    assert ratio is not None and ratio.low <= ratio.value <= ratio.high and ratio.value == pytest.approx(3.0, rel=0.05)


def test_equal_ones_stop_the_race_when_that_is_certain() -> None:
    course, left = contest({"a": 1.0, "b": 1.001, "c": 3.0}, noise=0.005)
    assert (course.stopped, left) == ("level", {"a", "b"})


def test_what_cannot_be_told_apart_stops_after_the_most_rounds() -> None:
    course, left = contest({"a": 1.0, "b": 1.02}, noise=0.2)
    assert (course.stopped, left, course.rounds) == ("rounds", {"a", "b"}, MOST)


def test_an_original_that_is_never_quiet_costs_no_candidate_anything() -> None:
    """Its rounds all count as disturbed. It runs until the report has its figure, and no longer."""
    course, left = contest({"a": 1.0, "b": 1.04, "c": 1.5})
    assert left == {"a"} and course.stopped == "leads" and course.rounds <= 4 * REPORTED


def test_while_the_race_is_young_disturbed_rounds_eliminate_only_what_is_far_slower() -> None:
    course, left = contest({"a": 1.0, "b": 1.3, "c": 4.0}, quiet=False)
    assert left == {"a"} and course.stopped == "leads"
    gone = {one.plan: one.rounds for one in course.departures}
    assert gone == {"b": MOST, "c": FEWEST}, "the one left when the last rounds were looked at, the other at first sight"


def test_where_no_time_decides_all_run_the_fewest_rounds() -> None:
    course, left = contest({"a": 1.0, "b": 3.0}, timed=False)
    assert (course.stopped, course.rounds, left) == ("untimed", FEWEST, {"a", "b"})


def test_one_that_cannot_be_chosen_makes_none_leave() -> None:
    random = np.random.default_rng(0)
    running = Contest("original", ("a", "b"), "latency")
    running.begin()
    named: dict[str, Series] = {"original": Series({}), "a": Series({}), "b": Series({}), "framework": Series({})}
    for number in range(3 * REPORTED):
        needed = running.next_round(named, 0.0, late=False)
        for name, ms in (("original", 9.0), ("a", 1.0), ("b", 1.01), ("framework", 0.1)):
            if name in needed:
                value = ms * float(np.exp(0.05 * random.standard_normal()))
                named[name] = Series({**named[name].measurements, number: Measurement(value, True)})
    assert {name: (one.why, one.by) for name, one in running.left.items()} == {"framework": ("reported", "")}


def test_one_that_fails_is_said_to_have_failed() -> None:
    running = Contest("original", ("a", "b"), "latency")
    running.begin()
    steady = Series({number: Measurement(1.0, True) for number in range(4)})
    running.next_round({"original": steady, "a": steady, "b": steady}, 0.0, late=False)
    running.next_round({"original": steady, "a": steady}, 0.1, late=False)
    assert running.left["b"].why == "failed"


def test_the_best_leaves_no_more_often_than_stated() -> None:
    """All are nearly equal, and nearly every round is looked at: the usual sign test, looked at as often, fails several times as often."""
    wrong = sum("best" not in contest({"best": 1.0, "b": 1.001, "c": 1.002}, noise=0.3, seed=seed)[1] for seed in range(40))
    assert wrong <= 5  # expected at most 2; 6 or more have a probability of 1 %


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.01, 1.0))
def test_the_interval_of_a_median_holds_the_figure(seed: int, spread: float) -> None:
    values = np.exp(spread * np.random.default_rng(seed).standard_normal(30))
    found = signs.median(values)
    assert values.min() <= found.low <= found.value <= found.high <= values.max()


def test_the_interval_of_a_median_holds_at_all_looks_together() -> None:
    missed = 0
    for seed in range(100):
        values = np.random.default_rng(seed).standard_normal(150)
        missed += any(not (found := signs.median(values[:n])).low <= 0 <= found.high for n in range(10, 150, 3))
    assert missed <= 12  # expected at most 5; more than 12 have a probability below 0.2 %


def test_a_small_and_a_far_lead_need_the_rounds_that_the_method_says() -> None:
    alpha = pairs.error_rate(20)
    assert next(n for n in range(1, 50) if signs.above(np.full(n, 0.03), 0.0, alpha)) == 11
    assert signs.slower(np.full(FEWEST, 0.5), 0.0, alpha) and not signs.slower(np.full(FEWEST, 0.03), 0.0, alpha)
    assert signs.slower(np.array([0.5] * 5 + [-0.1]), 0.0, alpha), "one contrary round of six does not keep it"
    assert not signs.slower(np.array([0.5] * 3 + [-0.1] * 3), 0.0, alpha)


def test_few_checks_are_kept_the_first_and_the_last_among_them() -> None:
    checks = [CourseCheck(number, float(number), ()) for number in range(500)]
    kept = thinned(checks)
    assert (
        len(kept) == CHECKS and kept[0] == checks[0] and kept[-1] == checks[-1] and list(kept) == sorted(kept, key=lambda one: one.rounds)
    )
    assert thinned(checks[:7]) == tuple(checks[:7])


@pytest.mark.parametrize("neighbour", ["none", "bursts on one core", "bursts on both cores"])
def test_the_choice_of_a_simulated_race_is_within_the_margin_of_the_best(neighbour: simulated.Neighbour) -> None:
    """``benchmarks/race_truth.py`` has the figures of many more."""
    outcomes = [simulated.outcome(seed, neighbour, count=10) for seed in range(RACES)]
    assert sum(one.ratio <= 1.02 for one in outcomes) >= RACES - 1
    assert max(one.ratio for one in outcomes) < 1.1


def test_where_time_is_short_and_rounds_vary_what_is_open_is_not_decided_by_simplicity(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A long quiet race is decided whatever the rule for ties; a short one leaves several open."""
    monkeypatch.setattr(simulated, "SECONDS", 4.0)
    monkeypatch.setattr(simulated, "NOISE", 0.03)
    outcomes = [simulated.outcome(seed, "none", count=10) for seed in range(RACES)]
    assert sum(one.ratio <= 1.02 for one in outcomes) >= RACES - 2


def test_a_restless_original_changes_no_choice_in_a_simulated_race() -> None:
    outcomes = [simulated.outcome(seed, "none", restless=True, count=10) for seed in range(RACES)]
    assert sum(one.ratio <= 1.02 for one in outcomes) >= RACES - 1


def test_the_columns_of_a_simulated_race_agree() -> None:
    """However many rounds each ran: the one that is chosen has the shortest latency but for the margin, and ratios are quotients."""
    for seed in range(4):
        race, _ = simulated.simulate(seed, "bursts on one core", count=10)
        found = Ranking(race, "latency").undominated(race.timed)
        fastest = min(one.measured.timing.latency_ms.value for one in race.timed)
        assert found.best.measured.timing.latency_ms.value <= 1.02 * fastest
        original = race.original.measured.timing.latency_ms.value
        for one in race.timed:
            assert one.measured.timing.speedup.value == pytest.approx(original / one.measured.timing.latency_ms.value)

"""The choice on planted figures: the better figure wins, the simpler one only where both are proven equal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roadworthy.build.benchmark import Race, choose, in_words, pairs, statistics
from roadworthy.build.benchmark.decision.ranking import Ranking
from roadworthy.build.benchmark.decision.reasons import (
    BesideFramework,
    BesideOriginal,
    FallbackPacked,
    NeedsFramework,
    ObjectiveFigure,
    RaceStopped,
    Reason,
    RoundCounts,
    SimplestOf,
    TiesWithBest,
)
from roadworthy.build.benchmark.decision.wording import sentence
from roadworthy.build.benchmark.race import Timed
from roadworthy.build.benchmark.statistics import Measurement, Series
from roadworthy.bundle.certificate import Choice, FrameworkForm, Goal
from roadworthy.bundle.course import Course, Stop
from roadworthy.core.errors import NoCandidate, UsageError
from roadworthy.core.evidence import Interval, Parity, Rate, Timing
from roadworthy.core.registry import RuntimeFacts
from roadworthy.core.stages import Candidate, Measured, Plan, Verified
from support.models.linear import SIGNATURE

ROUNDS = 20
DISTURBED = ("disturbed", "noisy", "busy", "other processes", "Other processes")


def timed(plan: Plan, latency: Series, rates: Series, original: Series, *, size: float = 10.0, memory: float = 100.0) -> Timed:
    """A candidate whose timing is drawn from its rounds as the race draws it."""
    same = plan.precision == "fp32" and not plan.compression
    plan = replace(plan, lossy=not same)
    parity = Parity(100, (1,), 0.0, 0.0 if same else 0.01, 0.0, 1.0, 1.0, same)
    beside = statistics.paired(original, latency)
    timing = Timing(
        latency_ms=latency.median,
        p99_ms=1.0,
        speedup=beside.ratio,
        memory_mb=memory,
        cold_ms=300.0,
        size_mb=size,
        rounds=len(latency.quiet),
        noisy=latency.disturbed,
        trusted=latency.trusted,
        paired=beside.quiet,
        rate=Rate(rates.median, 8, rates.median, True, len(rates.quiet), rates.disturbed, rates.trusted),
    )
    measured = Measured(Verified(Candidate(plan, Path("x"), SIGNATURE, "onnx", 1, 1.0), parity, None), timing)
    return Timed(measured, latency, rates)


def series(values: Sequence[float], quiet: Sequence[bool] | bool = True) -> Series:
    flags = [quiet] * len(values) if isinstance(quiet, bool) else quiet
    return Series({number: Measurement(value, flag) for number, (value, flag) in enumerate(zip(values, flags, strict=True))})


def run(original: Series, *others: tuple[Plan, Series]) -> Race:
    """A race of which every round is given."""
    entries = ((Plan("framework"), original), *others)
    return Race(tuple(timed(plan, one, series([1e3 / value for value in one.all.values()]), original) for plan, one in entries), ())


def one(
    plan: Plan, latency: float, *, rate: float = 100.0, size: float = 10.0, memory: float = 100.0, trusted: bool = True
) -> Callable[[np.random.Generator, float, Series | None], Timed]:
    """A candidate of so many ms; where it is not ``trusted`` another process disturbed all of its rounds of latency."""

    def entry(random: np.random.Generator, noise: float, original: Series | None) -> Timed:
        ms, rates = (value * np.exp(noise * random.standard_normal(ROUNDS)) for value in (latency, rate))
        latencies = series(ms, trusted)
        return timed(plan, latencies, series(rates), original or latencies, size=size, memory=memory)

    return entry


def raced(*others: Callable[..., Timed], noise: float = 0.005) -> Race:
    random = np.random.default_rng(0)
    original = series(10.0 * np.exp(noise * random.standard_normal(ROUNDS)))
    return Race(tuple(entry(random, noise, original) for entry in (one(Plan("framework"), 10.0), *others)), ())


def facts_of(name: str) -> RuntimeFacts:
    return RuntimeFacts((), (), framework=name.startswith("framework"), native=name == "framework-native")


def chosen(race: Race, objective: str = "latency", *, allowed: bool = False) -> Choice:
    return in_words(choose(race, Goal(objective, "top1", 0.01), framework_allowed=allowed, facts_of=facts_of))


def test_the_fastest_within_the_budget_wins_and_a_float32_one_stands_by() -> None:
    choice = chosen(raced(one(Plan("a"), 3.0), one(Plan("a", "int8"), 1.0), one(Plan("b", batch=1), 2.5)))
    assert choice.winner == "a-int8-t1"
    assert choice.fallback == "a-fp32-t1"
    assert "1 ms" in choice.reasons[0]
    assert "9.98 times as fast as the original" in choice.reasons[1]


def test_a_lossy_winner_in_float32_has_a_fallback_and_none_is_one() -> None:
    pruned = one(Plan("a", compression="pruned50"), 1.0)
    assert chosen(raced(one(Plan("a"), 3.0), pruned)).fallback == "a-fp32-t1"
    choice = chosen(raced(one(Plan("b", "int8"), 0.5), pruned))
    assert (choice.winner, choice.fallback) == ("b-int8-t1", None)


def test_an_int8_that_lost_to_float32_is_not_chosen() -> None:
    choice = chosen(raced(one(Plan("a"), 1.27), one(Plan("a", "int8"), 2.12)))
    assert choice.winner == "a-fp32-t1"
    assert choice.fallback is None


@pytest.mark.parametrize(
    ("simple", "special"),
    [
        (Plan("b"), Plan("a", "int8")),
        (Plan("b"), Plan("a", compression="pruned50")),
        (Plan("b", compression="pruned50"), Plan("a", "int8")),
        (Plan("b"), Plan("a", "bf16")),
        (Plan("b", "bf16"), Plan("a", "int8")),
        (Plan("b"), Plan("a", batch=1)),
        (Plan("b", threads=2), Plan("a", threads=2, spin=True)),
        (Plan("b", threads=1), Plan("a", threads=2)),
        (Plan("b"), Plan("a", flavour="special")),
    ],
)
def test_the_simpler_one_wins_a_tie(simple: Plan, special: Plan) -> None:
    choice = chosen(raced(one(special, 0.995), one(simple, 1.0)))
    assert choice.winner == simple.name
    assert any("simplest" in reason for reason in choice.reasons)


def test_within_the_noise_the_better_figure_wins_and_what_is_open_is_said() -> None:
    """Neither is certainly slower, and nothing shows that they are equal: that one is simpler is no reason to take it."""
    entrants = (one(Plan("a"), 1.1), one(Plan("a", "int8"), 1.0))
    choice = chosen(raced(*entrants, noise=0.3))
    medians = {entry.plan.name: entry.measured.timing.latency_ms.value for entry in raced(*entrants, noise=0.3).timed[1:]}
    assert choice.winner == min(medians, key=lambda name: medians[name])
    (other,) = medians.keys() - {choice.winner}
    assert any(f"{other} (" in reason and "may be as good" in reason for reason in choice.reasons)
    assert not any("simplest" in reason for reason in choice.reasons)
    certain = chosen(raced(*entrants, noise=0.01))
    assert certain.winner == "a-int8-t1" and not any("may be as good" in reason for reason in certain.reasons)


@pytest.mark.parametrize("lead", [1.09, 1.03])
def test_what_is_slower_in_every_round_is_not_chosen_for_being_simpler(lead: float) -> None:
    """The simpler one is slower in every round; the rounds of both vary by a factor of two together, and one round is off."""
    random = np.random.default_rng(3)
    host = np.exp(0.7 * random.standard_normal(ROUNDS))
    quick = host * np.exp(0.004 * random.standard_normal(ROUNDS))
    slow = lead * host * np.exp(0.004 * random.standard_normal(ROUNDS))
    slow[0] = 1.001 * quick[0]
    assert (slow > quick).all()
    assert chosen(run(series(9 * host), (Plan("a"), series(slow)), (Plan("b", "int8"), series(quick)))).winner == "b-int8-t1"


def test_a_framework_takes_part_only_where_it_is_allowed() -> None:
    race = raced(one(Plan("framework-native", "int8"), 1.0), one(Plan("a"), 3.0))
    choice = chosen(race)
    assert choice.winner == "a-fp32-t1"
    assert any("--allow-framework-at-serve" in reason for reason in choice.reasons)
    allowed = chosen(race, allowed=True)
    assert (allowed.winner, allowed.fallback) == ("framework-native-int8-t1", "a-fp32-t1")


def test_the_winner_is_held_against_the_frameworks_own_fastest_form() -> None:
    forms = (one(Plan("framework", flavour="graph"), 4.0), one(Plan("framework-native"), 2.0), one(Plan("framework", "bf16"), 12.0))
    choice = chosen(raced(one(Plan("a"), 0.5), *forms, noise=0.02))
    assert choice.framework is not None
    assert (choice.winner, choice.framework.plan, choice.framework.paired) == ("a-fp32-t1", "framework-native-fp32-t1", True)
    beside = choice.framework.speedup
    assert beside.low < 4.0 < beside.high and beside.high - beside.low < 0.2
    (reason,) = [reason for reason in choice.reasons if "own framework" in reason]
    assert f"{beside.value:.2f} times as fast" in reason and "framework-native-fp32-t1" in reason and "paired by round" in reason


def test_without_a_faster_form_nothing_is_said_of_the_framework() -> None:
    slower = one(Plan("framework", flavour="graph"), 11.0)
    faster = one(Plan("framework", flavour="graph"), 5.0)
    assert chosen(raced(one(Plan("a"), 1.0), slower)).framework is None
    assert chosen(raced(one(Plan("a"), 1.0))).framework is None
    # Where it wins itself there is nothing to hold it against.
    assert chosen(raced(one(Plan("a"), 9.0), faster), allowed=True).framework is None


def test_a_form_that_was_faster_than_the_winner_is_said_to_be() -> None:
    choice = chosen(raced(one(Plan("a"), 2.0), one(Plan("framework", flavour="graph"), 1.0)))
    assert choice.framework is not None and choice.framework.speedup.value == pytest.approx(0.5, rel=0.02)
    assert any("0.50 times as fast" in reason for reason in choice.reasons)


def test_without_quiet_rounds_the_form_is_compared_over_the_disturbed_ones_and_that_is_said() -> None:
    choice = chosen(raced(one(Plan("a"), 0.5, trusted=False), one(Plan("framework", flavour="graph"), 2.0, trusted=False)))
    assert choice.framework is not None and not choice.framework.paired
    assert choice.framework.speedup.value == pytest.approx(4.0, rel=0.02)
    assert any("about" in reason and "too few undisturbed rounds" in reason for reason in choice.reasons)


def test_without_any_candidate_left_the_error_says_what_to_allow() -> None:
    with pytest.raises(NoCandidate, match="--allow-framework-at-serve"):
        chosen(raced(one(Plan("framework", "bf16"), 1.0)))


def test_the_original_stays_when_nothing_beats_it() -> None:
    choice = chosen(raced(one(Plan("a"), 9.95), one(Plan("a", "int8"), 12.0)), allowed=True)
    assert choice.winner == "framework-fp32-t1"
    assert "Nothing is better than the original" in choice.reasons[0]


def test_disturbed_rounds_decide_what_is_clear_and_that_is_said() -> None:
    noisy = {"trusted": False}
    choice = chosen(raced(one(Plan("a"), 9.0, **noisy), one(Plan("a", "int8"), 3.0, **noisy), one(Plan("b"), 8.0, **noisy), noise=0.3))
    assert choice.winner == "a-int8-t1"
    assert any("Other processes disturbed 20 of 20 rounds of a-int8-t1" in reason for reason in choice.reasons)


def test_what_disturbed_rounds_leave_open_the_better_figure_decides() -> None:
    noisy = {"trusted": False}
    choice = chosen(raced(one(Plan("a"), 1.2, **noisy), one(Plan("a", "int8"), 1.0, **noisy), noise=0.3))
    assert choice.winner == "a-int8-t1"
    assert any("disturbed 20 of 20" in reason for reason in choice.reasons)
    assert any("a-fp32-t1" in reason and "20 of 20 of its rounds were disturbed" in reason for reason in choice.reasons)


def test_one_whose_rounds_were_disturbed_is_chosen_where_it_is_far_faster() -> None:
    choice = chosen(raced(one(Plan("a", "int8"), 0.1, trusted=False), one(Plan("a"), 1.0)))
    assert choice.winner == "a-int8-t1"


def test_an_original_that_waits_for_its_own_threads_makes_no_candidate_uncertain() -> None:
    """Every round of the original counts as disturbed, the candidates have quiet ones: the fastest of these wins."""
    random = np.random.default_rng(1)
    original = series(3.0 + 0.1 * random.random(ROUNDS), quiet=False)
    quick, slow = (series(ms * (1 + 0.01 * random.random(ROUNDS))) for ms in (0.2, 0.6))
    choice = chosen(run(original, (Plan("a"), slow), (Plan("b", "int8"), quick)))
    assert choice.winner == "b-int8-t1"
    assert "has the shortest latency" in choice.reasons[0]
    (beside,) = [reason for reason in choice.reasons if "the original as it is called" in reason]
    assert "about" in beside and "0 of 20 of its own and 20 of 20 of the original" in beside
    assert not any("Other processes" in reason or "not judged" in reason for reason in choice.reasons)


def test_one_that_may_be_as_good_as_the_best_but_is_worse_than_a_third_is_not_left_open() -> None:
    """The simplest is 9 % slower than another in every round; the rounds of the fastest vary too much to beat either."""
    random = np.random.default_rng(14)
    slowdown = 1 + random.random(ROUNDS)
    steady, beaten = series(slowdown), series(1.09 * slowdown)
    leader = series(0.98 * slowdown * (1 + 0.2 * random.standard_normal(ROUNDS)))
    race = run(series(4 * slowdown), (Plan("b", threads=2), steady), (Plan("a"), beaten), (Plan("a", "int8"), leader))
    found = Ranking(race, "latency").undominated(race.timed[1:])
    assert {one.plan.name for one in (*found.equal, *found.open)} == {"b-fp32-t2", "a-int8-t1"}
    assert chosen(race).winner == found.best.plan.name


def test_rounds_that_do_not_agree_are_not_called_disturbed() -> None:
    varying = series([1.0, 2.0] * 10)
    choice = chosen(run(series([9.0] * ROUNDS), (Plan("a"), varying)))
    assert choice.winner == "a-fp32-t1"
    assert any("do not agree" in reason for reason in choice.reasons)
    assert not any(word in reason for reason in choice.reasons for word in DISTURBED)


PLANS = (Plan("a"), Plan("b", threads=2), Plan("a", "int8"), Plan("b", batch=1), Plan("framework", flavour="graph"))


@st.composite
def races(draw: st.DrawFn, *, disturbed: bool = True) -> Race:
    """Up to five candidates of any speed, slowed together by the host, in rounds of which any may be disturbed for any of them."""
    count, rounds = draw(st.integers(1, len(PLANS))), draw(st.integers(6, 12))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    slowdown = np.exp(draw(st.sampled_from([0.0, 0.05, 1.0])) * random.standard_normal(rounds))
    share_quiet = draw(st.sampled_from([0.0, 0.5, 0.9])) if disturbed else 1.0

    def drawn(ms: float) -> Series:
        jitter = np.exp(draw(st.sampled_from([0.001, 0.01, 0.3])) * random.standard_normal(rounds))
        return series(ms * slowdown * jitter, [bool(random.random() < share_quiet) for _ in range(rounds)])

    speeds = [draw(st.sampled_from([1.0, 1.01, 1.05, 1.08, 1.5, 4.0])) for _ in range(count)]
    return run(drawn(2.0), *((plan, drawn(ms)) for plan, ms in zip(PLANS, speeds, strict=False)))


def eligible(race: Race, *, allowed: bool) -> list[Timed]:
    return [one for one in race.timed if allowed or not one.plan.runtime.startswith("framework")]


@settings(max_examples=150, deadline=None)
@given(races(), st.booleans())
def test_nothing_is_chosen_that_another_beats_in_every_round(race: Race, allowed: bool) -> None:
    fit = eligible(race, allowed=allowed)
    if not fit:
        return
    choice = chosen(race, allowed=allowed)
    winner = next(one for one in fit if one.plan.name == choice.winner)
    for other in fit:
        assert not all(other.latency.all[number] < 0.95 * ms for number, ms in winner.latency.all.items()), other.plan


@settings(max_examples=60, deadline=None)
@given(races(disturbed=False), st.booleans())
def test_without_disturbed_rounds_no_sentence_speaks_of_any(race: Race, allowed: bool) -> None:
    if eligible(race, allowed=allowed):
        for objective in ("latency", "throughput", "size", "memory"):
            said = " ".join(chosen(race, objective, allowed=allowed).reasons)
            assert not any(word in said for word in ("disturbed rounds", "noisy", "busy", "ther processes"))


@settings(max_examples=60, deadline=None)
@given(races(), st.randoms(use_true_random=False), st.sampled_from(["latency", "throughput", "size", "memory"]))
def test_the_order_of_the_candidates_changes_nothing(race: Race, random: object, objective: str) -> None:
    original, *others = race.timed
    random.shuffle(others)  # type: ignore[attr-defined]
    other = Race((original, *others), ())
    assert chosen(race, objective, allowed=True) == chosen(other, objective, allowed=True)


def test_other_objectives() -> None:
    small, quick, lean, busy = (
        one(Plan("a", "int8"), 5.0, size=2.0, memory=90.0),
        one(Plan("b"), 1.0, size=9.0, memory=80.0),
        one(Plan("c"), 4.0, size=9.5, memory=40.0),
        one(Plan("d"), 2.0, size=9.7, memory=95.0, rate=900.0),
    )
    race = raced(small, quick, lean, busy)
    winners = {objective: chosen(race, objective).winner for objective in ("latency", "throughput", "size", "memory")}
    assert winners == {"latency": "b-fp32-t1", "throughput": "d-fp32-t1", "size": "a-int8-t1", "memory": "c-fp32-t1"}
    with pytest.raises(UsageError, match="objective"):
        chosen(race, "beauty")


def test_without_rounds_of_throughput_the_simplest_is_taken_and_that_is_said() -> None:
    race = raced(one(Plan("a", "int8"), 1.0, rate=900.0), one(Plan("b"), 1.0))
    assert chosen(race, "throughput").winner == "a-int8-t1"
    few = Race(
        tuple(
            replace(one, measured=replace(one.measured, timing=replace(one.measured.timing, rate=None)), throughput=series([]))
            for one in race.timed
        ),
        (),
    )
    choice = chosen(few, "throughput")
    assert choice.winner == "b-fp32-t1" and "no time to measure the throughput" in choice.reasons[0]
    assert not any("equal" in reason for reason in choice.reasons)


def test_the_fallback_is_of_the_winners_runtime_and_quick() -> None:
    slow, quick = one(Plan("b", threads=1), 5.0), one(Plan("b", threads=2), 3.0)
    choice = chosen(raced(one(Plan("a"), 2.0), slow, quick, one(Plan("b", "int8"), 1.0)))
    assert (choice.winner, choice.fallback) == ("b-int8-t1", "b-fp32-t2")


def test_size_needs_no_trusted_timing() -> None:
    race = raced(one(Plan("a", "int8"), 5.0, size=2.0, trusted=False), one(Plan("b"), 1.0, size=9.0, trusted=False))
    assert chosen(race, "size").winner == "a-int8-t1"


def test_the_reasons_are_data_and_every_kind_has_a_sentence() -> None:
    race = raced(one(Plan("a"), 0.995), one(Plan("b", "int8"), 0.99), one(Plan("framework", flavour="graph"), 0.5), noise=0.0)
    decision = choose(race, Goal("latency", "top1", 0.01), framework_allowed=False, facts_of=facts_of)
    figure = ObjectiveFigure("a-fp32-t1", "latency", 0.995)
    assert decision.winner.plan == Plan("a") and decision.fallback is None
    assert decision.reasons[0] == TiesWithBest(figure, ObjectiveFigure("b-int8-t1", "latency", 0.99))
    assert decision.reasons[1] == SimplestOf("latency", 2)
    assert [type(reason) for reason in decision.reasons[2:]] == [BesideOriginal, BesideFramework, NeedsFramework]

    rounds, form = RoundCounts(20, 3, True, 0.1), FrameworkForm("f", Interval(2.0, 1.0, 3.0), True)
    values = {
        "why": "budget", "equal": 1, "open": 2, "closest": figure,
        "original": figure, "winner": figure, "best": figure, "better": figure, "objective": "latency", "count": 2, "plan": "a-fp32-t1",
        "ratio": Interval(2.0, 1.5, 2.5), "paired": 7, "rounds": rounds, "form": form, "served": "b-fp32-t1",
    }  # fmt: skip
    for kind in get_args(Reason):
        given = {field.name: values[field.name] for field in fields(kind)}
        if kind is BesideOriginal:
            given |= {"winner": rounds, "original": rounds}
        if kind is RaceStopped:
            given |= {"rounds": 9}
        words = sentence(kind(**given))
        assert words.endswith(".") and "None" not in words, kind


def test_only_candidates_for_the_target_are_chosen_for_it() -> None:
    race = raced(one(Plan("framework"), 1.0), one(Plan("page", "int8"), 4.0), one(Plan("page"), 5.0), one(Plan("a"), 2.0))

    def facts(name: str) -> RuntimeFacts:
        return replace(facts_of(name), target="browser" if name == "page" else "server")

    goal = Goal("latency", "top1", 0.01)
    page = choose(race, goal, framework_allowed=True, target="browser", facts_of=facts)
    assert (page.winner.plan.name, page.fallback) == ("page-int8-t1", None)
    assert not any(isinstance(reason, NeedsFramework | FallbackPacked) for reason in page.reasons)
    assert choose(race, goal, framework_allowed=False, facts_of=facts).winner.plan == Plan("a")


@pytest.mark.parametrize(
    ("stop", "said"),
    [
        ("leads", "every other candidate was slower"),
        ("level", "equal within 2%"),
        ("budget", "--time-budget"),
        ("time", "its time was over"),
        ("rounds", "the most it runs"),
    ],
)
def test_why_the_race_stopped_is_said(stop: Stop, said: str) -> None:
    race = raced(one(Plan("a"), 1.0), one(Plan("b"), 3.0))
    race = replace(race, course=Course("latency", 0.02, 14, 3.0, stop, (), ()))
    (sentence,) = [reason for reason in chosen(race).reasons if "stopped after 14 rounds" in reason]
    assert said in sentence and ("--time-budget" in sentence) == (stop == "budget")


@settings(max_examples=100, deadline=None)
@given(races(), st.booleans())
def test_the_simpler_one_is_taken_only_where_it_is_proven_equal(race: Race, allowed: bool) -> None:
    fit = eligible(race, allowed=allowed)
    if not fit:
        return
    shown = {one.plan.name: one.measured.timing.latency_ms.value for one in fit}
    found = Ranking(race, "latency").undominated(fit)
    winner = chosen(race, allowed=allowed).winner
    assert winner in [one.plan.name for one in found.equal]
    assert shown[winner] <= 1.02 * shown[found.best.plan.name]
    if winner != found.best.plan.name:
        assert pairs.level(found.best.latency, next(one for one in fit if one.plan.name == winner).latency, "latency", 0.05)


@settings(max_examples=100, deadline=None)
@given(races())
def test_every_ratio_that_is_shown_is_the_quotient_of_the_latencies_that_are_shown(race: Race) -> None:
    original = race.original.measured.timing.latency_ms.value
    for one in race.timed:
        timing = one.measured.timing
        assert timing.speedup.value == pytest.approx(original / timing.latency_ms.value, rel=1e-9)
        assert timing.speedup.low <= timing.speedup.value <= timing.speedup.high
    choice = chosen(race, allowed=True)
    if choice.framework:
        shown = {one.plan.name: one.measured.timing.latency_ms.value for one in race.timed}
        assert choice.framework.speedup.value == pytest.approx(shown[choice.framework.plan] / shown[choice.winner], rel=1e-9)

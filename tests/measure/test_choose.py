"""The choice on planted figures: speed beyond the noise wins, ties go to the simpler, noise decides nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from linear import SIGNATURE
from roadworthy.build.measure import Race, choose
from roadworthy.bundle.certificate import Choice, Goal
from roadworthy.core.errors import NoCandidate, UsageError
from roadworthy.core.evidence import Interval, Parity, Timing
from roadworthy.core.registry import Facts
from roadworthy.core.stages import Candidate, Measured, Plan, Verified

ROUNDS = 20


def one(plan: Plan, latency: float, *, rate: float = 100.0, size: float = 10.0, memory: float = 100.0, trusted: bool = True) -> Measured:
    same = plan.precision == "fp32"
    parity = Parity(100, (1,), 0.0, 0.0 if same else 0.01, 0.0, 1.0, 1.0, same)
    around = Interval(latency, latency, latency)
    timing = Timing(around, latency, around, rate, 8, 1.0, memory, 300.0, size, ROUNDS if trusted else 2, 0 if trusted else 30, trusted)
    return Measured(Verified(Candidate(plan, Path("x"), SIGNATURE, "onnx", 1, 1.0), parity, None), timing)


ORIGINAL = one(Plan("framework"), 10.0)


def raced(*others: Measured, noise: float = 0.005) -> Race:
    random = np.random.default_rng(0)
    everybody = (ORIGINAL, *others)

    def rounds(value: float) -> dict[int, float]:
        return {number: value * (1 + noise * random.standard_normal()) for number in range(ROUNDS)}

    latencies = tuple(rounds(entrant.timing.latency_ms.value) if entrant.timing.trusted else {} for entrant in everybody)
    rates = tuple(rounds(entrant.timing.throughput) for entrant in everybody)
    speedups = (replace(entrant.timing, speedup=Interval(10 / entrant.timing.latency_ms.value, 0, 99)) for entrant in everybody)
    measured = tuple(replace(entrant, timing=timing) for entrant, timing in zip(everybody, speedups, strict=True))
    return Race(measured, (), latencies, rates)


def facts_of(name: str) -> Facts:
    return Facts((), (), framework=name.startswith("framework"), native=name == "framework-native")


def chosen(race: Race, objective: str = "latency", *, allowed: bool = False) -> Choice:
    return choose(race, Goal(objective, "top1", 0.01), framework_allowed=allowed, facts_of=facts_of)


def test_the_fastest_within_the_budget_wins_and_a_float32_one_stands_by() -> None:
    choice = chosen(raced(one(Plan("a"), 3.0), one(Plan("a", "int8"), 1.0), one(Plan("b", batch=1), 2.5)))
    assert choice.winner == "a-int8-t1"
    assert choice.fallback == "a-fp32-t1"
    assert "1 ms" in choice.reasons[0]
    assert "10.00 times as fast as the original" in choice.reasons[1]


def test_an_int8_that_lost_to_float32_is_not_chosen() -> None:
    choice = chosen(raced(one(Plan("a"), 1.27), one(Plan("a", "int8"), 2.12)))
    assert choice.winner == "a-fp32-t1"
    assert choice.fallback is None


@pytest.mark.parametrize(
    ("simple", "special"),
    [
        (Plan("b"), Plan("a", "int8")),
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


def test_a_lead_within_the_noise_is_a_tie_and_beyond_it_is_not() -> None:
    entrants = (one(Plan("a"), 1.1), one(Plan("a", "int8"), 1.0))
    assert chosen(raced(*entrants, noise=0.6)).winner == "a-fp32-t1"
    assert chosen(raced(*entrants, noise=0.01)).winner == "a-int8-t1"


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


def test_without_quiet_rounds_the_form_is_compared_as_widely_as_the_figures_allow() -> None:
    race = raced(one(Plan("a"), 0.5, trusted=False), one(Plan("framework", flavour="graph"), 2.0, trusted=False))
    wide = tuple(
        replace(entry, timing=replace(entry.timing, latency_ms=Interval(value, 0.9 * value, 1.2 * value)))
        for entry in race.measured
        for value in (entry.timing.latency_ms.value,)
    )
    choice = chosen(replace(race, measured=wide))
    assert choice.framework is not None and not choice.framework.paired
    assert choice.framework.speedup == Interval(4.0, pytest.approx(3.0), pytest.approx(16 / 3))
    assert any("too few quiet rounds to pair" in reason for reason in choice.reasons)


def test_nobody_left_says_what_to_allow() -> None:
    with pytest.raises(NoCandidate, match="--allow-framework-at-serve"):
        chosen(raced(one(Plan("framework", "bf16"), 1.0)))


def test_the_original_stays_when_nothing_beats_it() -> None:
    choice = chosen(raced(one(Plan("a"), 9.95), one(Plan("a", "int8"), 12.0)), allowed=True)
    assert choice.winner == "framework-fp32-t1"
    assert "Nothing beat the original" in choice.reasons[0]


def test_timings_that_are_not_trusted_choose_nothing() -> None:
    race = raced(
        one(Plan("a", "int8"), 0.1, trusted=False), one(Plan("a", batch=1), 0.2, trusted=False), one(Plan("a"), 9.0, trusted=False)
    )
    choice = chosen(race)
    assert choice.winner == "a-fp32-t1"
    assert "too noisy to choose by speed" in choice.reasons[0]


def test_one_untrusted_contestant_is_left_out() -> None:
    choice = chosen(raced(one(Plan("a", "int8"), 0.1, trusted=False), one(Plan("a"), 1.0)))
    assert choice.winner == "a-fp32-t1"
    assert any("too few undisturbed rounds" in reason for reason in choice.reasons)


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


def test_a_throughput_without_quiet_rounds_chooses_nothing() -> None:
    race = raced(one(Plan("a", "int8"), 1.0, rate=900.0), one(Plan("b"), 1.0))
    assert chosen(race, "throughput").winner == "a-int8-t1"
    noisy = replace(race, rates=tuple({} for _ in race.rates))
    assert chosen(noisy, "throughput").winner == "b-fp32-t1"


def test_the_fallback_is_of_the_winners_runtime_and_quick() -> None:
    slow, quick = one(Plan("b", threads=1), 5.0), one(Plan("b", threads=2), 3.0)
    choice = chosen(raced(one(Plan("a"), 2.0), slow, quick, one(Plan("b", "int8"), 1.0)))
    assert (choice.winner, choice.fallback) == ("b-int8-t1", "b-fp32-t2")


def test_size_needs_no_trusted_timing() -> None:
    race = raced(one(Plan("a", "int8"), 5.0, size=2.0, trusted=False), one(Plan("b"), 1.0, size=9.0, trusted=False))
    assert chosen(race, "size").winner == "a-int8-t1"

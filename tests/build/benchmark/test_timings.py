"""The figures drawn from a candidate's rounds: throughput is paired like latency, and a single round gives no figure."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from roadworthy.build.benchmark.bursts import Bursts
from roadworthy.build.benchmark.case import Case, Figure, RecordedBurst
from roadworthy.build.benchmark.contention import Disturbance
from roadworthy.build.benchmark.timings import aligned
from roadworthy.build.benchmark.timings import timing as timing_of
from roadworthy.core.evidence import Interval, Timing
from roadworthy.core.samples import SampleSet
from roadworthy.core.stages import Candidate, Plan
from support.models.linear import SIGNATURE

QUIET, DISTURBED = Disturbance(0.05, 0.0, 0.0, 0.0, 0), Disturbance(0.05, 0.9, 1.0, 0.0, 0)


def case(bursts: Bursts, latency: Iterable[tuple[float, bool]], rates: Iterable[tuple[float, bool]], *, batch: int = 8) -> Case:
    """A candidate with these rounds, each with whether it was quiet."""
    made = Case(Candidate(Plan("null"), Path("x"), SIGNATURE, "npz", 1, 0.0), SampleSet(Path("x"), (), 1), bursts)
    made.cold_ms.append(300.0)
    made.search.best = batch
    given: tuple[tuple[Figure, int, Iterable[tuple[float, bool]]], ...] = (("latency", 1, latency), ("throughput", batch, rates))
    for figure, size, rounds in given:
        for number, (value, quiet) in enumerate(rounds):
            index = bursts.add((made, size), QUIET if quiet else DISTURBED)
            made.record(figure, size, number, RecordedBurst(value, index, (round(1e6 * value),) * 5))
    return made


def timing(one: Case, original: Case) -> Timing:
    mine, its = aligned([one, original])
    return timing_of(one, mine, original, its)


def steady(value: float, count: int = 8, *, quiet: bool = True) -> list[tuple[float, bool]]:
    return [(value * (1 + 0.001 * number), quiet) for number in range(count)]


def test_one_quiet_round_in_which_the_original_stood_still_is_no_throughput() -> None:
    """Seven disturbed rounds of the original at 1,430 samples a second, and a single quiet one at 12."""
    bursts = Bursts()
    original = case(bursts, steady(1.6), [*steady(1430, 7, quiet=False), (12.0, True)], batch=1)
    quick = case(bursts, steady(1.0), steady(2356))
    rate = timing(quick, original).rate
    assert rate is not None and rate.speedup is not None
    assert not rate.paired and rate.trusted
    assert rate.speedup.value == pytest.approx(2356 / 1430, rel=0.01)
    assert rate.per_second.value == pytest.approx(2356, rel=0.01)


def test_throughput_is_paired_by_quiet_rounds_and_has_an_interval() -> None:
    bursts = Bursts()
    slowdown = [1.0, 0.3, 0.9, 0.5, 0.8, 0.4, 1.0, 0.6]
    original = case(bursts, steady(2.0), [(100 * share, True) for share in slowdown])
    quick = case(bursts, steady(1.0), [(300 * share, True) for share in slowdown])
    found = timing(quick, original)
    assert found.rate is not None and found.rate.speedup is not None and found.rate.paired
    speedup = found.rate.speedup
    assert speedup.value == pytest.approx(3.0) and speedup.low <= speedup.value <= speedup.high
    assert not found.rate.trusted, "its own rounds do not agree, although the ratio does"
    assert (found.rate.rounds, found.rate.noisy) == (8, 0)


def test_too_few_rounds_of_throughput_are_none() -> None:
    bursts = Bursts()
    original = case(bursts, steady(2.0), steady(100.0))
    assert timing(case(bursts, steady(1.0), steady(300.0, 4)), original).rate is None
    few = case(bursts, steady(2.0), steady(100.0, 4))
    rate = timing(case(bursts, steady(1.0), steady(300.0)), few).rate
    assert rate is not None and rate.speedup is None and not rate.paired


def test_an_original_that_had_no_time_for_large_batches_is_not_held_against_one_that_had() -> None:
    bursts = Bursts()
    original = case(bursts, steady(2.0), steady(100.0), batch=1)
    original.search.cut = True
    larger, same = (case(bursts, steady(1.0), steady(300.0), batch=batch) for batch in (8, 1))
    first, second = (timing(one, original).rate for one in (larger, same))
    assert first is not None and first.speedup is None
    assert second is not None and second.speedup is not None


def test_an_original_whose_rounds_were_disturbed_makes_no_candidate_untrusted() -> None:
    bursts = Bursts()
    original = case(bursts, steady(3.0, 20, quiet=False), steady(100.0))
    found = timing(case(bursts, steady(1.0, 20), steady(300.0)), original)
    assert found.trusted and not found.paired and (found.rounds, found.noisy) == (20, 0)
    assert found.speedup.value == pytest.approx(3.0, rel=0.01)
    assert found.speedup.low <= found.speedup.value <= found.speedup.high


def test_a_99th_percentile_says_of_how_many_calls_it_is() -> None:
    bursts = Bursts()
    original = case(bursts, [*steady(3.0, 6), (30.0, False)], steady(100.0))
    found = timing(original, original)
    assert found.calls == 30 and found.p99_ms < 4


def test_the_original_is_as_fast_as_itself_however_busy_the_machine() -> None:
    bursts = Bursts()
    original = case(bursts, steady(3.0, 6, quiet=False), steady(100.0))
    found = timing(original, original)
    assert found.paired and not found.trusted and found.speedup == Interval(1.0, 1.0, 1.0)

"""The race with real processes and planted speeds; the tests check structure and order, never wall time."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from roadworthy.build.benchmark import Aim, FormRequest, Race, measure_forms, race, time_variant
from roadworthy.build.benchmark.process import CandidateProcess
from roadworthy.core.comparison import Family, Form
from roadworthy.core.errors import StepFailed
from roadworthy.core.evidence import Parity
from roadworthy.core.isolation.worker import Worker
from roadworthy.core.stages import Candidate, Plan, Rejected, Verified
from support.models.linear import SIGNATURE, Linear

pytestmark = pytest.mark.slow

PARITY = Parity(1000, (1, 2, 5), 0.0, 0.0, 0.0, 1.0, 1.0, True)


def raced(linear: Linear, folder: Path, *candidates: Candidate, seconds: float = 4.0) -> Race:
    entrants = [Verified(candidate, PARITY, None) for candidate in candidates]
    aim = Aim(may_win=lambda plan: plan != candidates[0].plan)
    return race(entrants, linear.samples, aim, budget_seconds=seconds, log_dir=folder / "log", progress=lambda text, share: None)


def state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_every_candidate_is_measured_beside_the_original(linear: Linear, tmp_path: Path) -> None:
    told: list[float] = []
    slow, quick, same = linear.candidate("sleeps=0.004"), linear.candidate(), linear.candidate("sleeps=0.0041")
    entrants = [Verified(candidate, PARITY, None) for candidate in (slow, quick, same)]
    result = race(entrants, linear.samples, Aim(), budget_seconds=4, log_dir=tmp_path, progress=lambda text, share: told.append(share))
    assert [one.verified.candidate for one in result.measured] == [slow, quick, same]
    assert result.failed == ()
    assert told == sorted(told) and told[-1] == 1.0
    original, fast, _ = result.measured
    assert original.timing.speedup.value == 1.0
    assert fast.timing.speedup.low > 1
    assert original.timing.rate is not None and fast.timing.rate is not None, "the others can no longer be chosen"
    for one in result.measured:
        timing = one.timing
        assert timing.latency_ms.low <= timing.latency_ms.value <= timing.latency_ms.high
        assert timing.p99_ms > 0 and timing.calls > 0 and timing.cold_ms > 10 and timing.memory_mb > 10
        rate = timing.rate
        assert rate is None or (rate.batch in (1, 2, 4, 8, 16, 32, 64) and rate.rounds + rate.noisy >= 5)
        assert rate is None or 0 < rate.per_second.low <= rate.per_second.value <= rate.per_second.high
        assert timing.rounds + timing.noisy >= 6
    assert not Worker.running


def test_one_that_is_far_behind_leaves_its_process_ends_and_the_course_says_so(linear: Linear, tmp_path: Path) -> None:
    running: list[int] = []

    def watch(text: str, share: float) -> None:
        if text.startswith("latency, round"):
            running.append(len(Worker.running))

    slow, quick, slowest = linear.candidate("sleeps=0.02"), linear.candidate(), linear.candidate("sleeps=0.021")
    entrants = [Verified(candidate, PARITY, None) for candidate in (slow, quick, slowest)]
    aim = Aim(may_win=lambda plan: plan != slow.plan)
    # Seconds that no machine is too slow for: what the rounds show must end the race, and not the time.
    result = race(entrants, linear.samples, aim, budget_seconds=300, log_dir=tmp_path, progress=watch)
    assert result.course is not None and result.course.stopped == "leads" and result.course.rounds < 40
    left = {departure.plan: departure for departure in result.course.departures}
    assert left.keys() == {slowest.plan.name} and left[slowest.plan.name].by == quick.plan.name
    assert running[0] == 3 and running[-1] == 2
    last = result.course.checks[-1]
    assert [one.plan for one in last.standings] == [quick.plan.name] and last.rounds == result.course.rounds
    original, best, loser = (one.timing for one in result.measured)
    assert best.rate is not None and original.rate is not None and loser.rate is None
    assert loser.memory_mb > 10 and loser.cold_ms > 10 and loser.p99_ms >= 21
    assert best.speedup.value == pytest.approx(original.latency_ms.value / best.latency_ms.value)


@pytest.mark.parametrize(("objective", "stopped"), [("size", "untimed"), ("throughput", "leads")])
def test_a_race_by_another_objective(linear: Linear, tmp_path: Path, objective: str, stopped: str) -> None:
    slow, quick, other = linear.candidate("sleeps=0.02"), linear.candidate(), linear.candidate("sleeps=0.01")
    entrants = [Verified(candidate, PARITY, None) for candidate in (slow, quick, other)]
    aim = Aim(objective, lambda plan: plan != slow.plan)
    result = race(entrants, linear.samples, aim, budget_seconds=300, log_dir=tmp_path, progress=lambda text, share: None)
    assert result.course is not None and result.course.stopped == stopped
    assert all(one.timing.latency_ms.value > 0 and one.timing.memory_mb > 10 and one.timing.rate for one in result.measured)
    if objective == "throughput":
        assert result.course.figure == "throughput" and [one.plan for one in result.course.departures] == [other.plan.name]


def test_what_is_compiled_for_each_batch_size_is_shown_and_is_not_latency(linear: Linear, tmp_path: Path) -> None:
    result = raced(linear, tmp_path, linear.candidate(), linear.candidate("compiles for=0.3"), seconds=8)
    plain, compiling = (one.timing for one in result.measured)
    assert [first.batch for first in compiling.first_calls][:2] == [1, 2]
    assert all(first.ms >= 300 for first in compiling.first_calls)
    assert compiling.latency_ms.value < 100
    assert plain.first_calls and sum(first.ms >= 300 for first in plain.first_calls) < len(plain.first_calls)


def test_one_that_dies_on_the_way_costs_only_itself(linear: Linear, tmp_path: Path) -> None:
    result = raced(linear, tmp_path, linear.candidate(), linear.candidate("dies after=40"), linear.candidate("crashes from=1"), seconds=1)
    assert [one.verified.candidate.plan.runtime for one in result.measured] == ["null"]
    assert sorted(failed.reason for failed in result.failed) == ["crashed with SIGSEGV", "ended without an answer, with exit code 3"]
    assert all(failed.stage == "measure" for failed in result.failed)
    assert not Worker.running


def test_without_the_original_there_is_no_race(linear: Linear, tmp_path: Path) -> None:
    with pytest.raises(StepFailed, match="the original cannot be timed"):
        raced(linear, tmp_path, linear.candidate("crashes from=1"), linear.candidate())
    assert not Worker.running


def test_an_interrupt_leaves_no_process(linear: Linear, tmp_path: Path) -> None:
    def interrupt(text: str, share: float) -> None:
        if text.startswith("latency, round 3"):
            raise KeyboardInterrupt

    pids: list[int] = []
    entrants = [Verified(candidate, PARITY, None) for candidate in (linear.candidate(), linear.candidate("sleeps=0.001"))]
    with pytest.raises(KeyboardInterrupt):
        race(
            entrants,
            linear.samples,
            Aim(),
            budget_seconds=5,
            log_dir=tmp_path,
            progress=lambda text, share: (pids.extend(worker.pid for worker in Worker.running), interrupt(text, share))[-1],
        )
    assert pids and not Worker.running
    assert not any(Path(f"/proc/{pid}").exists() for pid in set(pids))


def test_a_process_that_is_not_timed_is_stopped(linear: Linear) -> None:
    with CandidateProcess(linear.candidate(), linear.samples) as process:
        process.load()
        pid = next(iter(Worker.running)).pid
        os.waitid(os.P_PID, pid, os.WSTOPPED | os.WNOWAIT)
        assert state(pid) == "T"
        assert len(process.burst(1, 10).calls) == 10
        os.waitid(os.P_PID, pid, os.WSTOPPED | os.WNOWAIT)
        assert state(pid) == "T"
    with pytest.raises(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)


def test_candidates_run_in_groups_where_memory_is_short(linear: Linear, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("roadworthy.build.benchmark.schedule.usable_memory_mb", lambda: 1)
    most = 0

    def watch(text: str, share: float) -> None:
        nonlocal most
        most = max(most, len(Worker.running))

    entrants = [
        Verified(candidate, PARITY, None) for candidate in map(linear.candidate, ("sleeps=0.05", "", "sleeps=0.0002", "sleeps=0.0001"))
    ]
    result = race(entrants, linear.samples, Aim(), budget_seconds=3, log_dir=tmp_path, progress=watch)
    assert most <= 3, "the original, the fastest so far, and the next"
    assert len(result.measured) == 4
    assert all(one.measured.timing.speedup.value > 1 for one in result.timed[1:])


def test_a_fixed_batch_is_the_only_batch(linear: Linear, tmp_path: Path) -> None:
    fixed = linear.candidate("sleeps=0.0", batch=1)
    result = raced(linear, tmp_path, linear.candidate(), fixed, seconds=1)
    rate = result.measured[1].timing.rate
    assert rate is not None and rate.batch == 1


def test_a_variant_is_timed_again(linear: Linear) -> None:
    feeds = {"x": np.zeros((3, 20), np.float32)}
    today = time_variant(linear.path, SIGNATURE, Plan("null"), feeds, rounds=5)
    assert today.latency_ms.low <= today.latency_ms.value <= today.latency_ms.high <= today.p99_ms
    assert today.rounds + today.noisy >= 5
    assert not today.trusted or today.rounds >= 5


def test_forms_run_in_the_same_groups_and_rounds_as_candidates(linear: Linear, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The scheduler of a comparison is the one of a deployment: groups where memory is short, and a failure costs only one form."""
    monkeypatch.setattr("roadworthy.build.benchmark.schedule.usable_memory_mb", lambda: 1)
    most = 0

    def watch(text: str, share: float) -> None:
        nonlocal most
        most = max(most, len(Worker.running))

    families: tuple[tuple[Family, str], ...] = (("original", "sleeps=0.002"), ("own", ""), ("own", "dies after=40"), ("shared", ""))
    requests = [FormRequest(Verified(linear.candidate(flavour), PARITY, None), linear.samples, family) for family, flavour in families]
    original, quick, dead, shared = measure_forms(requests, seconds=1, log_dir=tmp_path, progress=watch)
    assert most <= 2 and not Worker.running
    assert isinstance(dead, Rejected) and dead.stage == "measure"
    for form in (original, quick, shared):
        assert isinstance(form, Form)
        assert [one.batch for one in form.steady] == [1, 8, 32] and all(one.ratio for one in form.steady)
    with pytest.raises(StepFailed, match="the original cannot be timed"):
        measure_forms([replace(requests[2], family="original"), requests[1]], seconds=1, log_dir=tmp_path, progress=watch)

"""Verified to Measured: every candidate in a process of its own, in interleaved rounds beside the original."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from roadworthy.build.benchmark import statistics
from roadworthy.build.benchmark.bursts import Bursts
from roadworthy.build.benchmark.case import Case, Figure
from roadworthy.build.benchmark.latency import time_latency
from roadworthy.build.benchmark.process import CandidateProcess
from roadworthy.build.benchmark.schedule import Progress, Schedule
from roadworthy.build.benchmark.statistics import Paired, Series
from roadworthy.build.benchmark.throughput import time_throughput
from roadworthy.build.benchmark.timings import rejected, timing
from roadworthy.core.errors import RoadworthyError, UsageError
from roadworthy.core.samples import SampleSet
from roadworthy.core.stages import Measured, Plan, Rejected, Verified

LATENCY_SHARE, THROUGHPUT_SHARE = 0.6, 0.9
"""The shares of a group's time after which its rounds of latency, and those of throughput, end."""
FASTEST, COLD_STARTS = 3, 3


@dataclass(frozen=True, eq=False)
class Timed:
    """A candidate with its figures, and every round behind them: latency in ms a call, throughput in samples a second."""

    measured: Measured
    latency: Series
    throughput: Series

    @property
    def plan(self) -> Plan:
        """The candidate's plan."""
        return self.measured.verified.candidate.plan

    def series(self, figure: Figure) -> Series:
        """Every round of ``figure``."""
        return self.latency if figure == "latency" else self.throughput


@dataclass(frozen=True)
class Race:
    """The candidates that were timed, the original first, and those that failed meanwhile."""

    timed: tuple[Timed, ...]
    failed: tuple[Rejected, ...]

    @property
    def original(self) -> Timed:
        """The original, beside which the others ran."""
        return self.timed[0]

    @property
    def measured(self) -> tuple[Measured, ...]:
        """The figures, the original's first."""
        return tuple(one.measured for one in self.timed)

    def without(self, rejected: Rejected) -> Race:
        """The race without the candidate that was rejected after it."""
        return Race(tuple(one for one in self.timed if one.plan != rejected.plan), (*self.failed, rejected))

    def confirmed(self, verified: Verified) -> Race:
        """The race with all the evidence of one candidate."""
        return Race(
            tuple(
                replace(one, measured=replace(one.measured, verified=verified)) if one.plan == verified.candidate.plan else one
                for one in self.timed
            ),
            self.failed,
        )

    def paired(self, a: Timed, b: Timed, figure: Figure = "latency", confidence: float = 0.95) -> Paired | None:
        """The figure of ``a`` over that of ``b``, paired by the rounds that were quiet for both, or by all where those are too few.

        Two that ran in different rounds are compared through the original; ``None`` where the rounds are too few for that as well.
        """
        return statistics.paired(a.series(figure), b.series(figure), self.original.series(figure), confidence)


def race(candidates: Sequence[Verified], samples: SampleSet, *, budget_seconds: float, log_dir: Path, progress: Progress) -> Race:
    """Time ``candidates`` (the original first) on ``samples`` for about ``budget_seconds``; each writes its log to ``log_dir``.

    All are loaded at once where memory allows, otherwise in groups with the original in each. A candidate that is clearly far
    behind leaves after a few rounds. Raises StepFailed where the original fails; other failures are in the result.
    """
    if not candidates:
        raise UsageError("there is nothing to time: give the original at least")
    log_dir.mkdir(parents=True, exist_ok=True)
    start, bursts = time.monotonic(), Bursts()
    cases = [Case(verified.candidate, samples, bursts) for verified in candidates]

    def say(text: str) -> None:
        progress(text, min(0.99, (time.monotonic() - start) / max(budget_seconds, 1e-9)))

    def log(index: int) -> Path:
        return log_dir / f"race-{index}.log"

    with Schedule(cases, prepare=_load, log=log, say=say) as schedule:
        for group in schedule.groups():
            now, count = time.monotonic(), len(group) - 1
            share = count / (count + len(schedule.waiting)) if count else 1.0
            seconds = share * (start + budget_seconds - now)
            time_latency(schedule, group, now + LATENCY_SHARE * seconds)
            time_throughput(schedule, group, now + THROUGHPUT_SHARE * seconds)
        _more_cold_starts(schedule, log, start + budget_seconds)
    progress("race finished", 1.0)
    return _result(candidates, cases)


def _load(case: Case) -> None:
    case.cold_ms.append(case.process.load())
    case.process.warm_up()


def _more_cold_starts(schedule: Schedule, log: Callable[[int], Path], deadline: float) -> None:
    """Two more starts of the original and of the fastest, each in a new process; the others have one."""
    fit = [case for case in schedule.cases[1:] if not case.failure]
    fastest = sorted(fit, key=lambda case: case.latency.median.value)[:FASTEST]
    for case in (schedule.original, *fastest):
        while len(case.cold_ms) < COLD_STARTS and time.monotonic() < deadline:
            schedule.say(f"cold start of {case.candidate.plan.name}")
            try:
                with CandidateProcess(case.candidate, case.samples, log(schedule.cases.index(case))) as process:
                    case.cold_ms.append(process.load())
            except RoadworthyError:
                break


def _result(candidates: Sequence[Verified], cases: Sequence[Case]) -> Race:
    pairs = list(zip(candidates, cases, strict=True))
    return Race(
        tuple(Timed(Measured(one, timing(case, cases[0])), case.latency, case.throughput) for one, case in pairs if not case.failure),
        tuple(rejected(one, case.failure) for one, case in pairs if case.failure),
    )

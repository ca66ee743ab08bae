"""Verified to Measured: every candidate in a process of its own, in interleaved rounds beside the original, until the best is known."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from roadworthy.build.benchmark import contest_rounds, throughput
from roadworthy.build.benchmark.bursts import Bursts
from roadworthy.build.benchmark.case import Case, Figure
from roadworthy.build.benchmark.contest_rounds import measure_memory, plan_name
from roadworthy.build.benchmark.elimination import Contest
from roadworthy.build.benchmark.latency import time_call
from roadworthy.build.benchmark.process import CandidateProcess
from roadworthy.build.benchmark.schedule import Progress, Schedule
from roadworthy.build.benchmark.statistics import Series
from roadworthy.build.benchmark.timings import aligned, rejected, timing
from roadworthy.bundle.course import Course
from roadworthy.core.errors import RoadworthyError, UsageError
from roadworthy.core.samples import SampleSet
from roadworthy.core.stages import Measured, Plan, Rejected, Verified

SHARES = {"latency": (0.6, 0.9), "throughput": (0.25, 0.9), "size": (0.6, 0.9), "memory": (0.6, 0.9)}
"""By objective, the shares of a group's time after which its rounds of latency, and those of throughput, end."""
FASTEST, COLD_STARTS = 3, 3
SMALLEST = 1.05
"""For an objective of size or memory the throughput of those is timed that are at most this many times as large as the smallest."""


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
    """The candidates that were timed, the original first, those that failed meanwhile, and the course of the rounds that decided."""

    timed: tuple[Timed, ...]
    failed: tuple[Rejected, ...]
    course: Course | None = None

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
        return replace(self, timed=tuple(one for one in self.timed if one.plan != rejected.plan), failed=(*self.failed, rejected))

    def confirmed(self, verified: Verified) -> Race:
        """The race with all the evidence of one candidate."""
        return replace(
            self,
            timed=tuple(
                replace(one, measured=replace(one.measured, verified=verified)) if one.plan == verified.candidate.plan else one
                for one in self.timed
            ),
        )


@dataclass(frozen=True)
class Aim:
    """What a race is to find out: the best by ``objective`` of the plans that ``may_win``; all others are timed for the report."""

    objective: str = "latency"
    may_win: Callable[[Plan], bool] = lambda plan: True


def race(
    candidates: Sequence[Verified],
    samples: SampleSet,
    aim: Aim,
    *,
    budget_seconds: float,
    limited: bool = False,
    log_dir: Path,
    progress: Progress,
) -> Race:
    """Time ``candidates`` (the original first) on ``samples``, for at most about ``budget_seconds``; each writes its log to ``log_dir``.

    All are loaded at once where memory allows, otherwise in groups with the original, and the fastest so far, in each. A candidate
    that is certainly slower than another leaves. ``limited`` says that the user's time budget left less time than a race should have.
    Raises StepFailed where the original fails; other failures are in the result.
    """
    if not candidates:
        raise UsageError("there is nothing to time: give the original at least")
    log_dir.mkdir(parents=True, exist_ok=True)
    start, bursts = time.monotonic(), Bursts()
    cases = [Case(verified.candidate, samples, bursts) for verified in candidates]
    contest = _contest(cases, aim)

    def say(text: str) -> None:
        progress(text, min(0.99, (time.monotonic() - start) / max(budget_seconds, 1e-9)))

    def log(index: int) -> Path:
        return log_dir / f"race-{index}.log"

    with Schedule(cases, prepare=_load, log=log, say=say) as schedule:
        for group in schedule.groups():
            now, count = time.monotonic(), len(group) - 1
            share = count / (count + len(schedule.waiting)) if count else 1.0
            seconds = share * (start + budget_seconds - now)
            first, second = (now + share * seconds for share in SHARES[aim.objective])
            _time_group(schedule, group, contest, aim, first, second, limited=limited)
        _more_cold_starts(schedule, contest, log, start + budget_seconds)
    progress("race finished", 1.0)
    return _result(candidates, cases, contest.course())


def _contest(cases: Sequence[Case], aim: Aim) -> Contest:
    plans = [case.candidate.plan for case in cases]
    figure: Figure = "throughput" if aim.objective == "throughput" else "latency"
    return Contest(
        plans[0].name, [plan.name for plan in plans if aim.may_win(plan)], figure, timed=aim.objective in ("latency", "throughput")
    )


def _time_group(
    schedule: Schedule, group: Sequence[Case], contest: Contest, aim: Aim, first: float, second: float, *, limited: bool
) -> None:
    """Latency until ``first`` and throughput until ``second`` (monotonic clock); the objective's own rounds are the contest."""
    by_rate = aim.objective == "throughput"
    latency = Contest(plan_name(group[0]), (), "latency", timed=False) if by_rate else contest
    contest_rounds.run(schedule, group, latency, time_call, lambda case: case.latency, deadline=first, limited=limited)
    for case in group:
        schedule.attempt(case, measure_memory)
    if by_rate:
        throughput.find_batches(schedule, group, second)
        contest_rounds.run(schedule, group, contest, throughput.time_batch, lambda case: case.throughput, deadline=second, limited=limited)
    elif not limited or time.monotonic() < second:
        throughput.time_throughput(schedule, _still_in(group, contest, aim), second)
    best = contest.best({plan_name(case): case.series(contest.figure, _size(case, by_rate)) for case in group if case.running})
    schedule.kept = [case for case in group[1:] if plan_name(case) == best]


def _size(case: Case, by_rate: bool) -> int:
    return case.search.best if by_rate else case.smallest


def _still_in(group: Sequence[Case], contest: Contest, aim: Aim) -> list[Case]:
    """The original, and those that can still be chosen."""
    left = [case for case in group[1:] if case.running and aim.may_win(case.candidate.plan) and plan_name(case) not in contest.left]
    if aim.objective in ("size", "memory") and left:
        costs = [case.memory_mb if aim.objective == "memory" else float(case.candidate.size) for case in left]
        left = [case for case, cost in zip(left, costs, strict=True) if cost <= SMALLEST * min(costs)]
    return [group[0], *left]


def _load(case: Case) -> None:
    case.cold_ms.append(case.process.load())
    case.process.warm_up()


def _more_cold_starts(schedule: Schedule, contest: Contest, log: Callable[[int], Path], deadline: float) -> None:
    """Two more starts of the original and of the fastest still in, each in a new process; the others have one."""
    fit = [case for case in schedule.cases[1:] if not case.failure and plan_name(case) not in contest.left]
    fastest = sorted(fit, key=lambda case: case.latency.middle)[:FASTEST]
    for case in (schedule.original, *fastest):
        while len(case.cold_ms) < COLD_STARTS and time.monotonic() < deadline:
            schedule.say(f"cold start of {case.candidate.plan.name}")
            try:
                with CandidateProcess(case.candidate, case.samples, log(schedule.cases.index(case))) as process:
                    case.cold_ms.append(process.load())
            except RoadworthyError:
                break


def _result(candidates: Sequence[Verified], cases: Sequence[Case], course: Course) -> Race:
    fit = [(one, case) for one, case in zip(candidates, cases, strict=True) if not case.failure]
    rounds = aligned([case for _, case in fit])
    timed = tuple(
        Timed(Measured(one, timing(case, mine, cases[0], rounds[0])), mine.latency, mine.throughput)
        for (one, case), mine in zip(fit, rounds, strict=True)
    )
    return Race(timed, tuple(rejected(one, case.failure) for one, case in zip(candidates, cases, strict=True) if case.failure), course)

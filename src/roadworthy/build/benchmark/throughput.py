"""Throughput: the batch size at which each candidate answers most samples a second, and rounds at that size."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial

from roadworthy.build.benchmark.case import Case, RecordedBurst
from roadworthy.build.benchmark.process import burst_calls, typical_seconds
from roadworthy.build.benchmark.schedule import Schedule
from roadworthy.core.evidence import ENOUGH

BATCHES = (1, 2, 4, 8, 16, 32, 64)
WORTH_GROWING, LONGEST_CALL = 1.05, 1.0
"""A larger batch is better where it answers this many times the samples a second; calls longer than so many seconds are not tried."""
MOST_ROUNDS, BURST_TRIES, FEW_CALLS = 8, 3, 3


def time_throughput(schedule: Schedule, group: Sequence[Case], deadline: float) -> None:
    """Find the best batch size of each candidate, then time it in rounds until ``deadline`` (monotonic clock)."""
    find_batches(schedule, group, deadline)

    def unfinished(running: list[Case]) -> list[Case]:
        few = any(len(case.throughput.all) < ENOUGH for case in running)
        return running if few or not all(case.throughput.enough for case in running) else []

    schedule.rounds(group, time_batch, unfinished=unfinished, fewest=ENOUGH, most=MOST_ROUNDS, deadline=deadline, name="throughput")


def find_batches(schedule: Schedule, group: Sequence[Case], deadline: float) -> None:
    """Double the batch size of each candidate of ``group`` that has none yet, as long as that is worth it.

    All try one size before any tries the next, so that a lack of time stops all of them at the same size.
    """
    growing = [case for case in group if not case.search.best]
    for step in range(len(BATCHES)):
        late = step > 0 and time.monotonic() > deadline
        for case in growing:
            schedule.attempt(case, partial(_grow, schedule=schedule, step=step, late=late))
        growing = [case for case in growing if case.search.growing]


def _grow(case: Case, schedule: Schedule, step: int, late: bool) -> None:
    """Try the next batch size of one candidate, where there is one and time is left."""
    sizes, search = case.process.sizes(BATCHES), case.search
    search.growing = step < len(sizes) and not late
    search.cut = step < len(sizes) and late
    if search.growing:
        schedule.say(f"{case.candidate.plan.name}: batches of {sizes[step]}")
        _try_batch(case, sizes[step])


def _try_batch(case: Case, batch: int) -> None:
    """Make ``batch`` the best size where it is faster than the last one.

    The fastest of a few bursts counts, because a disturbance can only make a burst slower.
    """
    calls, seconds, search = FEW_CALLS, float("inf"), case.search
    for _ in range(BURST_TRIES):
        burst, index = case.timed(batch, calls)
        seconds = min(seconds, typical_seconds(burst))
        calls = burst_calls(burst, FEW_CALLS)
        if case.bursts.quiet(index):
            break
    search.growing = batch / seconds >= WORTH_GROWING * search.per_second
    if search.growing:
        search.per_second, search.best, search.calls = batch / seconds, batch, calls
        search.growing = 2 * seconds <= LONGEST_CALL


def time_batch(case: Case, number: int) -> None:
    """One turn: samples a second over a burst of calls of the best size; again, at most twice, where it was disturbed."""
    batch = case.search.best
    for _ in range(BURST_TRIES):
        burst, index = case.timed(batch, case.search.calls)
        per_second = batch * len(burst.calls) / (sum(burst.calls) / 1e9)
        case.record("throughput", batch, number, RecordedBurst(per_second, index, burst.calls))
        if case.bursts.quiet(index):
            break

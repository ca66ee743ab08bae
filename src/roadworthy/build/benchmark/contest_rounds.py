"""The rounds of a race with real processes: a turn for all that are still in, and the end of the process of each that left."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import monotonic

from roadworthy.build.benchmark.case import Case
from roadworthy.build.benchmark.elimination import FEWEST, MOST, Contest
from roadworthy.build.benchmark.schedule import Schedule
from roadworthy.build.benchmark.statistics import Series

LATE = 0.5
"""The share of the time after which disturbed rounds make candidates leave, too."""


def run(
    schedule: Schedule,
    group: Sequence[Case],
    contest: Contest,
    turn: Callable[[Case, int], None],
    series: Callable[[Case], Series],
    *,
    deadline: float,
    limited: bool,
) -> None:
    """Rounds of ``group`` until ``contest`` is decided, or until ``deadline`` (monotonic clock), which the user may have ``limited``.

    ``series`` are the rounds of a case that decide.
    """
    contest.begin()
    began = monotonic()
    done = False

    def unfinished(running: list[Case]) -> list[Case]:
        nonlocal done
        now = monotonic()
        late = now > began + LATE * (deadline - began)
        needed = contest.next_round(_named(group, series), schedule.seconds, late=late)
        for case in group:
            if plan_name(case) in contest.left and case is not schedule.original:
                retire(schedule, case)
        done = not needed
        return [case for case in running if plan_name(case) in needed]

    schedule.rounds(group, turn, unfinished=unfinished, fewest=FEWEST, most=MOST, deadline=deadline, name=contest.figure)
    if not done:
        contest.ended(_named(group, series), schedule.seconds, limited=limited)


def plan_name(case: Case) -> str:
    """The name of a case in a contest."""
    return case.candidate.plan.name


def retire(schedule: Schedule, case: Case) -> None:
    """Measure the memory of a case, before any large batch, whose buffers would count, and end its process."""
    schedule.attempt(case, measure_memory)
    case.stop()


def measure_memory(case: Case) -> None:
    """The highest memory so far, once."""
    case.memory_mb = case.memory_mb or case.process.peak_mb()


def _named(group: Sequence[Case], series: Callable[[Case], Series]) -> dict[str, Series]:
    return {plan_name(case): series(case) for case in group if case.running}

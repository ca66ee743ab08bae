"""Latency at the smallest batch size: of all candidates in rounds, until each has enough quiet ones or is clearly too slow; or of one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from roadworthy.build.benchmark import statistics
from roadworthy.build.benchmark.bursts import Bursts
from roadworthy.build.benchmark.case import Case, RecordedBurst
from roadworthy.build.benchmark.schedule import Schedule
from roadworthy.core import samples
from roadworthy.core.evidence import ENOUGH, Interval
from roadworthy.core.isolation.scratch import Directory
from roadworthy.core.stages import Candidate, Plan
from roadworthy.core.types import Arrays, Signature

ROUNDS, MOST_ROUNDS, LEAST_ROUNDS = 20, 60, 6
"""Quiet rounds wanted, rounds at most to get them, and rounds before a candidate may leave early."""
FAR_BEHIND = 1.5
"""A candidate leaves early where it certainly takes longer than this many times the fastest one's latency."""


@dataclass(frozen=True)
class Today:
    """Latency in ms of a batch-1 call over the quiet rounds, over all where those are too few.

    ``rounds`` counts the quiet ones and ``noisy`` the disturbed ones; ``trusted`` says that enough were quiet and agree.
    """

    latency_ms: Interval
    p99_ms: float
    rounds: int
    noisy: int
    trusted: bool


def time_latency(schedule: Schedule, group: Sequence[Case], deadline: float) -> None:
    """Time calls of the smallest size in rounds, until ``deadline`` (monotonic clock), and then the memory of each process.

    The original, first in ``group``, runs as long as any other does; alone, until it has enough quiet rounds itself.
    """
    original, *others = group

    def unfinished(running: list[Case]) -> list[Case]:
        if not others:
            return [case for case in running if _needs_rounds(case, original)]
        left = [case for case in _not_far_behind(running[1:]) if _needs_rounds(case, original)]
        return [original, *left] if left else []

    schedule.rounds(group, time_call, unfinished=unfinished, fewest=LEAST_ROUNDS, most=MOST_ROUNDS, deadline=deadline, name="latency")
    for case in group:
        schedule.attempt(case, _measure_memory)


def time_variant(path: Path, signature: Signature, plan: Plan, feeds: Arrays, *, rounds: int = 10) -> Today:
    """Time ``plan`` of ``path`` on ``feeds`` (samples first) in a fresh process until ``rounds`` quiet rounds, at most three times as many.

    Raises StepFailed where the process crashes, hangs or runs out of memory.
    """
    with Directory() as scratch:
        given = samples.write(scratch.path / "samples", feeds)
        case = Case(Candidate(plan, path, signature, "", 0, 0.0), given, Bursts())
        try:
            process = case.start(scratch.path / "log")
            process.load()
            process.warm_up()
            number = 0
            while len(case.latency.quiet) < rounds and case.latency.disturbed < 2 * rounds:
                time_call(case, number)
                number += 1
        finally:
            case.stop()
    found = case.latency
    return Today(found.median, float(np.quantile(case.calls(), 0.99)) / 1e6, len(found.quiet), found.disturbed, found.trusted)


def time_call(case: Case, number: int) -> None:
    """One turn: a burst of calls of the smallest size, of which the median counts."""
    time_calls(case, number, case.smallest, case.process.calls)


def time_calls(case: Case, number: int, batch: int, calls: int) -> None:
    """One turn: ``calls`` calls of ``batch`` samples, of which the median counts as the latency of round ``number``."""
    burst, index = case.timed(batch, calls)
    case.record("latency", batch, number, RecordedBurst(float(np.median(burst.calls)) / 1e6, index, burst.calls))


def _needs_rounds(case: Case, original: Case) -> bool:
    """Whether it has too few quiet rounds, or too few that were quiet for the original as well."""
    quiet = case.latency.quiet.keys()
    return len(quiet) < ROUNDS or len(quiet & original.latency.quiet.keys()) < ENOUGH


def _not_far_behind(running: list[Case]) -> list[Case]:
    """``running`` without those whose whole interval beside the fastest lies above ``FAR_BEHIND``."""
    quiet = {case: case.latency.quiet for case in running}
    judged = [case for case in running if len(quiet[case]) >= LEAST_ROUNDS]
    if not judged:
        return running
    fastest = min(judged, key=lambda case: float(np.median(list(quiet[case].values()))))
    ratios = {case: statistics.ratio(quiet[case], quiet[fastest]) for case in judged}
    behind = {case for case, ratio in ratios.items() if ratio is not None and ratio.low > FAR_BEHIND}
    return [case for case in running if case not in behind]


def _measure_memory(case: Case) -> None:
    """Before any large batch, whose buffers would count."""
    case.memory_mb = case.memory_mb or case.process.peak_mb()

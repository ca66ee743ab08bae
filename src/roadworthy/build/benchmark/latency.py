"""Latency at the smallest batch size: one turn of a candidate in a race, or of one variant alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from roadworthy.build.benchmark.bursts import Bursts
from roadworthy.build.benchmark.case import Case, RecordedBurst
from roadworthy.core import samples
from roadworthy.core.evidence import Interval
from roadworthy.core.isolation.scratch import Directory
from roadworthy.core.stages import Candidate, Plan
from roadworthy.core.types import Arrays, Signature


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
    return Today(found.median, float(np.quantile(case.calls(found), 0.99)), len(found.quiet), found.disturbed, found.trusted)


def time_call(case: Case, number: int) -> None:
    """One turn: a burst of calls of the smallest size, of which the median counts."""
    time_calls(case, number, case.smallest, case.process.calls)


def time_calls(case: Case, number: int, batch: int, calls: int) -> None:
    """One turn: ``calls`` calls of ``batch`` samples, of which the median counts as the latency of round ``number``."""
    burst, index = case.timed(batch, calls)
    case.record("latency", batch, number, RecordedBurst(float(np.median(burst.calls)) / 1e6, index, burst.calls))

"""Today's latency of one variant, to compare with the certificate's."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from roadworthy.build.benchmark.bursts import Bursts
from roadworthy.build.benchmark.case import Case
from roadworthy.build.benchmark.latency import time_call
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
    return Today(found.median, float(np.quantile(case.calls(), 0.99)) / 1e6, len(found.quiet), found.disturbed, found.trusted)

"""The figures of one candidate beside the original's, from the rounds of the benchmark."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from roadworthy.build.benchmark import statistics
from roadworthy.build.benchmark.case import Case
from roadworthy.build.benchmark.statistics import Series
from roadworthy.core.errors import RoadworthyError
from roadworthy.core.evidence import ENOUGH, FirstCall, Rate, Timing
from roadworthy.core.stages import Rejected, Verified


@dataclass(frozen=True)
class FigureSeries:
    """The rounds behind the figures of one candidate, corrected for the host's speed in each: ms a call, and samples a second."""

    latency: Series
    throughput: Series


def aligned(cases: Sequence[Case]) -> tuple[FigureSeries, ...]:
    """The rounds of all ``cases`` of one race, corrected together. Without a batch size that was searched there are none of throughput."""
    latencies = statistics.aligned([case.latency for case in cases])
    throughputs = statistics.aligned([case.throughput for case in cases])
    return tuple(map(FigureSeries, latencies, throughputs))


def timing(case: Case, mine: FigureSeries, original: Case, its: FigureSeries) -> Timing:
    """The latency, throughput, memory and starts of ``case``, which has at least one round of latency."""
    latency, calls = mine.latency, case.calls(mine.latency)
    ratio = statistics.paired(its.latency, latency)
    return Timing(
        latency_ms=latency.median,
        p99_ms=float(np.quantile(calls, 0.99)),
        speedup=ratio.ratio,
        memory_mb=case.memory_mb,
        cold_ms=float(np.median(case.cold_ms)),
        size_mb=case.candidate.size / 2**20,
        rounds=len(latency.quiet),
        noisy=latency.disturbed,
        trusted=latency.trusted,
        first_calls=first_calls(case),
        paired=ratio.quiet,
        calls=len(calls),
        rate=rate(case, mine.throughput, original, its.throughput),
    )


def rejected(verified: Verified, failure: RoadworthyError) -> Rejected:
    """A candidate that failed while it was timed."""
    return Rejected(verified.candidate.plan, "measure", failure.message, failure.detail, verified.parity, verified.score)


def first_calls(case: Case) -> tuple[FirstCall, ...]:
    """What the first call of each batch size took, the smallest size first."""
    return tuple(FirstCall(batch, ms) for batch, ms in sorted(case.first_ms.items()))


def rate(case: Case, mine: Series, original: Case, its: Series) -> Rate | None:
    """The throughput of ``case``; ``None`` where too few rounds were timed.

    It has no ratio where the original had too few rounds, or no time to try a batch as large as this one: its best is not known then.
    """
    if len(mine.all) < ENOUGH:
        return None
    unfair = len(its.all) < ENOUGH or (original.search.cut and case.search.best > original.search.best)
    ratio = None if unfair else statistics.paired(mine, its)
    return Rate(
        per_second=mine.median,
        batch=case.search.best,
        speedup=ratio.ratio if ratio else None,
        paired=ratio is not None and ratio.quiet,
        rounds=len(mine.quiet),
        noisy=mine.disturbed,
        trusted=mine.trusted,
    )

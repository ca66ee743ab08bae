"""The figures of one candidate beside the original's, from the rounds of the benchmark."""

from __future__ import annotations

import numpy as np

from roadworthy.build.benchmark import statistics
from roadworthy.build.benchmark.case import Case
from roadworthy.core.errors import RoadworthyError
from roadworthy.core.evidence import ENOUGH, FirstCall, Rate, Timing
from roadworthy.core.stages import Rejected, Verified


def timing(case: Case, original: Case) -> Timing:
    """The latency, throughput, memory and starts of ``case``, which has at least one round of latency."""
    latency, calls = case.latency, case.calls()
    ratio = statistics.paired(original.latency, latency)
    return Timing(
        latency_ms=latency.median,
        p99_ms=float(np.quantile(calls, 0.99)) / 1e6,
        speedup=ratio.ratio if ratio else statistics.widest(original.latency.counted, latency.counted),
        memory_mb=case.memory_mb,
        cold_ms=float(np.median(case.cold_ms)),
        size_mb=case.candidate.size / 2**20,
        rounds=len(latency.quiet),
        noisy=latency.disturbed,
        trusted=latency.trusted,
        first_calls=first_calls(case),
        paired=ratio is not None and ratio.quiet,
        calls=len(calls),
        rate=rate(case, original),
    )


def rejected(verified: Verified, failure: RoadworthyError) -> Rejected:
    """A candidate that failed while it was timed."""
    return Rejected(verified.candidate.plan, "measure", failure.message, failure.detail, verified.parity, verified.score)


def first_calls(case: Case) -> tuple[FirstCall, ...]:
    """What the first call of each batch size took, the smallest size first."""
    return tuple(FirstCall(batch, ms) for batch, ms in sorted(case.first_ms.items()))


def rate(case: Case, original: Case) -> Rate | None:
    """The throughput of ``case``; ``None`` where too few rounds were timed.

    It has no ratio where the original had no time to try a batch as large as this one: the original's best is not known then.
    """
    mine, its = case.throughput, original.throughput
    if len(mine.all) < ENOUGH:
        return None
    unfair = original.search.cut and case.search.best > original.search.best
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

"""What one contestant shows in the race, and the figures drawn from it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from roadworthy.build.measure import figures
from roadworthy.core.evidence import FirstCall, Interval, Timing
from roadworthy.core.stages import Rejected, Verified

RESTLESS = 0.25
"""A width of the median's interval, relative to the median, above which something that no counter shows came between.

It is the contestant's own, not that of its ratio to the original: an original that is restless by nature (eager
PyTorch on all cores is) would take its unrest to everybody.
"""


@dataclass
class Lane:
    """What one contestant has shown so far. Latencies in ms and rates in samples a second, by the number of the round."""

    verified: Verified
    quiet: dict[int, float] = field(default_factory=dict)
    noisy: dict[int, float] = field(default_factory=dict)
    calls: list[int] = field(default_factory=list)
    noisy_calls: list[int] = field(default_factory=list)
    rates: dict[int, float] = field(default_factory=dict)
    noisy_rates: dict[int, float] = field(default_factory=dict)
    best_batch: int = 0
    rate_calls: int = 3
    memory_mb: float = 0.0
    cold_ms: list[float] = field(default_factory=list)
    first_ms: dict[int, float] = field(default_factory=dict)
    failed: Rejected | None = None

    def paired_rounds(self, baseline: Lane) -> set[int]:
        """The rounds in which this one and the baseline were both left alone."""
        return self.quiet.keys() & baseline.quiet.keys()

    def latencies(self) -> dict[int, float]:
        """The quiet rounds; all of them where quiet ones are too few to say anything."""
        return self.quiet if len(self.quiet) >= figures.ENOUGH else self.quiet | self.noisy


def timing(lane: Lane, baseline: Lane) -> Timing:
    """The figures of ``lane`` beside the baseline's."""
    mine, its = lane.latencies(), baseline.latencies()
    common = lane.paired_rounds(baseline)
    latency = figures.median_interval(np.array(list(mine.values())))
    rates, base_rates = (one.rates or one.noisy_rates for one in (lane, baseline))
    return Timing(
        latency_ms=latency,
        p99_ms=float(np.quantile(lane.calls if len(lane.quiet) >= figures.ENOUGH else lane.calls + lane.noisy_calls, 0.99)) / 1e6,
        speedup=figures.ratio(its, mine) or _unpaired(its, mine),
        throughput=float(np.median(list(rates.values()))) if rates else 0.0,
        best_batch=lane.best_batch,
        throughput_gain=_gain(rates, base_rates),
        memory_mb=lane.memory_mb,
        cold_ms=float(np.median(lane.cold_ms)),
        size_mb=lane.verified.candidate.size / 2**20,
        rounds=len(lane.quiet),
        noisy=len(lane.noisy),
        trusted=len(common) >= figures.ENOUGH and (latency.high - latency.low) <= RESTLESS * latency.value,
        first_calls=tuple(FirstCall(batch, ms) for batch, ms in sorted(lane.first_ms.items())),
    )


def _unpaired(a: dict[int, float], b: dict[int, float]) -> Interval:
    """Too few common rounds for an interval: the widest that the rounds themselves allow."""
    first, second = list(a.values()), list(b.values())
    return Interval(float(np.median(first) / np.median(second)), min(first) / max(second), max(first) / min(second))


def _gain(rates: dict[int, float], baseline: dict[int, float]) -> float:
    common = rates.keys() & baseline.keys()
    if common:
        return float(np.median([rates[number] / baseline[number] for number in common]))
    if rates and baseline:
        return float(np.median(list(rates.values())) / np.median(list(baseline.values())))
    return 0.0

"""What one contestant shows in the race, and the figures drawn from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from roadworthy.build.benchmark import statistics
from roadworthy.build.benchmark.bursts import Bursts
from roadworthy.build.benchmark.statistics import Series
from roadworthy.build.benchmark.worker import Burst
from roadworthy.core.evidence import ENOUGH, FirstCall, Interval, Rate, Timing
from roadworthy.core.stages import Rejected, Verified


@dataclass(frozen=True)
class Round:
    """One burst of one contestant: its figure, its number among all bursts, and the duration of each call in nanoseconds."""

    value: float
    burst: int
    calls: tuple[int, ...]


@dataclass
class Lane:
    """What one contestant has shown so far, by the number of the round; ``bursts`` are those of the whole race.

    ``latency`` holds ms a call at batch 1, ``rate`` samples a second in calls of ``best_batch``. While the race looks for that batch,
    ``growing`` says that a larger one is still to be tried; ``cut`` says that time ran out before it was.
    """

    verified: Verified
    bursts: Bursts
    latency: dict[int, Round] = field(default_factory=dict)
    rate: dict[int, Round] = field(default_factory=dict)
    best_batch: int = 0
    best_rate: float = 0.0
    rate_calls: int = 3
    growing: bool = True
    cut: bool = False
    memory_mb: float = 0.0
    cold_ms: list[float] = field(default_factory=list)
    first_ms: dict[int, float] = field(default_factory=dict)
    failed: Rejected | None = None

    def record(self, batch: int, burst: Burst) -> int:
        """Enter a burst of this contestant among all of the race; its number there."""
        return self.bursts.add((id(self), batch), burst.disturbance)

    @property
    def latencies(self) -> Series:
        """ms a call at batch 1."""
        return self._series(self.latency)

    @property
    def rates(self) -> Series:
        """Samples a second in calls of ``best_batch``."""
        return self._series(self.rate)

    def calls(self) -> list[int]:
        """The duration of every call at batch 1 in the rounds that count, in nanoseconds."""
        return [call for number in self.latencies.counted for call in self.latency[number].calls]

    def _series(self, rounds: Mapping[int, Round]) -> Series:
        quiet = frozenset(number for number, one in rounds.items() if self.bursts.quiet(one.burst))
        return Series({number: one.value for number, one in rounds.items()}, quiet)


def timing(lane: Lane, baseline: Lane) -> Timing:
    """The figures of ``lane`` beside the baseline's."""
    mine, its, calls = lane.latencies, baseline.latencies, lane.calls()
    speedup, paired = _beside(its, mine)
    return Timing(
        latency_ms=mine.typical,
        p99_ms=float(np.quantile(calls, 0.99)) / 1e6,
        speedup=speedup,
        memory_mb=lane.memory_mb,
        cold_ms=float(np.median(lane.cold_ms)),
        size_mb=lane.verified.candidate.size / 2**20,
        rounds=len(mine.undisturbed),
        noisy=mine.noisy,
        trusted=mine.trusted,
        first_calls=tuple(FirstCall(batch, ms) for batch, ms in sorted(lane.first_ms.items())),
        paired=paired,
        calls=len(calls),
        rate=rate(lane, baseline),
    )


def rate(lane: Lane, baseline: Lane) -> Rate | None:
    """The throughput of ``lane`` beside the baseline's; ``None`` where too few rounds were timed.

    It has no ratio where the original had no time for a batch as large as this one's: the best of it is not known then.
    """
    mine, its = lane.rates, baseline.rates
    if len(mine.values) < ENOUGH:
        return None
    unfair = baseline.cut and lane.best_batch > baseline.best_batch
    beside = None if unfair else statistics.paired(mine, its)
    return Rate(
        per_second=mine.typical,
        batch=lane.best_batch,
        speedup=beside.ratio if beside else None,
        paired=beside is not None and beside.quiet,
        rounds=len(mine.undisturbed),
        noisy=mine.noisy,
        trusted=mine.trusted,
    )


def _beside(original: Series, mine: Series) -> tuple[Interval, bool]:
    """The original's latency over this one's, and whether over rounds that were quiet for both."""
    beside = statistics.paired(original, mine)
    return (beside.ratio, beside.quiet) if beside else (statistics.widest(original.counted, mine.counted), False)

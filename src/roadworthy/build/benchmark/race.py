"""Verified to Measured: every contestant in a process of its own, in interleaved rounds beside the original.

Only one of them runs at a time: the others are stopped (SIGSTOP), because a thread pool that spins while it waits
is a busy neighbour. A round in which the system kept a contestant waiting for a CPU does not count and is run again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from roadworthy.build.benchmark import statistics
from roadworthy.build.benchmark.bursts import Bursts
from roadworthy.build.benchmark.schedule import Meet, Progress
from roadworthy.build.benchmark.statistics import Paired, Series
from roadworthy.build.benchmark.timings import Lane, timing
from roadworthy.core.errors import UsageError
from roadworthy.core.samples import SampleSet
from roadworthy.core.stages import Measured, Rejected, Verified


@dataclass(frozen=True)
class Race:
    """The figures, baseline first; those that failed on the way; and the rounds behind the figures, in the order of ``measured``.

    ``latencies`` are in ms, ``rates`` in samples a second.
    """

    measured: tuple[Measured, ...]
    failed: tuple[Rejected, ...]
    latencies: tuple[Series, ...]
    rates: tuple[Series, ...]

    def paired(
        self, a: Measured, b: Measured, figure: Literal["latency", "throughput"] = "latency", confidence: float = 0.95
    ) -> Paired | None:
        """The figure of ``a`` over that of ``b``, paired by the rounds that were quiet for these two; of all rounds where those are
        too few, ``None`` where these are too few as well. Two that ran in different rounds are compared through the original.
        """
        rounds = self.latencies if figure == "latency" else self.rates
        return statistics.paired(rounds[self._index(a)], rounds[self._index(b)], rounds[0], confidence)

    def rounds(self, one: Measured, figure: Literal["latency", "throughput"] = "latency") -> Series:
        """Every round of one contestant."""
        return (self.latencies if figure == "latency" else self.rates)[self._index(one)]

    def _index(self, one: Measured) -> int:
        return next(index for index, other in enumerate(self.measured) if other is one)


def race(contestants: Sequence[Verified], samples: SampleSet, *, budget_seconds: float, log_dir: Path, progress: Progress) -> Race:
    """Time ``contestants`` (the original first) on ``samples`` for about ``budget_seconds``; each writes its log to ``log_dir``.

    All are loaded at once where memory allows, otherwise in heats with the original in each. Whoever is clearly far
    behind leaves after a few rounds. Raises what the original itself failed with; other failures are in the result.
    """
    if not contestants:
        raise UsageError("a race needs the original at least")
    log_dir.mkdir(parents=True, exist_ok=True)
    bursts = Bursts()
    meet = Meet([Lane(verified, bursts) for verified in contestants], samples, log_dir, progress, budget_seconds)
    try:
        meet.run()
    finally:
        meet.close()
    return _result(meet.lanes)


def _result(lanes: list[Lane]) -> Race:
    finished = [lane for lane in lanes if not lane.failed]
    measured = tuple(Measured(lane.verified, timing(lane, lanes[0])) for lane in finished)
    return Race(
        measured,
        tuple(lane.failed for lane in lanes if lane.failed),
        tuple(lane.latencies for lane in finished),
        tuple(lane.rates for lane in finished),
    )

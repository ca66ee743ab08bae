"""One candidate in a benchmark, and everything that was recorded of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from roadworthy.build.benchmark.bursts import Bursts
from roadworthy.build.benchmark.process import CandidateProcess
from roadworthy.build.benchmark.statistics import Measurement, Series
from roadworthy.build.benchmark.worker import Burst
from roadworthy.core.errors import RoadworthyError
from roadworthy.core.samples import SampleSet
from roadworthy.core.stages import Candidate

Figure = Literal["latency", "throughput"]
"""``latency`` in ms a call, ``throughput`` in samples a second."""


@dataclass(frozen=True)
class RecordedBurst:
    """One burst of a round: its figure, its number among all bursts of the benchmark, and the duration of each call in nanoseconds."""

    value: float
    burst: int
    calls: tuple[int, ...]


@dataclass
class BatchSearch:
    """The batch size at which a candidate answers most samples a second, as far as it was searched.

    ``calls`` of ``best`` samples make a burst. ``growing`` says that a larger size is still to be tried, ``cut`` that the time was over
    before it could be.
    """

    best: int = 0
    per_second: float = 0.0
    calls: int = 3
    growing: bool = True
    cut: bool = False


@dataclass(eq=False)
class Case:
    """One candidate, the samples to call it with, its process, and what was recorded; ``bursts`` are those of the whole benchmark.

    ``recorded`` holds the bursts by figure and batch size, then by the number of the round. ``burst_calls`` is how many calls make a
    burst at a batch size, where that was found beforehand. ``cold_ms`` are the starts: from the start
    of the process to the first answer. A process that has ended keeps its figures.
    """

    candidate: Candidate
    samples: SampleSet
    bursts: Bursts
    running: bool = False
    search: BatchSearch = field(default_factory=BatchSearch)
    recorded: dict[tuple[Figure, int], dict[int, RecordedBurst]] = field(default_factory=dict)
    burst_calls: dict[int, int] = field(default_factory=dict)
    memory_mb: float = 0.0
    cold_ms: list[float] = field(default_factory=list)
    failure: RoadworthyError | None = None
    _process: CandidateProcess | None = None

    @property
    def process(self) -> CandidateProcess:
        """Its process, which was started."""
        assert self._process is not None, "a case has no process before its start"
        return self._process

    @property
    def first_ms(self) -> dict[int, float]:
        """What the first call of each batch size took, in ms."""
        return {} if self._process is None else self._process.first_ms

    @property
    def smallest(self) -> int:
        """The smallest number of samples that one call takes."""
        return self.candidate.signature.call_size(1)

    def start(self, log: Path) -> CandidateProcess:
        """Start its process, which loads nothing yet."""
        self._process, self.running = CandidateProcess(self.candidate, self.samples, log), True
        return self._process

    def stop(self) -> None:
        """End its process, if it has one."""
        if self.running:
            self.running = False
            self.process.close()

    def timed(self, batch: int, calls: int) -> tuple[Burst, int]:
        """``calls`` calls of ``batch`` samples on the clock, and the number of the burst. Raises StepFailed where the process fails."""
        burst = self.process.burst(batch, calls)
        return burst, self.bursts.add((self, batch), burst.disturbance)

    def record(self, figure: Figure, batch: int, number: int, burst: RecordedBurst) -> None:
        """Keep ``burst`` as this case's burst of round ``number``; it replaces an earlier one."""
        self.recorded.setdefault((figure, batch), {})[number] = burst

    def series(self, figure: Figure, batch: int) -> Series:
        """Every round of one figure at one batch size, judged by all bursts so far."""
        rounds = self.recorded.get((figure, batch), {})
        return Series({number: Measurement(one.value, self.bursts.quiet(one.burst)) for number, one in rounds.items()})

    @property
    def latency(self) -> Series:
        """Milliseconds a call of the smallest size."""
        return self.series("latency", self.smallest)

    @property
    def throughput(self) -> Series:
        """Samples a second in calls of the best batch size."""
        return self.series("throughput", self.search.best)

    def calls(self, latency: Series) -> list[float]:
        """The duration in ms of every call of the smallest size in the rounds of ``latency`` that count, corrected as those are."""
        rounds = self.recorded.get(("latency", self.smallest), {})
        return [call / 1e6 * value / rounds[number].value for number, value in latency.counted.items() for call in rounds[number].calls]

"""What was checked and what was timed, as data: every claim of a report is one of these values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

ENOUGH = 5
"""Undisturbed rounds below which no figure is trusted."""


def shown(value: float, *, percent: bool) -> str:
    """A value of a metric as text."""
    return f"{value:.2%}" if percent else f"{value:.4g}"


@dataclass(frozen=True)
class Note:
    """One sentence about the model, its data or its graphs. A ``warning`` limits what the evidence proves, or what the answers mean."""

    text: str
    warning: bool = False


@dataclass(frozen=True)
class Interval:
    """An estimate and its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Tolerance:
    """How far float32 itself is from the truth for one model, and the limit computed from that.

    All relative to the output's scale (its largest magnitude over the samples). ``float64`` is the distance of
    the float32 original from the same model in float64 (``None`` where it does not run in float64), ``noise``
    the change of its answers by input noise of 1e-7, and ``limit`` the largest error at which a candidate still counts
    as the same function.
    """

    float64: float | None
    noise: float
    limit: float


@dataclass(frozen=True)
class Parity:
    """The differences between a candidate and the original on the same samples, worst case over samples and outputs.

    ``max_abs`` is in output units; ``max_rel`` and ``rms_rel`` are relative to the output's scale;
    ``cosine`` is the smallest cosine of any sample; ``agreement`` the share of samples with the same top class,
    ``None`` where the first output has no class axis. ``equivalent`` says ``max_rel`` is within the tolerance.
    """

    samples: int
    batches: tuple[int, ...]
    max_abs: float
    max_rel: float
    rms_rel: float
    cosine: float
    agreement: float | None
    equivalent: bool


Part = Literal["all", "choosing", "final"]


@dataclass(frozen=True)
class Budget:
    """By how much a candidate that is meant to differ may be worse than the original: ``amount`` in the metric's own units or, where it is
    ``relative``, as a part of the original's score.

    ``way`` is the direction in which the user stated it, if they did: a drop fits a metric of which higher is better, a rise the others.
    """

    amount: float = 0.01
    relative: bool = True
    way: Literal["either", "drop", "rise"] = "either"

    def __str__(self) -> str:
        return f"{100 * self.amount:g} %" if self.relative else f"{self.amount:g}"


@dataclass(frozen=True)
class Score:
    """A task metric of a candidate and of the original on the same samples.

    ``drop`` says by how much the candidate is worse, with a 95 % interval: original minus candidate, or candidate minus original where
    lower is ``better``. ``bound`` is its one-sided 95 % upper bound, which must be within ``budget`` (in the metric's units).
    ``needed`` is the number of samples with which the observed drop would have passed, where there were too few.
    ``interval`` says how the intervals were found: from one score a sample, or, for a figure of the whole set, by resampling the samples.
    ``share`` says that the values lie in 0..1 and read as percentages.

    ``part`` says which samples these are: all, those that choose among the candidates, or those that are kept for the figures of what is
    chosen (``final``). There ``bound`` is corrected for the candidates that were judged on them before. ``stopped`` says that the verdict
    was certain before all samples of the part were used; where the metric decided that, the intervals are valid at any time.
    """

    metric: str
    samples: int
    value: Interval
    original: float
    drop: Interval
    bound: float
    budget: float
    needed: int | None = None
    better: Literal["higher", "lower"] = "higher"
    interval: Literal["per sample", "resampled"] = "per sample"
    share: bool = True
    part: Part = "all"
    stopped: bool = False

    @property
    def percent(self) -> bool:
        """Whether the values read as percentages."""
        return self.share and max(abs(self.original), abs(self.value.value)) <= 1

    @property
    def kind(self) -> str:
        """The direction of the metric and how its intervals were found, in words."""
        how = "resampling the samples" if self.interval == "resampled" else "one score a sample"
        return f"{self.better} is better; 95 % intervals from {how}"

    def shown(self, value: float) -> str:
        """A value of the metric as text."""
        return shown(value, percent=self.percent)


@dataclass(frozen=True)
class FirstCall:
    """What the first call of ``batch`` samples took in ms, in a process that had answered other sizes before: a runtime that
    traces or compiles for each size does it in this call.
    """

    batch: int
    ms: float


@dataclass(frozen=True)
class FirstLook:
    """The shortest of a few calls in the process that verifies a candidate, while other steps run beside it, in ms a sample.

    ``ms`` is by the clock: alone, the candidate needs no more. ``least`` is what its threads computed, divided by their number: on cores
    of its own, it needs no less. ``opened`` is how long its runtime and its files took to load, in seconds.
    """

    ms: float
    least: float
    opened: float = 0.0


@dataclass(frozen=True)
class Rate:
    """The throughput of one candidate: samples a second, median over rounds with an interval, in calls of ``batch`` samples.

    ``batch`` is the size that gave most samples a second, of those that there was time for. ``speedup`` is this throughput over the
    original's, at the size that gave the original most: the quotient of the two figures. It is ``paired`` where enough undisturbed
    rounds of both stand behind it, and ``None`` where too few rounds compare the two. ``rounds`` counts undisturbed rounds and
    ``noisy`` disturbed ones; ``trusted`` says that enough were undisturbed and agree.
    """

    per_second: Interval
    batch: int
    speedup: Interval | None
    paired: bool
    rounds: int
    noisy: int
    trusted: bool


@dataclass(frozen=True)
class Timing:
    """The figures of one candidate in the race, all from the same host and the same rounds.

    ``latency_ms`` is the median of a batch-1 call with an interval over rounds, corrected for how fast the host was in the rounds that
    this candidate ran, ``p99_ms`` the 99th percentile of ``calls`` such calls. ``speedup`` is the original's latency over this one's:
    the quotient of the two figures, ``paired`` where enough undisturbed rounds of both stand behind it. ``memory_mb`` is the peak
    resident size of the process, ``cold_ms`` process start to first answer, the median of one to three starts. ``rounds`` counts
    undisturbed rounds and ``noisy`` disturbed ones, ``trusted`` says that enough were undisturbed and agree. ``first_calls`` has
    every batch size that was tried, ascending. ``rate`` is ``None`` where too few rounds of throughput were timed, as for those that
    left the race before, and in certificates that were written before it was paired; ``calls`` is 0 in those.
    """

    latency_ms: Interval
    p99_ms: float
    speedup: Interval
    memory_mb: float
    cold_ms: float
    size_mb: float
    rounds: int
    noisy: int
    trusted: bool
    first_calls: tuple[FirstCall, ...] = ()
    paired: bool = True
    calls: int = 0
    rate: Rate | None = None

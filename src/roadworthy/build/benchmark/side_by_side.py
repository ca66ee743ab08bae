"""Candidates timed beside the first of them, before any of them is verified: whether making one of them right would pay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from roadworthy.build.benchmark import statistics
from roadworthy.build.benchmark.bursts import Bursts
from roadworthy.build.benchmark.case import Case
from roadworthy.build.benchmark.latency import time_call
from roadworthy.build.benchmark.schedule import Progress, Schedule
from roadworthy.core.errors import StepFailed
from roadworthy.core.evidence import Interval
from roadworthy.core.samples import SampleSet
from roadworthy.core.stages import Candidate

ROUNDS, LEAST_ROUNDS, MOST_ROUNDS = 12, 5, 24
"""Quiet rounds wanted, rounds run in any case, and rounds at most to get the quiet ones."""


@dataclass(frozen=True)
class Beside:
    """The latency in ms of a call of one sample, and that of each other candidate over it, by the order in which they were given."""

    candidate: Candidate
    ms: float
    over: tuple[Interval | None, ...]

    def faster_than(self, other: int) -> Interval:
        """How many times as fast it is as candidate ``other``; raises StepFailed where that one could not be timed."""
        ratio = self.over[other]
        if ratio is None:
            raise StepFailed("a candidate could not be timed beside another one, which failed")
        return ratio


def side_by_side(
    candidates: Sequence[Candidate], samples: SampleSet, *, seconds: float, log_dir: Path, progress: Progress
) -> tuple[Beside | None, ...]:
    """Interleaved rounds of all ``candidates`` on ``samples``, for about ``seconds``; ``None`` for one that fails.

    Raises StepFailed where the first one fails.
    """
    log_dir.mkdir(parents=True, exist_ok=True)
    bursts, deadline = Bursts(), monotonic() + seconds
    cases = [Case(candidate, samples, bursts) for candidate in candidates]

    def unfinished(running: list[Case]) -> list[Case]:
        return running if any(len(case.latency.quiet) < ROUNDS for case in running) else []

    with Schedule(cases, prepare=_load, log=lambda index: log_dir / f"{index}.log", say=lambda text: progress(text, 0.0)) as schedule:
        for group in schedule.groups():
            schedule.rounds(
                group, time_call, unfinished=unfinished, fewest=LEAST_ROUNDS, most=MOST_ROUNDS, deadline=deadline, name="side by side"
            )
    series = statistics.aligned([case.latency for case in cases])
    fit = [not case.failure and bool(one.all) for case, one in zip(cases, series, strict=True)]
    return tuple(
        Beside(
            case.candidate,
            mine.median.value,
            tuple(statistics.paired(other, mine).ratio if there else None for other, there in zip(series, fit, strict=True)),
        )
        if fits
        else None
        for case, mine, fits in zip(cases, series, fit, strict=True)
    )


def _load(case: Case) -> None:
    case.process.load()
    case.process.warm_up()

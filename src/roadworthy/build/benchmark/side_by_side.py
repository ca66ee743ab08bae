"""Candidates timed beside others before any of them is verified: whether making one of them right would pay."""

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
from roadworthy.core.evidence import Interval
from roadworthy.core.samples import SampleSet
from roadworthy.core.stages import Candidate

ROUNDS, LEAST_ROUNDS, MOST_ROUNDS = 12, 5, 24
"""Quiet rounds wanted, rounds run in any case, and rounds at most to get the quiet ones."""


@dataclass(frozen=True)
class Beside:
    """The latency in ms of a call of one sample, and how many times as fast that is as ``other``, the plan that it is held against."""

    candidate: Candidate
    ms: float
    other: str
    speedup: Interval


def side_by_side(
    old: Sequence[Candidate], new: Sequence[Candidate], samples: SampleSet, *, seconds: float, log_dir: Path, progress: Progress
) -> tuple[Beside, ...]:
    """``new`` beside the fastest of ``old``, all in interleaved rounds on ``samples``, for about ``seconds``; what fails is left out.

    Raises StepFailed where the first of ``old`` fails.
    """
    log_dir.mkdir(parents=True, exist_ok=True)
    bursts, deadline = Bursts(), monotonic() + seconds
    cases = [Case(candidate, samples, bursts) for candidate in (*old, *new)]

    def unfinished(running: list[Case]) -> list[Case]:
        return running if any(len(case.latency.quiet) < ROUNDS for case in running) else []

    with Schedule(cases, prepare=_load, log=lambda index: log_dir / f"{index}.log", say=lambda text: progress(text, 0.0)) as schedule:
        for group in schedule.groups():
            schedule.rounds(
                group, time_call, unfinished=unfinished, fewest=LEAST_ROUNDS, most=MOST_ROUNDS, deadline=deadline, name="side by side"
            )
    timed = list(zip(cases, statistics.aligned([case.latency for case in cases]), strict=True))
    before, after = ([(case, one) for case, one in some if not case.failure and one.all] for some in (timed[: len(old)], timed[len(old) :]))
    fastest, rounds = min(before, key=lambda pair: pair[1].median.value)
    name = fastest.candidate.plan.name
    return tuple(Beside(case.candidate, one.median.value, name, statistics.paired(rounds, one).ratio) for case, one in after)


def _load(case: Case) -> None:
    case.process.load()
    case.process.warm_up()

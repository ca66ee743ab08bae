"""Forms of one or more models side by side: what each costs before its first fast call, and its speed at several batch sizes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import monotonic

from roadworthy.build.benchmark import statistics
from roadworthy.build.benchmark.bursts import Bursts
from roadworthy.build.benchmark.case import Case
from roadworthy.build.benchmark.latency import time_calls
from roadworthy.build.benchmark.process import burst_calls
from roadworthy.build.benchmark.schedule import Progress, Schedule
from roadworthy.build.benchmark.statistics import Series
from roadworthy.build.benchmark.timings import first_calls, rejected
from roadworthy.core.comparison import Family, Form, Steady
from roadworthy.core.samples import SampleSet
from roadworthy.core.stages import Rejected, Verified

BATCHES = (1, 8, 32)
ROUNDS, LEAST_ROUNDS, MOST_ROUNDS = 12, 5, 24
"""Quiet rounds wanted at each batch size, rounds run in any case, and rounds at most to get the quiet ones."""
FEW_CALLS = 3


@dataclass(frozen=True)
class FormRequest:
    """One form to time, on the samples of its own side."""

    verified: Verified
    samples: SampleSet
    family: Family


def measure_forms(requests: Sequence[FormRequest], *, seconds: float, log_dir: Path, progress: Progress) -> tuple[Form | Rejected, ...]:
    """For each of ``requests`` its figures, or why it could not be timed. The forms of a side follow its original.

    All are loaded at once where memory allows, otherwise in groups with the first in each. ``seconds`` is for the rounds alone:
    starting, tracing and compiling are not limited by it.
    """
    log_dir.mkdir(parents=True, exist_ok=True)
    bursts = Bursts()
    cases = [Case(request.verified.candidate, request.samples, bursts) for request in requests]

    def say(text: str) -> None:
        progress(text, min(0.99, sum(bool(case.first_ms) for case in cases) / (len(cases) + 1)))

    with Schedule(cases, prepare=_load, log=lambda index: log_dir / f"form-{index}.log", say=say) as schedule:
        for group in schedule.groups():
            for batch in BATCHES:
                _time_rounds(schedule, group, batch, seconds * len(group) / len(cases) / len(BATCHES))
    aligned = {batch: statistics.aligned([case.series("latency", batch) for case in cases]) for batch in BATCHES}
    results: list[Form | Rejected] = []
    original = 0
    for index, (case, request) in enumerate(zip(cases, requests, strict=True)):
        original = index if request.family == "original" else original
        if case.failure:
            results.append(rejected(request.verified, case.failure))
        else:
            steady = tuple(_steady(batch, found[index], found[original]) for batch, found in aligned.items() if found[index].all)
            results.append(_form(case, request, steady))
    return tuple(results)


def _load(case: Case) -> None:
    """Import, load, the first answer, the first call of each batch size, and the memory after them."""
    process = case.process
    process.load()
    process.warm_up()
    for batch in BATCHES:
        if _takes(case, batch):
            case.burst_calls[batch] = burst_calls(process.burst(batch, FEW_CALLS), FEW_CALLS)
    case.memory_mb = process.peak_mb()


def _takes(case: Case, batch: int) -> bool:
    """Whether one call takes ``batch`` samples without splitting or padding."""
    return case.candidate.signature.call_size(batch) == batch


def _time_rounds(schedule: Schedule, group: Sequence[Case], batch: int, seconds: float) -> None:
    """Rounds until all that take ``batch`` samples have enough quiet ones."""

    def unfinished(running: list[Case]) -> list[Case]:
        return running if any(len(case.series("latency", batch).quiet) < ROUNDS for case in running) else []

    schedule.rounds(
        [case for case in group if _takes(case, batch)],
        partial(_time_call, batch=batch),
        unfinished=unfinished,
        fewest=LEAST_ROUNDS,
        most=MOST_ROUNDS,
        deadline=monotonic() + seconds,
        name=f"batch {batch}",
    )


def _time_call(case: Case, number: int, batch: int) -> None:
    time_calls(case, number, batch, case.burst_calls[batch])


def _form(case: Case, request: FormRequest, steady: tuple[Steady, ...]) -> Form:
    candidate = case.candidate
    best = max(steady, key=lambda one: one.batch / one.ms.value, default=None)
    return Form(
        family=request.family,
        plan=candidate.plan,
        graph=candidate.graph,
        error=request.verified.parity.max_rel,
        made_s=candidate.seconds,
        size_mb=candidate.size / 2**20,
        import_ms=case.process.import_ms,
        load_ms=case.process.load_ms,
        first_calls=first_calls(case),
        steady=steady,
        throughput=1e3 * best.batch / best.ms.value if best else 0.0,
        best_batch=best.batch if best else 0,
        memory_mb=case.memory_mb,
    )


def _steady(batch: int, mine: Series, original: Series) -> Steady:
    """Beside the original of its own side."""
    ratio = statistics.paired(original, mine) if original.all else None
    return Steady(
        batch, mine.median, ratio.ratio if ratio else None, len(mine.quiet), mine.trusted, paired=ratio is not None and ratio.quiet
    )

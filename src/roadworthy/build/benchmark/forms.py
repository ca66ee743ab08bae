"""Forms of one or more models side by side: what each costs before it is at speed, and its speed at several batch sizes."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from roadworthy.build.benchmark import statistics
from roadworthy.build.benchmark.bursts import Bursts
from roadworthy.build.benchmark.process import Runner, burst_calls
from roadworthy.build.benchmark.statistics import Series
from roadworthy.core.comparison import Family, Form, Steady
from roadworthy.core.errors import RoadworthyError
from roadworthy.core.evidence import FirstCall
from roadworthy.core.host import usable_memory_mb
from roadworthy.core.samples import SampleSet
from roadworthy.core.stages import Rejected, Verified

BATCHES = (1, 8, 32)
ROUNDS, LEAST_ROUNDS, MOST_ROUNDS = 12, 5, 24
"""Quiet rounds wanted at each batch size, rounds run in any case, and rounds at most to get the quiet ones."""
FEW_CALLS = 3
MEMORY_SHARE = 0.6

Progress = Callable[[str, float], None]


@dataclass(frozen=True)
class Entrant:
    """One form to measure, on the samples of its own side."""

    verified: Verified
    samples: SampleSet
    family: Family


@dataclass
class _Lane:
    """What one form has shown so far: by batch size and number of the round, the ms a call and the number of the burst in ``bursts``."""

    entrant: Entrant
    bursts: Bursts
    latency: dict[int, dict[int, tuple[float, int]]] = field(default_factory=dict)
    calls: dict[int, int] = field(default_factory=dict)
    import_ms: float = 0.0
    load_ms: float = 0.0
    memory_mb: float = 0.0
    first_ms: dict[int, float] = field(default_factory=dict)
    failed: Rejected | None = None

    def rounds(self, batch: int) -> Series:
        """The ms a call of ``batch`` samples."""
        latency = self.latency.get(batch, {})
        quiet = frozenset(number for number, (_, burst) in latency.items() if self.bursts.quiet(burst))
        return Series({number: ms for number, (ms, _) in latency.items()}, quiet)


def measure_forms(entrants: Sequence[Entrant], *, seconds: float, log_dir: Path, progress: Progress) -> tuple[Form | Rejected, ...]:
    """Every entrant measured: for each a Form, or why it could not be timed. The entrants of a side follow its original.

    All are loaded at once where memory allows, otherwise in groups with the first in each; one runs at a time, in rounds in
    which everybody has a turn. ``seconds`` is for the rounds alone: starting, tracing and compiling take what they take.
    """
    log_dir.mkdir(parents=True, exist_ok=True)
    bursts = Bursts()
    meet = _Meet([_Lane(entrant, bursts) for entrant in entrants], log_dir, progress, seconds)
    try:
        meet.run()
    finally:
        meet.close()
    results: list[Form | Rejected] = []
    original = first = meet.lanes[0]
    for lane in meet.lanes:
        original = lane if lane.entrant.family == "original" else original
        results.append(lane.failed or _form(lane, original, first))
    return tuple(results)


class _Meet:
    def __init__(self, lanes: list[_Lane], log_dir: Path, progress: Progress, seconds: float) -> None:
        self.lanes = lanes
        self._log_dir, self._progress, self._seconds = log_dir, progress, seconds
        self._random = random.Random(0)
        self._runners: dict[int, Runner] = {}
        self._done = 0
        self._round = 0

    def run(self) -> None:
        waiting = list(range(1, len(self.lanes)))
        self._start(0)
        while True:
            group = self._fill(waiting)
            share = (1 + len(group)) / len(self.lanes)
            for number, batch in enumerate(BATCHES):
                self._rounds([0, *group], batch, share * self._seconds / len(BATCHES), number)
            for index in group:
                self._retire(index)
            if not waiting:
                break
        self._retire(0)

    def close(self) -> None:
        for index in list(self._runners):
            self._retire(index)

    def _fill(self, waiting: list[int]) -> list[int]:
        """Start as many as fit into memory; always at least one."""
        group: list[int] = []
        allowed = MEMORY_SHARE * usable_memory_mb()
        while waiting and (not group or sum(runner.resident_mb for runner in self._runners.values()) < allowed):
            index = waiting.pop(0)
            self._start(index)
            if not self.lanes[index].failed:
                group.append(index)
        return group

    def _start(self, index: int) -> None:
        """A fresh process: import, load, first answer, and the first call at each batch size."""
        lane = self.lanes[index]
        candidate = lane.entrant.verified.candidate
        self._say(f"starting {candidate.plan.name}")
        self._runners[index] = Runner(candidate, lane.entrant.samples, self._log_dir / f"form-{index}.log")
        self._attempt(index, _enter)
        self._done += 1

    def _rounds(self, group: list[int], batch: int, seconds: float, number: int) -> None:
        deadline = time.monotonic() + seconds
        for done in range(MOST_ROUNDS):
            if done >= LEAST_ROUNDS and time.monotonic() > deadline:
                break
            running = [index for index in group if not self.lanes[index].failed]
            if all(len(self.lanes[index].rounds(batch).undisturbed) >= ROUNDS for index in running):
                break
            self._say(f"batch {batch}, round {done + 1}")
            self._random.shuffle(running)
            for index in running:
                self._attempt(index, lambda runner, lane: self._burst(runner, lane, batch))
            self._round += 1

    def _burst(self, runner: Runner, lane: _Lane, batch: int) -> None:
        size = lane.entrant.verified.candidate.signature.call_size(batch)
        if size != batch:
            return
        burst = runner.burst(batch, lane.calls[batch])
        number = lane.bursts.add((id(lane), batch), burst.disturbance)
        lane.latency.setdefault(batch, {})[self._round] = (float(np.median(burst.calls)) / 1e6, number)

    def _retire(self, index: int) -> None:
        runner = self._runners.pop(index, None)
        if runner is not None:
            self.lanes[index].first_ms = dict(runner.first_ms)
            runner.close()

    def _attempt(self, index: int, step: Callable[[Runner, _Lane], None]) -> None:
        """``step`` for a form that still runs; one that fails is out."""
        runner, lane = self._runners.get(index), self.lanes[index]
        if runner is None or lane.failed:
            return
        try:
            step(runner, lane)
        except RoadworthyError as problem:
            if index == 0:
                raise
            lane.failed = Rejected(lane.entrant.verified.candidate.plan, "measure", problem.message, problem.detail)
            self._retire(index)

    def _say(self, text: str) -> None:
        self._progress(text, min(0.99, self._done / (len(self.lanes) + 1)))


def _enter(runner: Runner, lane: _Lane) -> None:
    runner.enter()
    lane.import_ms, lane.load_ms = runner.import_ms, runner.load_ms
    runner.warm_up()
    for batch in BATCHES:
        if lane.entrant.verified.candidate.signature.call_size(batch) == batch:
            lane.calls[batch] = burst_calls(runner.burst(batch, FEW_CALLS), FEW_CALLS)
    lane.memory_mb = runner.peak_mb()


def _form(lane: _Lane, original: _Lane, first: _Lane) -> Form:
    candidate = lane.entrant.verified.candidate
    steady = tuple(_steady(lane, original, first, batch) for batch in BATCHES if lane.rounds(batch).values)
    best = max(steady, key=lambda one: one.batch / one.ms.value, default=None)
    return Form(
        family=lane.entrant.family,
        plan=candidate.plan,
        graph=candidate.graph,
        error=lane.entrant.verified.parity.max_rel,
        made_s=candidate.seconds,
        size_mb=candidate.size / 2**20,
        import_ms=lane.import_ms,
        load_ms=lane.load_ms,
        first_calls=tuple(FirstCall(batch, ms) for batch, ms in sorted(lane.first_ms.items())),
        steady=steady,
        throughput=1e3 * best.batch / best.ms.value if best else 0.0,
        best_batch=best.batch if best else 0,
        memory_mb=lane.memory_mb,
    )


def _steady(lane: _Lane, original: _Lane, first: _Lane, batch: int) -> Steady:
    """Beside the original of its own side; through the very first entrant where the two never ran in the same rounds."""
    rounds = lane.rounds(batch)
    beside = statistics.paired(original.rounds(batch), rounds, first.rounds(batch))
    return Steady(
        batch,
        rounds.typical,
        beside.ratio if beside else None,
        len(rounds.undisturbed),
        rounds.trusted,
        paired=beside is not None and beside.quiet,
    )

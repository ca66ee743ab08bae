"""The race while it lasts: who is loaded, which round it is, who has fallen behind, what the clock says."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from roadworthy.build.benchmark import statistics
from roadworthy.build.benchmark.process import Runner, burst_calls, typical_seconds
from roadworthy.build.benchmark.timings import Lane, Round
from roadworthy.core.errors import RoadworthyError, StepFailed
from roadworthy.core.evidence import ENOUGH
from roadworthy.core.host import usable_memory_mb
from roadworthy.core.samples import SampleSet
from roadworthy.core.stages import Rejected

ROUNDS, MOST_ROUNDS, LEAST_ROUNDS = 20, 60, 6
"""Quiet rounds wanted, rounds run at most to get them, and rounds before anybody may leave early."""
FAR_BEHIND = 1.5
BATCHES = (1, 2, 4, 8, 16, 32, 64)
WORTH_GROWING, LONGEST_CALL = 1.05, 1.0
MOST_THROUGHPUT_ROUNDS, BURST_TRIES, FEW_CALLS = 8, 3, 3
MEMORY_SHARE = 0.5
LATENCY_SHARE, THROUGHPUT_SHARE = 0.6, 0.9
FINALISTS, COLD_STARTS = 3, 3

Progress = Callable[[str, float], None]


class Meet:
    """The race while it lasts: who is loaded, what the clock says, which round it is."""

    def __init__(self, lanes: list[Lane], samples: SampleSet, log_dir: Path, progress: Progress, seconds: float) -> None:
        self.lanes = lanes
        self._samples, self._log_dir, self._progress = samples, log_dir, progress
        self._start, self._seconds = time.monotonic(), seconds
        self._random = random.Random(0)
        self._runners: dict[int, Runner] = {}
        self._round = 0

    def run(self) -> None:
        waiting = list(range(1, len(self.lanes)))
        self._load(0)
        while True:
            heat = self._fill(waiting)
            now, runners = time.monotonic(), len(heat) + len(waiting)
            share = (self._start + self._seconds - now) * (len(heat) / runners if runners else 1.0)
            self._latency(heat, now + LATENCY_SHARE * share)
            self._throughput(heat, now + THROUGHPUT_SHARE * share)
            for index in heat:
                self._retire(index)
            if not waiting:
                break
        self._retire(0)
        self._cold_starts()
        self._progress("race finished", 1.0)

    def close(self) -> None:
        for index in list(self._runners):
            self._retire(index)

    def _fill(self, waiting: list[int]) -> list[int]:
        """Load from ``waiting`` until half of the memory is taken; always at least one."""
        heat: list[int] = []
        allowed = MEMORY_SHARE * usable_memory_mb()
        while waiting and (not heat or sum(runner.resident_mb for runner in self._runners.values()) < allowed):
            index = waiting.pop(0)
            self._load(index)
            if not self.lanes[index].failed:
                heat.append(index)
        return heat

    def _load(self, index: int) -> None:
        lane = self.lanes[index]
        self._say(f"loading {lane.verified.candidate.plan.name}")
        self._runners[index] = Runner(lane.verified.candidate, self._samples, self._log_dir / f"race-{index}.log")
        self._attempt(index, _enter)

    def _latency(self, heat: list[int], deadline: float) -> None:
        running = list(heat)
        first = self._round
        while self._round - first < MOST_ROUNDS:
            done = self._round - first
            if done >= LEAST_ROUNDS and time.monotonic() > deadline:
                break
            self._say(f"round {done + 1}: {len(running) + 1} contestants")
            everybody = [0, *running]
            self._random.shuffle(everybody)
            for index in everybody:
                self._attempt(index, self._latency_burst)
            self._round += 1
            if heat:
                running = self._still_in([index for index in running if not self.lanes[index].failed])
            if not any(self._wants_rounds(index) for index in running or ([] if heat else [0])):
                break
            running = [index for index in running if self._wants_rounds(index)]
        for index in [0, *heat]:
            self._attempt(index, _measure_memory)

    def _wants_rounds(self, index: int) -> bool:
        """Until it has quiet rounds enough, and some that were quiet for the original as well."""
        quiet, beside = (set(self.lanes[number].latencies.undisturbed) for number in (index, 0))
        return len(quiet) < ROUNDS or len(quiet & beside) < ENOUGH

    def _latency_burst(self, runner: Runner, lane: Lane) -> None:
        burst = runner.burst(runner.single, runner.calls)
        lane.latency[self._round] = Round(float(np.median(burst.calls)) / 1e6, lane.record(runner.single, burst), burst.calls)

    def _still_in(self, running: list[int]) -> list[int]:
        """Without those whose whole interval lies far behind the leader's."""
        quiet = {index: self.lanes[index].latencies.undisturbed for index in running}
        judged = [index for index in running if len(quiet[index]) >= LEAST_ROUNDS]
        if not judged:
            return running
        leader = min(judged, key=lambda index: float(np.median(list(quiet[index].values()))))
        behind = set()
        for index in judged:
            beside = statistics.ratio(quiet[index], quiet[leader])
            if beside is not None and beside.low > FAR_BEHIND:
                behind.add(index)
        return [index for index in running if index not in behind]

    def _throughput(self, heat: list[int], deadline: float) -> None:
        self._grow([index for index in [0, *heat] if not self.lanes[index].best_batch], deadline)
        for number in range(MOST_THROUGHPUT_ROUNDS):
            running = [index for index in [0, *heat] if index in self._runners]
            enough = all(self.lanes[index].rates.enough for index in running)
            if number >= ENOUGH and (enough or time.monotonic() > deadline):
                break
            self._say(f"throughput, round {number + 1}")
            self._random.shuffle(running)
            for index in running:
                self._attempt(index, self._rate)
            self._round += 1

    def _grow(self, growing: list[int], deadline: float) -> None:
        """The batch at which each contestant gets through most samples: doubled as long as that is worth it.

        All try one size before any tries the next, so that a lack of time stops all of them at the same size.
        """
        for step in range(len(BATCHES)):
            late = step > 0 and time.monotonic() > deadline
            for index in growing:
                self._attempt(index, partial(self._widen, step=step, late=late))
            growing = [index for index in growing if self.lanes[index].growing]

    def _widen(self, runner: Runner, lane: Lane, step: int, late: bool) -> None:
        """Try the next batch size of one contestant, where there is one and time is left."""
        sizes = runner.sizes(BATCHES)
        lane.growing = step < len(sizes) and not late
        lane.cut = step < len(sizes) and late
        if lane.growing:
            self._say(f"{lane.verified.candidate.plan.name}: batches of {sizes[step]}")
            _try_batch(runner, lane, sizes[step])

    def _rate(self, runner: Runner, lane: Lane) -> None:
        for _ in range(BURST_TRIES):
            burst = runner.burst(lane.best_batch, lane.rate_calls)
            number = lane.record(lane.best_batch, burst)
            per_second = lane.best_batch * len(burst.calls) / (sum(burst.calls) / 1e9)
            lane.rate[self._round] = Round(per_second, number, burst.calls)
            if lane.bursts.quiet(number):
                break

    def _cold_starts(self) -> None:
        """Two more starts for the original and for those in front, in processes of their own; the others keep their first."""
        fit = [index for index, lane in enumerate(self.lanes) if not lane.failed and index]
        front = sorted(fit, key=lambda index: self.lanes[index].latencies.typical.value)[:FINALISTS]
        for index in [0, *front]:
            lane = self.lanes[index]
            while len(lane.cold_ms) < COLD_STARTS and time.monotonic() < self._start + self._seconds:
                self._say(f"cold start of {lane.verified.candidate.plan.name}")
                try:
                    with Runner(lane.verified.candidate, self._samples, self._log_dir / f"race-{index}.log") as runner:
                        lane.cold_ms.append(runner.enter())
                except RoadworthyError:
                    break

    def _retire(self, index: int) -> None:
        runner = self._runners.pop(index, None)
        if runner is not None:
            self.lanes[index].first_ms = runner.first_ms
            runner.close()

    def _attempt(self, index: int, step: Callable[[Runner, Lane], None]) -> None:
        """``step`` for a contestant that is still running; one that fails is out, and without the original there is no race."""
        runner, lane = self._runners.get(index), self.lanes[index]
        if runner is None:
            return
        try:
            step(runner, lane)
        except RoadworthyError as problem:
            if index == 0:
                raise StepFailed(f"the original cannot be timed: {problem.message}", detail=problem.detail) from problem
            lane.failed = Rejected(
                lane.verified.candidate.plan, "measure", problem.message, problem.detail, lane.verified.parity, lane.verified.score
            )
            self._retire(index)

    def _say(self, text: str) -> None:
        self._progress(text, min(0.99, (time.monotonic() - self._start) / max(self._seconds, 1e-9)))


def _enter(runner: Runner, lane: Lane) -> None:
    lane.cold_ms.append(runner.enter())
    runner.warm_up()


def _measure_memory(runner: Runner, lane: Lane) -> None:
    """Before any large batch, whose buffers would count."""
    lane.memory_mb = lane.memory_mb or runner.peak_mb()


def _try_batch(runner: Runner, lane: Lane, batch: int) -> None:
    """Take ``batch`` for the best size where it is faster than the last; the quickest of a few bursts counts, as noise only slows."""
    calls, seconds = FEW_CALLS, float("inf")
    for _ in range(BURST_TRIES):
        burst = runner.burst(batch, calls)
        seconds = min(seconds, typical_seconds(burst))
        calls = burst_calls(burst, FEW_CALLS)
        if lane.bursts.quiet(lane.record(batch, burst)):
            break
    lane.growing = batch / seconds >= WORTH_GROWING * lane.best_rate
    if lane.growing:
        lane.best_rate, lane.best_batch, lane.rate_calls = batch / seconds, batch, calls
        lane.growing = 2 * seconds <= LONGEST_CALL

"""Races without processes: drawn rounds on a pretended machine go through the real elimination, figures and choice.

Each contestant has a known speed. The machine has two cores; a neighbour takes one or both of them, all the time or in bursts of seconds.
A contestant that needs more cores than are free is slowed, the more the longer its calls are, and most of these rounds are known to
be disturbed. A race of a minute takes a fraction of a second.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from roadworthy.build.benchmark import Race, choose, statistics
from roadworthy.build.benchmark.contest_rounds import LATE
from roadworthy.build.benchmark.elimination import FEWEST, MOST, Contest
from roadworthy.build.benchmark.race import Timed
from roadworthy.build.benchmark.statistics import Measurement, Series
from roadworthy.bundle.certificate import Goal
from roadworthy.core.evidence import Parity, Timing
from roadworthy.core.registry import RuntimeFacts
from roadworthy.core.stages import Candidate, Measured, Plan, Verified
from roadworthy.core.types import Signature

Neighbour = Literal["none", "one core", "both cores", "bursts on one core", "bursts on both cores"]
NEIGHBOURS: tuple[Neighbour, ...] = ("none", "one core", "both cores", "bursts on one core", "bursts on both cores")

SECONDS = 60.0
"""Of rounds at most, as a race of 20 candidates has."""
BURST_SECONDS, TURN_SECONDS = 0.03, 0.012
BUSY_SECONDS, IDLE_SECONDS = 2.0, 3.0
SLICE_MS = 4.0
NOISE, OUTLIERS, UNSEEN = 0.012, 0.03, 0.05
"""The spread of one contestant's rounds, the share of rounds that are off for no known reason, and of disturbed ones that look quiet."""


@dataclass(frozen=True)
class Contestant:
    """One plan with the latency that it has on a quiet machine."""

    plan: Plan
    ms: float


@dataclass(frozen=True)
class Outcome:
    """One race: how many times as long the chosen one takes as the best, the seconds of its rounds, and why it stopped."""

    ratio: float
    seconds: float
    stopped: str


def contestants(random: np.random.Generator, count: int = 20) -> tuple[Contestant, ...]:
    """The original, and ``count`` others of one or two threads: some within a few per cent of the best, some several times slower."""
    best = float(np.exp(random.uniform(np.log(0.2), np.log(1.0))))
    close = random.uniform(1.0, 1.1, count // 4)
    others = np.exp(random.uniform(0.0, np.log(4.0), count - len(close) - 1))
    speeds = random.permutation(np.concatenate([[1.0], close, others]))
    plans = [Plan("null", threads=int(random.integers(1, 3)), flavour=f"c{number}") for number in range(count)]
    original = Contestant(Plan("null", threads=2, flavour="original"), 6 * best)
    return (original, *(Contestant(plan, best * float(speed)) for plan, speed in zip(plans, speeds, strict=True)))


class Machine:
    """Two cores, and how long calls take beside the neighbour at the moment."""

    def __init__(self, random: np.random.Generator, neighbour: Neighbour) -> None:
        self._random, self._neighbour = random, neighbour
        self._busy, self._until, self._clock = not neighbour.startswith("bursts"), 0.0, 1.0
        self.seconds = 0.0

    def measure(self, one: Contestant, *, restless: bool) -> Measurement:
        """One burst of calls. A ``restless`` contestant waits for its own threads and is never known to be quiet."""
        self._pass(max(BURST_SECONDS, 5 * one.ms / 1e3) * 1.2 + TURN_SECONDS)
        drawn = self._random.random(2)
        value = one.ms * self._clock * math.exp(NOISE * (3 if restless else 1) * self._random.standard_normal())
        if drawn[0] < OUTLIERS:
            value *= 1 + self._random.exponential(0.1)
        if one.plan.threads <= self._free:
            return Measurement(value, not restless)
        return Measurement(value * self._slowed(one), not restless and drawn[1] < UNSEEN)

    def truth(self, one: Contestant) -> float:
        """What the best is judged by: beside a neighbour that never leaves, what is fastest beside it."""
        return one.ms * (1.0 if one.plan.threads <= self._always_free else float(np.median([self._slowed(one) for _ in range(400)])))

    @property
    def _always_free(self) -> int:
        return 2 if self._neighbour in ("none", "bursts on one core", "bursts on both cores") else self._free

    def _slowed(self, one: Contestant) -> float:
        """How many times as long the median call of a burst takes where the neighbour has a core for every second slice of time."""
        calls = max(5, round(1e3 * BURST_SECONDS / one.ms))
        hit = self._random.random(calls) < 1 / (SLICE_MS / one.ms + 1)
        waits = SLICE_MS * self._random.uniform(0.5, 1.5, calls) * np.maximum(1.0, one.ms / SLICE_MS)
        return float(np.median(1 + hit * waits / one.ms))

    @property
    def _free(self) -> int:
        if self._neighbour == "none" or not self._busy:
            return 2
        return 0 if "both" in self._neighbour else 1

    def _pass(self, seconds: float) -> None:
        """Time goes on, the clock of the CPU drifts, and bursts begin and end."""
        self.seconds += seconds
        self._clock = math.exp(0.995 * math.log(self._clock) + 0.003 * self._random.standard_normal())
        while self._neighbour.startswith("bursts") and self.seconds > self._until:
            self._busy = not self._busy
            self._until += self._random.exponential(BUSY_SECONDS if self._busy else IDLE_SECONDS)


def simulate(seed: int, neighbour: Neighbour, *, restless: bool = False, count: int = 20) -> tuple[Race, dict[str, float]]:
    """One race and the true latencies by plan. The original is ``restless`` where it is never quiet, as one of TensorFlow."""
    random = np.random.default_rng(seed)
    field = contestants(random, count)
    machine, by_name = Machine(random, neighbour), {one.plan.name: one for one in field}
    original = field[0].plan.name
    contest = Contest(original, [name for name in by_name if name != original], "latency")
    recorded: dict[str, dict[int, Measurement]] = {name: {} for name in by_name}
    contest.begin()
    decided = False
    for number in range(MOST):
        if number >= FEWEST and machine.seconds > SECONDS:
            break
        running = {name: Series(dict(recorded[name])) for name in by_name if name not in contest.left or name == original}
        needed = contest.next_round(running, machine.seconds, late=machine.seconds > LATE * SECONDS)
        if decided := not needed:
            break
        for name in random.permutation(sorted(needed)):
            recorded[name][number] = machine.measure(by_name[name], restless=restless and name == original)
    if not decided:
        running = {name: Series(recorded[name]) for name in by_name if name not in contest.left or name == original}
        contest.ended(running, machine.seconds, limited=False)
    aligned = statistics.aligned([Series(recorded[name]) for name in by_name])
    timed = tuple(_timed(one.plan, mine, aligned[0]) for one, mine in zip(field, aligned, strict=True))
    return Race(timed, (), contest.course()), {one.plan.name: machine.truth(one) for one in field}


def outcome(seed: int, neighbour: Neighbour, *, restless: bool = False, count: int = 20) -> Outcome:
    """How good the choice of one simulated race is."""
    race, truth = simulate(seed, neighbour, restless=restless, count=count)
    winner = choose(race, Goal("latency", "top1", 0.01), framework_allowed=False, facts_of=_facts).winner.plan.name
    assert race.course is not None
    best = min(ms for name, ms in truth.items() if name != race.original.plan.name)
    return Outcome(truth[winner] / best, race.course.seconds, race.course.stopped)


def _facts(name: str) -> RuntimeFacts:
    return RuntimeFacts((), (), framework=False, native=False)


def _timed(plan: Plan, latency: Series, original: Series) -> Timed:
    parity = Parity(100, (1,), 0.0, 0.0, 0.0, 1.0, 1.0, True)
    beside = statistics.paired(original, latency)
    timing = Timing(
        latency_ms=latency.median, p99_ms=1.0, speedup=beside.ratio, memory_mb=1.0, cold_ms=1.0, size_mb=1.0, rounds=len(latency.quiet),
        noisy=latency.disturbed, trusted=latency.trusted, paired=beside.quiet,
    )  # fmt: skip
    verified = Verified(Candidate(plan, Path("x"), Signature((), ()), "npz", 1, 1.0), parity, None)
    return Timed(Measured(verified, timing), latency, Series({}))

"""How often a race chooses the best: 20 contestants of known speed on a quiet machine, and beside neighbours that take one or both cores.

    python benchmarks/race_truth.py                    3 races beside each kind of neighbour, with real processes
    python benchmarks/race_truth.py --races 10 --neighbour none --neighbour "bursts on one core"
    python benchmarks/race_truth.py --simulated --races 100

Each contestant hashes a known number of bytes a call on one or two threads (``timed_work``): what it takes on a quiet machine follows from
that. The speeds are drawn anew for each race: a quarter lies within a tenth of the best, the others are up to four times as slow. Run it on
a machine of at least two cores that is quiet otherwise; all is pinned to two of them. A line for each kind of neighbour says how often the
chosen one takes at most 1.02 times as long as the best, and the seconds that the rounds took. ``results/race_truth.json`` keeps all races.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from roadworthy.build.benchmark import Aim, choose, race
from roadworthy.build.races import RACE_CANDIDATES, RACE_SECONDS
from roadworthy.bundle.certificate import Goal
from roadworthy.core import codec, samples
from roadworthy.core.evidence import Parity
from roadworthy.core.host import Host, this_host
from roadworthy.core.stages import Candidate, Verified
from roadworthy.core.types import Signature, TensorSpec

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE / "timed_work")]

from simulated_races import NEIGHBOURS, Contestant, Neighbour, Outcome, contestants, outcome  # noqa: E402

RESULTS = HERE / "results" / "race_truth.json"
SIGNATURE = Signature((TensorSpec("x", "float32", ("batch", 4)),), (TensorSpec("y", "float32", ("batch", 1)),))
SAME = Parity(100, (1,), 0.0, 0.0, 0.0, 1.0, 1.0, True)
MARGIN = 1.02
BUSY = """
import os, random, sys, time
os.sched_setaffinity(0, {int(sys.argv[1])})
drawn = random.Random(int(sys.argv[2]))
while True:
    until = time.monotonic() + (drawn.expovariate(1 / 2.0) if sys.argv[3] == "bursts" else 1e9)
    while time.monotonic() < until: pass
    time.sleep(drawn.expovariate(1 / 3.0))
"""
"""A neighbour on one core: all the time, or in bursts of two seconds with pauses of three. Those on both cores begin at the same times."""


@dataclass(frozen=True)
class NeighbourResult:
    """All races beside one kind of neighbour, and the share of them whose choice is within the margin of the best."""

    neighbour: str
    simulated: bool
    within: float
    median_seconds: float
    races: tuple[Outcome, ...]


@dataclass(frozen=True)
class TruthResults:
    """What one run of this program found, and where."""

    host: Host
    results: tuple[NeighbourResult, ...]


def main() -> None:
    """Run the races and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--races", type=int, default=3, help="races beside each kind of neighbour")
    parser.add_argument("--neighbour", action="append", choices=NEIGHBOURS, help="only this kind; may be repeated")
    parser.add_argument("--contestants", type=int, default=20)
    parser.add_argument("--simulated", action="store_true", help="drawn rounds in place of processes")
    asked = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))[:2]
    if not asked.simulated:
        os.sched_setaffinity(0, cores)
    host = this_host()
    print(f"{host.cpu}, {host.cores} cores, {' '.join(host.features)}")
    results = []
    for neighbour in asked.neighbour or NEIGHBOURS:
        found = tuple(
            outcome(seed, neighbour, count=asked.contestants) if asked.simulated else real(seed, neighbour, cores, asked.contestants)
            for seed in range(asked.races)
        )
        within = sum(one.ratio <= MARGIN for one in found) / len(found)
        seconds = float(np.median([one.seconds for one in found]))
        results.append(NeighbourResult(neighbour, asked.simulated, within, seconds, found))
        worst = max(one.ratio for one in found)
        stops = ", ".join(sorted({one.stopped for one in found}))
        print(f"{neighbour:22}{within:6.0%} within 2 %, worst {worst:.3f}, median {seconds:.1f} s of rounds ({stops})", flush=True)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_bytes(codec.to_json(TruthResults(host, tuple(results)), indent=1))


def real(seed: int, neighbour: Neighbour, cores: Sequence[int], count: int) -> Outcome:
    """One race with real processes."""
    field = working(contestants(np.random.default_rng(seed), count), bytes_per_ms())
    with tempfile.TemporaryDirectory() as folder, neighbours(neighbour, cores, seed):
        given = samples.write(Path(folder) / "samples", {"x": np.ones((64, 4), np.float32)})
        verified = [Verified(Candidate(one.plan, Path(folder), SIGNATURE, "none", 1, 0.0), SAME, None) for one in field]
        result = race(
            verified,
            given,
            Aim("latency", lambda plan: plan != field[0].plan),
            budget_seconds=RACE_SECONDS * max(1.0, count / RACE_CANDIDATES),
            log_dir=Path(folder) / "log",
            progress=lambda text, share: None,
        )
    winner = choose(result, Goal("latency", "top1", 0.01), framework_allowed=False).winner.plan
    truth = {one.plan.name: one.ms for one in field}
    assert result.course is not None
    return Outcome(truth[winner.name] / min(one.ms for one in field[1:]), result.course.seconds, result.course.stopped)


def working(field: Sequence[Contestant], per_ms: float) -> list[Contestant]:
    """The contestants as plans of ``timed_work``, each with the work that takes as long as it should."""
    return [replace(one, plan=replace(one.plan, runtime="timed-work", flavour=str(round(one.ms * per_ms)))) for one in field]


def bytes_per_ms() -> float:
    """How much one thread hashes in a millisecond: the scale only, since the speeds relative to each other follow from the bytes."""
    data, best = bytes(1_000_000), float("inf")
    for _ in range(50):
        begun = time.perf_counter()
        hashlib.blake2b(data)
        best = min(best, time.perf_counter() - begun)
    return len(data) / (1e3 * best)


@contextmanager
def neighbours(kind: Neighbour, cores: Sequence[int], seed: int) -> Iterator[None]:
    """The busy processes while the block runs."""
    taken = {"none": [], "one core": cores[:1], "bursts on one core": cores[:1]}.get(kind, cores)
    how = "bursts" if kind.startswith("bursts") else "always"
    busy = [subprocess.Popen([sys.executable, "-c", BUSY, str(core), str(seed), how]) for core in taken]
    try:
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()


if __name__ == "__main__":
    main()

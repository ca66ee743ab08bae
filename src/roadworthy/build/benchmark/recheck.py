"""Today's figure of one variant, to stand beside the certificate's."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from roadworthy.build.benchmark.bursts import Bursts
from roadworthy.build.benchmark.process import Runner
from roadworthy.build.benchmark.statistics import Series
from roadworthy.core import samples
from roadworthy.core.evidence import Interval
from roadworthy.core.isolation.scratch import Directory
from roadworthy.core.stages import Candidate, Plan
from roadworthy.core.types import Arrays, Signature


@dataclass(frozen=True)
class Today:
    """Latency in ms of a batch-1 call over the quiet rounds, over all where those are too few.

    ``rounds`` counts the quiet ones and ``noisy`` the disturbed ones; ``trusted`` says that enough were quiet and agree.
    """

    latency_ms: Interval
    p99_ms: float
    rounds: int
    noisy: int
    trusted: bool


def time_variant(path: Path, signature: Signature, plan: Plan, feeds: Arrays, *, rounds: int = 10) -> Today:
    """Time ``plan`` of ``path`` on ``feeds`` (samples first) in a fresh process; StepFailed where it does not survive that."""
    with Directory() as scratch:
        given = samples.write(scratch.path / "samples", feeds)
        candidate = Candidate(plan, path, signature, "", 0, 0.0)
        bursts, seen, kept = Bursts(), dict[int, float](), dict[int, tuple[int, ...]]()

        def series() -> Series:
            return Series(seen, frozenset(number for number in seen if bursts.quiet(number)))

        with Runner(candidate, given) as runner:
            runner.enter()
            runner.warm_up()
            while len(series().undisturbed) < rounds and series().noisy < 2 * rounds:
                burst = runner.burst(runner.single, runner.calls)
                number = bursts.add(plan, burst.disturbance)
                seen[number], kept[number] = float(np.median(burst.calls)) / 1e6, burst.calls
    found = series()
    calls = [call for number in found.counted for call in kept[number]]
    return Today(found.typical, float(np.quantile(calls, 0.99)) / 1e6, len(found.undisturbed), found.noisy, found.trusted)

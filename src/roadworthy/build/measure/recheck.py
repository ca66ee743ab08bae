"""Today's figure of one variant, to stand beside the certificate's."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from roadworthy.build.measure import figures
from roadworthy.build.measure.runner import Runner
from roadworthy.core import samples
from roadworthy.core.evidence import Interval
from roadworthy.core.scratch import Directory
from roadworthy.core.stages import Candidate, Plan
from roadworthy.core.types import Arrays, Signature


@dataclass(frozen=True)
class Today:
    """Latency in ms of a batch-1 call over the quiet rounds (over all where those are too few: then not ``trusted``)."""

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
        quiet: list[tuple[int, ...]] = []
        noisy: list[tuple[int, ...]] = []
        with Runner(candidate, given) as runner:
            runner.enter()
            runner.warm_up()
            while len(quiet) < rounds and len(noisy) < 2 * rounds:
                burst = runner.burst(runner.single, runner.calls)
                (quiet if burst.disturbance.quiet else noisy).append(burst.calls)
    trusted = len(quiet) >= figures.ENOUGH
    believed = quiet if trusted else quiet + noisy
    medians = np.array([np.median(durations) for durations in believed]) / 1e6
    return Today(
        figures.median_interval(medians), float(np.quantile(np.concatenate(believed), 0.99)) / 1e6, len(quiet), len(noisy), trusted
    )

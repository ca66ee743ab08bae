"""Throughput as a busy server has it: as many processes as it has workers, all of them calling at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from roadworthy.build.benchmark.process import CandidateProcess, typical_seconds
from roadworthy.build.benchmark.statistics import median_interval
from roadworthy.core.evidence import Interval
from roadworthy.core.samples import SampleSet
from roadworthy.core.stages import Candidate

ROUNDS, ROUND_SECONDS, FEW_CALLS, MOST_CALLS = 6, 0.2, 3, 2000


@dataclass(frozen=True)
class AllBusyRequest:
    """``workers`` processes of ``candidate``, each called with ``batch`` of ``samples``."""

    candidate: Candidate
    samples: SampleSet
    batch: int
    workers: int


def all_busy(request: AllBusyRequest, logs: Path) -> Interval:
    """Samples a second of all processes together: the median over rounds, with its interval. Raises StepFailed where one of them fails."""
    logs.mkdir(parents=True)
    batch = request.candidate.signature.call_size(request.batch)
    with ExitStack() as stack, ThreadPoolExecutor(request.workers) as pool:
        processes = [
            stack.enter_context(CandidateProcess(request.candidate, request.samples, logs / f"{number}.log"))
            for number in range(request.workers)
        ]
        for process in processes:
            process.load()
            process.warm_up()
        seconds = typical_seconds(processes[0].burst(batch, FEW_CALLS))
        calls = int(np.clip(ROUND_SECONDS / seconds, FEW_CALLS, MOST_CALLS))
        rates = [sum(pool.map(lambda process: _per_second(process, batch, calls), processes)) for _ in range(ROUNDS)]
    return median_interval(np.array(rates))


def _per_second(process: CandidateProcess, batch: int, calls: int) -> float:
    burst = process.burst(batch, calls)
    return batch * len(burst.calls) / (sum(burst.calls) / 1e9)

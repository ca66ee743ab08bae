"""The child process of one candidate, seen from the parent: the kernel stops it (SIGSTOP) whenever it is not being timed."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from roadworthy.build.benchmark import worker
from roadworthy.build.benchmark.worker import BenchmarkRequest, Burst, BurstRequest
from roadworthy.core import registry
from roadworthy.core.interfaces import SERVER
from roadworthy.core.isolation import confinement
from roadworthy.core.isolation.confinement import Confinement
from roadworthy.core.isolation.worker import Limits, Worker
from roadworthy.core.samples import SampleSet
from roadworthy.core.stages import Candidate

LIMITS = Limits(seconds=300.0)
WARM_CALLS, WARM_SHARE = 2, 10
BURST_SECONDS, FEWEST_CALLS, MOST_CALLS = 0.03, 5, 2000


class CandidateProcess:
    """A candidate in a child process. Every method raises StepFailed where the child crashes, hangs or runs out of memory.

    ``calls`` of the smallest size, ``single``, make a burst. ``first_ms`` is what the first call of each batch size took.
    """

    def __init__(self, candidate: Candidate, samples: SampleSet, log: Path | None = None) -> None:
        path = candidate.path.absolute()
        self._request = BenchmarkRequest(path, candidate.signature, candidate.plan, samples)
        self._started = time.perf_counter()
        self._worker = Worker(limits=LIMITS, log=log, confinement=_confinement(candidate))
        self.single = candidate.signature.call_size(1)
        self.resident_mb = self.import_ms = self.load_ms = 0.0
        self.first_ms: dict[int, float] = {}
        self.calls = 1

    def load(self) -> float:
        """Load the candidate and answer once; returns the milliseconds since the process was started."""
        with self._resumed():
            times = self._worker.ask(worker.load, self._request)
            cold = (time.perf_counter() - self._started) * 1e3
        self.import_ms, self.load_ms, self.resident_mb = times.import_ms, times.load_ms, times.resident_mb
        self.first_ms[self.single] = times.first_ms
        return cold

    def warm_up(self) -> None:
        """Call until the first slow calls are over, and find how many calls of the smallest size make a burst."""
        with self._resumed():
            self.resident_mb = self._worker.ask(worker.warm_up, BurstRequest(self.single, 0, 0)).resident_mb
        self.calls = burst_calls(self.burst(self.single, FEWEST_CALLS), FEWEST_CALLS)

    def burst(self, batch: int, calls: int) -> Burst:
        """``calls`` timed calls of ``batch`` samples, after a few calls that fill the CPU's caches again."""
        with self._resumed():
            if batch not in self.first_ms:
                self.first_ms[batch] = self._worker.ask(worker.burst, BurstRequest(batch, 1, 0)).calls[0] / 1e6
            return self._worker.ask(worker.burst, BurstRequest(batch, calls, WARM_CALLS + calls // WARM_SHARE))

    def peak_mb(self) -> float:
        """The highest resident memory of the process so far, in MiB."""
        with self._resumed():
            return self._worker.ask(worker.footprint, self._request).peak_mb

    def sizes(self, wanted: tuple[int, ...]) -> tuple[int, ...]:
        """The batch sizes of ``wanted`` that one call takes without splitting or padding; the fixed size where the plan has one."""
        if self._request.plan.batch:
            return (self._request.plan.batch,)
        return tuple(sorted({self._request.signature.call_size(size) for size in wanted}))

    def close(self) -> None:
        """End the process."""
        self._worker.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    @contextmanager
    def _resumed(self) -> Iterator[None]:
        self._signal(signal.SIGCONT)
        try:
            yield
        finally:
            self._signal(signal.SIGSTOP)

    def _signal(self, number: signal.Signals) -> None:
        """To the whole process group of the child: processes that it started use the CPU too."""
        try:
            os.killpg(self._worker.pid, number)
        except ProcessLookupError:
            pass


def _confinement(candidate: Candidate) -> Confinement | None:
    """What is run on a server may contain the user's code. A target other than that runs programs that write where they like."""
    server = registry.facts(candidate.plan.runtime).target == SERVER
    return confinement.of_candidate(candidate.path.absolute()) if server else None


def typical_seconds(burst: Burst) -> float:
    """The median call."""
    return max(float(np.median(burst.calls)) / 1e9, 1e-9)


def burst_calls(burst: Burst, fewest: int) -> int:
    """How many calls like these make a burst of ``BURST_SECONDS``; at least ``fewest``."""
    return int(np.clip(BURST_SECONDS / typical_seconds(burst), fewest, MOST_CALLS))

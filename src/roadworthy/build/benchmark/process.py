"""The parent's side of one contestant: its child process, stopped whenever it is not on the clock."""

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
from roadworthy.build.benchmark.worker import Burst, BurstRequest, Entry
from roadworthy.core.isolation import confinement
from roadworthy.core.isolation.worker import Limits, Worker
from roadworthy.core.samples import SampleSet
from roadworthy.core.stages import Candidate

LIMITS = Limits(seconds=300.0)
WARM_CALLS, WARM_SHARE = 2, 10
BURST_SECONDS, FEWEST_CALLS, MOST_CALLS = 0.03, 5, 2000


class Runner:
    """A candidate in a child process. Raises StepFailed, from any method, where the child does not survive it."""

    def __init__(self, candidate: Candidate, samples: SampleSet, log: Path | None = None) -> None:
        path = candidate.path.absolute()
        self._entry = Entry(path, candidate.signature, candidate.plan, samples)
        self._started = time.perf_counter()
        self._worker = Worker(limits=LIMITS, log=log, confinement=confinement.contestant(path))
        self.single = candidate.signature.call_size(1)
        self.resident_mb = self.import_ms = self.load_ms = 0.0
        self.first_ms: dict[int, float] = {}
        self.calls = 1

    def enter(self) -> float:
        """Load and answer once: milliseconds since the process was started."""
        with self._awake():
            entered = self._worker.ask(worker.enter, self._entry)
            cold = (time.perf_counter() - self._started) * 1e3
        self.import_ms, self.load_ms, self.resident_mb = entered.import_ms, entered.load_ms, entered.resident_mb
        self.first_ms[self.single] = entered.first_ms
        return cold

    def warm_up(self) -> None:
        """Get over the first slow calls, and learn how many calls at batch 1 make a burst."""
        with self._awake():
            self.resident_mb = self._worker.ask(worker.warm_up, BurstRequest(self.single, 0, 0)).resident_mb
        self.calls = burst_calls(self.burst(self.single, FEWEST_CALLS), FEWEST_CALLS)

    def burst(self, batch: int, calls: int) -> Burst:
        """``calls`` timed calls of ``batch`` samples, after a few that bring the caches back; ``first_ms`` keeps the first of a size."""
        with self._awake():
            if batch not in self.first_ms:
                self.first_ms[batch] = self._worker.ask(worker.burst, BurstRequest(batch, 1, 0)).calls[0] / 1e6
            return self._worker.ask(worker.burst, BurstRequest(batch, calls, WARM_CALLS + calls // WARM_SHARE))

    def peak_mb(self) -> float:
        """The highest resident memory of the process so far, in MiB."""
        with self._awake():
            return self._worker.ask(worker.footprint, self._entry).peak_mb

    def sizes(self, wanted: tuple[int, ...]) -> tuple[int, ...]:
        """Those of ``wanted`` that one call takes without being cut or filled up; the fixed one where there is one."""
        if self._entry.plan.batch:
            return (self._entry.plan.batch,)
        return tuple(sorted({self._entry.signature.call_size(size) for size in wanted}))

    def close(self) -> None:
        """End the process."""
        self._worker.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    @contextmanager
    def _awake(self) -> Iterator[None]:
        self._signal(signal.SIGCONT)
        try:
            yield
        finally:
            self._signal(signal.SIGSTOP)

    def _signal(self, number: signal.Signals) -> None:
        """To the whole session of the child: what it started spins just as well."""
        try:
            os.killpg(self._worker.pid, number)
        except ProcessLookupError:
            pass


def typical_seconds(burst: Burst) -> float:
    """The median call."""
    return max(float(np.median(burst.calls)) / 1e9, 1e-9)


def burst_calls(burst: Burst, fewest: int) -> int:
    """How many calls like these fill a burst."""
    return int(np.clip(BURST_SECONDS / typical_seconds(burst), fewest, MOST_CALLS))

"""The child process of a benchmark: one candidate, loaded once, and bursts of timed calls."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path

import numpy as np

from roadworthy.build.benchmark import contention
from roadworthy.build.benchmark.contention import Disturbance
from roadworthy.core import registry
from roadworthy.core.errors import UsageError
from roadworthy.core.samples import SampleSet
from roadworthy.core.stages import Plan
from roadworthy.core.types import Array, Arrays, Signature
from roadworthy.runtimes import CheckedSession, open_session

FEEDS = 8
WARM_CALLS, WARM_SECONDS = 3, 0.2
WARM_LIMIT_NS, BURST_LIMIT_NS, FEWEST_LATE = 100_000_000, 400_000_000, 2
"""A burst that lasts longer than this ends after so many calls, because the other candidates of the round wait for their turn."""


@dataclass(frozen=True)
class BenchmarkRequest:
    """What to load from ``path``, and the samples to call it with."""

    path: Path
    signature: Signature
    plan: Plan
    samples: SampleSet


@dataclass(frozen=True)
class Footprint:
    """Resident memory of this process in MiB, Python and NumPy included: now, and at its highest."""

    resident_mb: float
    peak_mb: float


@dataclass(frozen=True)
class LoadTimes:
    """What each step to the first answer took in ms, and the resident memory after it in MiB.

    ``import_ms`` is the import of the runtime's packages, ``load_ms`` the candidate's load, ``first_ms`` its first call.
    """

    import_ms: float
    load_ms: float
    first_ms: float
    resident_mb: float


@dataclass(frozen=True)
class BurstRequest:
    """``calls`` timed calls of ``batch`` samples each, after ``warm`` calls that are not timed."""

    batch: int
    calls: int
    warm: int


@dataclass(frozen=True)
class Burst:
    """The duration of each call in nanoseconds, and what disturbed them."""

    calls: tuple[int, ...]
    disturbance: Disturbance


class _LoadedCandidate:
    """What this process keeps between bursts."""

    def __init__(self, request: BenchmarkRequest, session: CheckedSession) -> None:
        self.session, self._samples = session, request.samples
        self._signature = request.signature
        self._feeds: dict[int, list[dict[str, Array]]] = {}

    def feeds(self, batch: int) -> list[dict[str, Array]]:
        """At batch 1 several samples in turn, because the speed may depend on the values; one feed at larger sizes, to save memory."""
        if batch not in self._feeds:
            mapped, count = self._samples.open(), self._samples.count
            several = range(min(FEEDS, count) if batch == 1 else 1)
            self._feeds[batch] = [
                self._signature.to_call({name: array[(np.arange(batch) + first) % count] for name, array in mapped.items()})
                for first in several
            ]
        return self._feeds[batch]


_loaded: _LoadedCandidate | None = None


def load(request: BenchmarkRequest) -> LoadTimes:
    """A step: load the candidate and answer once."""
    global _loaded
    started = time.perf_counter()
    registry.runtime(request.plan.runtime)
    imported = time.perf_counter()
    _loaded = _LoadedCandidate(request, open_session(request.path, request.signature, request.plan))
    feeds = _loaded.feeds(request.signature.call_size(1))[0]
    opened = time.perf_counter()
    _loaded.session.run(feeds)
    answered = time.perf_counter()
    resident = _footprint().resident_mb
    return LoadTimes(1e3 * (imported - started), 1e3 * (opened - imported), 1e3 * (answered - opened), resident)


def warm_up(request: BurstRequest) -> Footprint:
    """A step: call until the first slow calls (allocation, profiling executors) are over."""
    candidate = _candidate()
    until = time.perf_counter() + WARM_SECONDS
    for count, feed in enumerate(cycle(candidate.feeds(request.batch))):
        if count >= WARM_CALLS and time.perf_counter() > until:
            return _footprint()
        candidate.session.run(feed)
    raise AssertionError("a cycle has no end")


def burst(request: BurstRequest) -> Burst:
    """A step: the timed calls; fewer than asked for where they are so slow that the round would take too long."""
    candidate = _candidate()
    inside = getattr(candidate.session.inner, "time_calls", None)
    if inside is not None:
        return _burst_inside(inside, candidate.feeds(request.batch)[0], request)
    feeds, run, clock = candidate.feeds(request.batch), candidate.session.run, time.perf_counter_ns
    late = clock() + WARM_LIMIT_NS
    for feed in islice(cycle(feeds), request.warm):
        run(feed)
        if clock() > late:
            break
    durations = []
    before = contention.read()
    late = clock() + BURST_LIMIT_NS
    for feed in islice(cycle(feeds), request.calls):
        start = clock()
        run(feed)
        end = clock()
        durations.append(end - start)
        if end > late and len(durations) >= FEWEST_LATE:
            break
    return Burst(tuple(durations), contention.between(before, contention.read()))


def _burst_inside(time_calls: Callable[[Arrays, int], tuple[int, ...]], feeds: Arrays, request: BurstRequest) -> Burst:
    """The calls as the program that runs the model times them, as many as fit in a burst."""
    first = time_calls(feeds, 1)[0]
    calls = max(FEWEST_LATE, min(request.calls, BURST_LIMIT_NS // max(first, 1)))
    time_calls(feeds, max(1, min(request.warm, calls)))
    before = contention.read()
    durations = time_calls(feeds, calls)
    return Burst(durations, contention.between(before, contention.read()))


def footprint(request: BenchmarkRequest) -> Footprint:
    """A step: the memory of this process."""
    return _footprint()


def _candidate() -> _LoadedCandidate:
    if _loaded is None:
        raise UsageError("no candidate was loaded in this process")
    return _loaded


def _footprint() -> Footprint:
    text = Path("/proc/self/status").read_text()
    return Footprint(_mebibytes(text, "VmRSS"), _mebibytes(text, "VmHWM"))


def _mebibytes(status: str, field: str) -> float:
    found = re.search(rf"^{field}:\s+(\d+) kB", status, re.MULTILINE)
    return int(found[1]) / 1024 if found else 0.0

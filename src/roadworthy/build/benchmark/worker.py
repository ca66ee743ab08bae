"""The child's side of the race: one candidate loaded once, and bursts of calls on the clock."""

from __future__ import annotations

import re
import time
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
from roadworthy.core.types import Array, Signature
from roadworthy.runtimes import CheckedSession, open_session

FEEDS = 8
WARM_CALLS, WARM_SECONDS = 3, 0.2
WARM_LIMIT_NS, BURST_LIMIT_NS, FEWEST_LATE = 100_000_000, 400_000_000, 2
"""A burst that lasts longer than this is cut short after so many calls: a round has other contestants to hear."""


@dataclass(frozen=True)
class Entry:
    """Who runs, and on which samples."""

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
class Entered:
    """A contestant that has answered once: what each step took in ms, and the resident memory in MiB.

    ``import_ms`` is for the runtime's packages, ``load_ms`` for the candidate, ``first_ms`` for the first answer.
    """

    import_ms: float
    load_ms: float
    first_ms: float
    resident_mb: float


@dataclass(frozen=True)
class BurstRequest:
    """``calls`` timed calls of ``batch`` samples each, after ``warm`` that are not."""

    batch: int
    calls: int
    warm: int


@dataclass(frozen=True)
class Burst:
    """The duration of each call in nanoseconds, and what disturbed them."""

    calls: tuple[int, ...]
    disturbance: Disturbance


class _Track:
    """What this process holds between calls."""

    def __init__(self, entry: Entry, session: CheckedSession) -> None:
        self.entry, self.session = entry, session
        self._feeds: dict[int, list[dict[str, Array]]] = {}

    def feeds(self, batch: int) -> list[dict[str, Array]]:
        """Different samples in turn at batch 1, for a model whose speed depends on them; one feed at larger ones, for memory."""
        if batch not in self._feeds:
            mapped, count = self.entry.samples.open(), self.entry.samples.count
            several = range(min(FEEDS, count) if batch == 1 else 1)
            self._feeds[batch] = [
                self.entry.signature.to_call({name: array[(np.arange(batch) + first) % count] for name, array in mapped.items()})
                for first in several
            ]
        return self._feeds[batch]


_track: _Track | None = None


def enter(entry: Entry) -> Entered:
    """A step: load the candidate and give the first answer."""
    global _track
    started = time.perf_counter()
    registry.runtime(entry.plan.runtime)
    imported = time.perf_counter()
    _track = _Track(entry, open_session(entry.path, entry.signature, entry.plan))
    feeds = _track.feeds(entry.signature.call_size(1))[0]
    loaded = time.perf_counter()
    _track.session.run(feeds)
    answered = time.perf_counter()
    resident = _footprint().resident_mb
    return Entered(1e3 * (imported - started), 1e3 * (loaded - imported), 1e3 * (answered - loaded), resident)


def warm_up(request: BurstRequest) -> Footprint:
    """A step: call until the first slow calls (allocation, profiling executors) are over."""
    track = _running()
    until = time.perf_counter() + WARM_SECONDS
    for count, feed in enumerate(cycle(track.feeds(request.batch))):
        if count >= WARM_CALLS and time.perf_counter() > until:
            return _footprint()
        track.session.run(feed)
    raise AssertionError("a cycle has no end")


def burst(request: BurstRequest) -> Burst:
    """A step: the timed calls; fewer than asked for where a neighbour makes them so slow that the round would not end."""
    track = _running()
    feeds, run, clock = track.feeds(request.batch), track.session.run, time.perf_counter_ns
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


def footprint(entry: Entry) -> Footprint:
    """A step: the memory of this process."""
    return _footprint()


def _running() -> _Track:
    if _track is None:
        raise UsageError("no candidate was loaded in this process")
    return _track


def _footprint() -> Footprint:
    text = Path("/proc/self/status").read_text()
    return Footprint(_mebibytes(text, "VmRSS"), _mebibytes(text, "VmHWM"))


def _mebibytes(status: str, field: str) -> float:
    found = re.search(rf"^{field}:\s+(\d+) kB", status, re.MULTILINE)
    return int(found[1]) / 1024 if found else 0.0

"""The counters of a server: plain numbers in each worker, added up for the whole server."""

from __future__ import annotations

import time

import msgspec

SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
"""Upper bounds of the buckets of ``Latency``, in seconds; one more bucket holds what took longer."""


class Span(msgspec.Struct):
    """How often something happened, and the sum of the nanoseconds that it took."""

    count: int = 0
    ns: int = 0

    def add(self, ns: int, times: int = 1) -> None:
        """Count ``times`` more, which took ``ns`` together."""
        self.count += times
        self.ns += ns

    def merge(self, other: Span) -> None:
        """Add ``other`` to this."""
        self.count += other.count
        self.ns += other.ns


class Latency(msgspec.Struct):
    """A histogram of seconds; ``buckets`` are not cumulative and one more than ``SECONDS``."""

    buckets: list[int] = msgspec.field(default_factory=lambda: [0] * (len(SECONDS) + 1))
    sum: float = 0.0

    def observe(self, seconds: float) -> None:
        """Count one."""
        index = 0
        for bound in SECONDS:
            if seconds <= bound:
                break
            index += 1
        self.buckets[index] += 1
        self.sum += seconds

    def merge(self, other: Latency) -> None:
        """Add ``other`` to this."""
        self.buckets = [mine + theirs for mine, theirs in zip(self.buckets, other.buckets, strict=True)]
        self.sum += other.sum


class Executed(msgspec.Struct):
    """Calls of the runtime with one batch size: the times of joining the inputs, running, and splitting the outputs."""

    prepare: Span = msgspec.field(default_factory=Span)
    run: Span = msgspec.field(default_factory=Span)
    part: Span = msgspec.field(default_factory=Span)

    def merge(self, other: Executed) -> None:
        """Add ``other`` to this."""
        self.prepare.merge(other.prepare)
        self.run.merge(other.run)
        self.part.merge(other.part)


class Mirrored(msgspec.Struct):
    """Requests copied to a shadow, and how many were skipped because it was busy.

    ``different`` answers were off by more than the shadow's own gate; ``error`` is the largest, relative to the output's scale.
    """

    count: int = 0
    different: int = 0
    error: float = 0.0
    skipped: int = 0

    def merge(self, other: Mirrored) -> None:
        """Add ``other`` to this."""
        self.count += other.count
        self.different += other.different
        self.skipped += other.skipped
        self.error = max(self.error, other.error)


class Inferences(msgspec.Struct):
    """The outcomes of the inference requests of one version.

    Every accepted one ends in exactly one of ``succeeded``, ``failed``, ``expired`` and ``cancelled``; ``refused`` were never
    accepted. ``succeeded`` and ``failed`` span from acceptance to outcome, ``waited`` from acceptance to the start of the call.
    ``prepared``, ``ran`` and ``parted`` are per request, whatever batch it was in; ``batches`` are per call of the runtime, by
    samples. ``last`` is Unix milliseconds of the last call.
    """

    succeeded: Span = msgspec.field(default_factory=Span)
    failed: Span = msgspec.field(default_factory=Span)
    expired: int = 0
    cancelled: int = 0
    refused: int = 0
    waited: Span = msgspec.field(default_factory=Span)
    prepared: Span = msgspec.field(default_factory=Span)
    ran: Span = msgspec.field(default_factory=Span)
    parted: Span = msgspec.field(default_factory=Span)
    samples: int = 0
    last: int = 0
    batches: dict[int, Executed] = msgspec.field(default_factory=dict)
    mirrored: Mirrored = msgspec.field(default_factory=Mirrored)

    @property
    def accepted(self) -> int:
        """Requests that were accepted and have come to an end."""
        return self.succeeded.count + self.failed.count + self.expired + self.cancelled

    @property
    def executions(self) -> int:
        """Calls of the runtime."""
        return sum(executed.run.count for executed in self.batches.values())

    def count_call(self, samples: int, times: tuple[int, int, int, int]) -> None:
        """One call of the runtime with ``samples``; ``times`` are the starts of joining, running and splitting, and the end, in ns."""
        start, begun, run, end = times
        self.last = time.time_ns() // 1_000_000
        executed = self.batches.setdefault(samples, Executed())
        executed.prepare.add(begun - start)
        executed.run.add(run - begun)
        executed.part.add(end - run)

    def count_request(self, accepted: int, times: tuple[int, int, int, int], samples: int | None) -> None:
        """One request of that call, accepted at ``accepted`` (ns); ``samples`` is ``None`` where it failed."""
        start, begun, run, end = times
        self.waited.add(start - accepted)
        self.prepared.add(begun - start)
        self.ran.add(run - begun)
        self.parted.add(end - run)
        if samples is None:
            self.failed.add(end - accepted)
        else:
            self.succeeded.add(end - accepted)
            self.samples += samples

    def merge(self, other: Inferences) -> None:
        """Add ``other`` to this."""
        for name in ("succeeded", "failed", "waited", "prepared", "ran", "parted", "mirrored"):
            getattr(self, name).merge(getattr(other, name))
        for name in ("expired", "cancelled", "refused", "samples"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.last = max(self.last, other.last)
        for size, executed in other.batches.items():
            self.batches.setdefault(size, Executed()).merge(executed)


class WorkerStats(msgspec.Struct):
    """One worker at this moment. ``waiting`` and ``running`` count requests by model and version; ``memory`` is resident, in bytes."""

    pid: int = 0
    memory: int = 0
    descriptors: int = 0
    threads: int = 0
    connections: int = 0
    cpu: float = 0.0
    waiting: dict[tuple[str, str], int] = msgspec.field(default_factory=dict)
    running: dict[tuple[str, str], int] = msgspec.field(default_factory=dict)
    golden: dict[tuple[str, str, str], float] = msgspec.field(default_factory=dict)
    """The largest golden error by model, version and variant, relative to the output's scale."""


class Counters(msgspec.Struct, tag=True):
    """All counters. ``answered`` is by protocol, model (empty for a request about no model) and HTTP or gRPC code."""

    answered: dict[tuple[str, str, str], int] = msgspec.field(default_factory=dict)
    latency: dict[tuple[str, str], Latency] = msgspec.field(default_factory=dict)
    """From the last byte of the request to the response given to the socket, by protocol and model."""
    inferences: dict[tuple[str, str], Inferences] = msgspec.field(default_factory=dict)
    """By model and version."""
    workers: list[WorkerStats] = msgspec.field(default_factory=list)
    restarts: int = 0
    """Workers that were replaced."""

    def answer(self, protocol: str, model: str, code: str, seconds: float) -> None:
        """Count one answered request."""
        key = (protocol, model, code)
        self.answered[key] = self.answered.get(key, 0) + 1
        if model:
            latency = self.latency.get((protocol, model))
            if latency is None:
                latency = self.latency[protocol, model] = Latency()
            latency.observe(seconds)

    def of(self, model: str, version: str) -> Inferences:
        """The counters of one version, created where there are none."""
        found = self.inferences.get((model, version))
        if found is None:
            found = self.inferences[model, version] = Inferences()
        return found

    def merge(self, other: Counters) -> None:
        """Add ``other`` to this; the lists of workers are joined."""
        for key, count in other.answered.items():
            self.answered[key] = self.answered.get(key, 0) + count
        for pair, latency in other.latency.items():
            self.latency.setdefault(pair, Latency()).merge(latency)
        for pair, inferences in other.inferences.items():
            self.inferences.setdefault(pair, Inferences()).merge(inferences)
        self.workers.extend(other.workers)
        self.restarts += other.restarts

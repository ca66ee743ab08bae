"""One engine with a thread, and the calls it makes: several requests joined to one call, and its outputs split again.

The model queue decides which requests are called when.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Thread

from roadworthy.core.types import Array, Arrays, Signature
from roadworthy.runtimes import Checked
from roadworthy.serving.engine.local import LocalEngine


class Inseparable(Exception):
    """The outputs of one call cannot be split by request: an output has not one row for each sample."""


@dataclass(slots=True, eq=False)
class QueuedRequest:
    """One accepted request. ``accepted`` is a reading of ``time.perf_counter_ns``, ``deadline`` one of ``time.monotonic``."""

    given: Checked
    elements: int
    kind: tuple[object, ...]
    """The dtype and the shape without the batch axis of every input: requests of the same kind can share a call."""
    future: asyncio.Future[Arrays]
    deadline: float | None
    accepted: int

    @property
    def samples(self) -> int:
        """The number of samples in the request."""
        return self.given.samples


@dataclass(slots=True)
class BatchResult:
    """The outputs of a call by request, or its error; ``times`` are the starts of joining, running and splitting, and the end."""

    outputs: list[Arrays]
    problem: Exception | None
    times: tuple[int, int, int, int]


class Instance:
    """One engine with a thread, which starts with the first call that needs it."""

    def __init__(
        self,
        engine: LocalEngine,
        loop: asyncio.AbstractEventLoop,
        done: Callable[[Instance, list[QueuedRequest], int, BatchResult], None],
    ) -> None:
        self.engine = engine
        self.requests: list[QueuedRequest] = []
        self.elements = 0
        self.began = 0.0
        self._loop, self._done = loop, done
        self._inbox: SimpleQueue[list[QueuedRequest] | None] = SimpleQueue()
        self._thread: Thread | None = None

    def start(self, requests: list[QueuedRequest], elements: int) -> None:
        """Run ``requests`` as one call; ``done`` is called on the event loop afterwards."""
        self.requests, self.elements, self.began = requests, elements, time.perf_counter()
        if self._thread is None:
            # A daemon thread: a call that hangs must not keep the process from ending.
            self._thread = Thread(target=self._work, name=f"model-{self.engine.name}", daemon=True)
            self._thread.start()
        self._inbox.put(requests)

    def close(self) -> None:
        """Let the thread end, then release the engine."""
        if self._thread is not None:
            self._inbox.put(None)
            self._thread.join()
        self.engine.close()

    def _work(self) -> None:
        while (requests := self._inbox.get()) is not None:
            result = call(self.engine, requests)
            try:
                self._loop.call_soon_threadsafe(self._finished, result)
            except RuntimeError:  # the event loop is closed: no request waits any more
                return
            del requests, result  # or they would stay in memory until the next call

    def _finished(self, result: BatchResult) -> None:
        elements, requests = self.elements, self.requests
        self.requests, self.elements = [], 0
        self._done(self, requests, elements, result)


def call(engine: LocalEngine, requests: list[QueuedRequest]) -> BatchResult:
    """One call for all ``requests``; an error is in the result, never raised."""
    start = begun = run = time.perf_counter_ns()
    try:
        given = requests[0].given if len(requests) == 1 else _joined(engine.signature, requests)
        begun = run = time.perf_counter_ns()
        outputs = engine.answer(given)
        run = time.perf_counter_ns()
        parts = [outputs] if len(requests) == 1 else _split(engine.signature, outputs, requests)
        return BatchResult(parts, None, (start, begun, run, time.perf_counter_ns()))
    except Exception as problem:
        return BatchResult([], problem, (start, begun, run, time.perf_counter_ns()))


def kind_of(signature: Signature, feeds: Arrays) -> tuple[object, ...]:
    """The ``QueuedRequest.kind`` of ``feeds``."""
    arrays = [(spec, feeds[spec.name]) for spec in signature.inputs]
    return tuple((spec.name, array.dtype.char, spec.shape_of_one(array)) for spec, array in arrays)


def _joined(signature: Signature, requests: list[QueuedRequest]) -> Checked:
    """Checked feeds of one kind as one batch: the only copy before the call, which also makes strided arrays contiguous."""
    feeds = {spec.name: spec.joined([request.given.feeds[spec.name] for request in requests]) for spec in signature.inputs}
    return Checked(feeds, sum(request.samples for request in requests))


def _split(signature: Signature, outputs: Arrays, requests: list[QueuedRequest]) -> list[Arrays]:
    """Each request's rows of every output, as views. Raises Inseparable where an output has not one row for each sample."""
    parts: list[dict[str, Array]] = [{} for _ in requests]
    samples = sum(request.samples for request in requests)
    for spec in signature.outputs:
        array = outputs[spec.name]
        if spec.sample_axis is None:
            for part in parts:
                part[spec.name] = array
            continue
        if spec.count(array) != samples:
            raise Inseparable(f"output {spec.name!r} of {samples} samples has shape {list(array.shape)}")
        start = 0
        for part, request in zip(parts, requests, strict=True):
            part[spec.name] = spec.take(array, slice(start, start + request.samples))
            start += request.samples
    return list(parts)

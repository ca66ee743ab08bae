"""The queue of one version of a model in one worker, the engines that answer from it, and the batches that they get.

There is no timer. A call starts as soon as an engine is idle, with all requests that wait by then, up to a number of samples that was
measured when the model was opened. Calls that are expected to be short run on the event loop's thread, at the end of the turn in which
their requests arrived: a switch to another thread would take longer than the call blocks the loop.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress

import numpy as np

from roadworthy.core.errors import DeadlineExceeded, RequestError, RoadworthyError, Unavailable
from roadworthy.core.types import Arrays
from roadworthy.serving.engine.counters import Inferences
from roadworthy.serving.engine.instance import BatchResult, Inseparable, Instance, QueuedRequest, call, kind_of
from roadworthy.serving.engine.local import LocalEngine
from roadworthy.serving.limits import DEFAULT, ServerLimits

LOG = logging.getLogger(__name__)

INLINE_SECONDS = 0.001
"""A call that is expected to take less runs on the event loop's thread."""

TURN_SECONDS = 0.005
"""Calls may keep the loop for this long in one turn; then sockets are served again."""

LAST_CALL_WEIGHT = 0.2
"""The weight of the last call in the running estimate of what a call takes."""


class InferenceFailed(RoadworthyError):
    """The runtime failed on inputs that fit the signature."""


class ModelQueue:
    """One version of a model, with one of ``engines`` for each call that may run at the same time.

    All methods belong to the event loop's thread. A call has up to ``cap`` samples; a request of more samples is one call. With a
    ``delay``, a call waits that many seconds for more requests to fill it. Counts into ``counters``.
    """

    def __init__(
        self, engines: Sequence[LocalEngine], counters: Inferences, *, cap: int = 1, limits: ServerLimits = DEFAULT, delay: float = 0.0
    ) -> None:
        self.engines = tuple(engines)
        self.model = self.engines[0]
        # Without a batch axis the outputs of a call could not be split by request.
        self.counters, self.cap = counters, cap if self.model.signature.batched else 1
        self._limits, self._delay = limits, delay
        self._loop = asyncio.get_running_loop()
        self._queue: deque[QueuedRequest] = deque()
        self._queued_elements = 0
        self._seconds_per_element = self.model.seconds_per_element
        # The time of a call on byte strings does not follow from the number of elements: such a call never runs inline.
        self._predictable = not any(np.dtype(spec.dtype).hasobject for spec in self.model.signature.inputs)
        self._instances = [Instance(engine, self._loop, self._call_ended) for engine in self.engines]
        self._idle = list(self._instances)
        self._scheduled: asyncio.Handle | None = None
        self._empty = asyncio.Event()
        self._empty.set()

    @property
    def waiting(self) -> int:
        """Requests in the queue."""
        return len(self._queue)

    @property
    def running(self) -> int:
        """Requests in a call."""
        return sum(len(instance.requests) for instance in self._instances)

    @property
    def busy(self) -> bool:
        """Whether any request waits or runs."""
        return bool(self._queue) or len(self._idle) < len(self._instances)

    @property
    def predicted_wait(self) -> float:
        """Seconds until a request that arrives now would start, by what calls took so far."""
        elements = self._queued_elements + sum(instance.elements for instance in self._instances)
        return self._seconds_per_element * elements / len(self._instances)

    def admit(self) -> None:
        """Raises Unavailable where one more request would wait too long; it reserves nothing."""
        if not self._queue:
            return
        wait = self.predicted_wait
        if len(self._queue) >= self._limits.pending or wait > self._limits.wait_seconds:
            self.counters.refused += 1
            raise Unavailable(
                f"{self.model.name} has {len(self._queue)} requests waiting, about {wait:.2f} s of work; try again later", after=wait
            )

    async def submit(self, feeds: Arrays, deadline: float | None = None) -> Arrays:
        """The outputs for ``feeds``; see ``DataPlane.infer`` for the errors. If cancelled before its call starts, it never runs."""
        given = self.model.checked(feeds)
        self.admit()
        request = QueuedRequest(
            given,
            sum(array.size for array in feeds.values()),
            kind_of(self.model.signature, feeds),
            self._loop.create_future(),
            deadline,
            time.perf_counter_ns(),
        )
        self._queue.append(request)
        self._queued_elements += request.elements
        self._empty.clear()
        if self._idle:
            self._schedule()
        timer = None if deadline is None else self._loop.call_later(deadline - time.monotonic(), self._expire, request)
        try:
            return await request.future
        except asyncio.CancelledError:
            # A client that disconnects at the very moment of its answer is counted with the answer.
            self.counters.cancelled += request.future.cancelled()
            self._remove(request)
            raise
        finally:
            if timer is not None:
                timer.cancel()

    async def drained(self) -> None:
        """Returns once no request waits or runs."""
        await self._empty.wait()

    def hung(self) -> bool:
        """Whether a call has run for ``call_seconds`` and is not expected to end; its requests fail, once."""
        limit = time.perf_counter() - self._limits.call_seconds
        stuck = [instance for instance in self._instances if instance.requests and instance.began < limit]
        for instance in stuck:
            problem = InferenceFailed(f"{self.model.name} did not answer within {self._limits.call_seconds:g} s; its worker is replaced")
            self._deliver(instance.requests, BatchResult([], problem, (time.perf_counter_ns(),) * 4))
            instance.requests = []
        return bool(stuck)

    def close(self) -> None:
        """Release every engine. Call it when the queue is drained."""
        for instance in self._instances:
            instance.close()

    def _schedule(self) -> None:
        """Start calls at the end of this turn of the event loop; with a ``delay``, later, but at once when a call is full."""
        if self._delay and sum(request.samples for request in self._queue) < self.cap:
            self._scheduled = self._scheduled or self._loop.call_later(self._delay, self._start_calls)
        elif self._scheduled is None or self._delay:
            if self._scheduled is not None:
                self._scheduled.cancel()
            self._scheduled = self._loop.call_soon(self._start_calls)

    def _start_calls(self) -> None:
        if self._scheduled is not None:
            self._scheduled.cancel()
            self._scheduled = None
        until = time.perf_counter() + TURN_SECONDS
        while self._queue and self._idle:
            if time.perf_counter() > until:
                self._schedule()
                return
            if not (requests := self._next_batch()):
                continue
            elements = sum(request.elements for request in requests)
            short = self._predictable and self._seconds_per_element * elements < INLINE_SECONDS
            if short and len(self._idle) == len(self._instances):
                self._finish(requests, elements, call(self.model, requests))
            else:
                self._idle.pop().start(requests, elements)
        self._note_empty()

    def _next_batch(self) -> list[QueuedRequest]:
        """The next requests that share a call; cancelled and expired ones are dropped."""
        batch: list[QueuedRequest] = []
        samples = 0
        while self._queue:
            request = self._queue[0]
            if batch and (request.kind != batch[0].kind or samples + request.samples > self.cap):
                break
            self._queue.popleft()
            self._queued_elements -= request.elements
            if request.future.done():
                continue
            if request.deadline is not None and time.monotonic() >= request.deadline:
                self._expire(request)
                continue
            batch.append(request)
            samples += request.samples
        return batch

    def _expire(self, request: QueuedRequest) -> None:
        """The deadline of a request has passed, in the queue or in a call."""
        if not request.future.done():
            self.counters.expired += 1
            request.future.set_exception(DeadlineExceeded(f"the time for this request ran out before {self.model.name} had its answer"))
            self._remove(request)

    def _remove(self, request: QueuedRequest) -> None:
        """Take a request out of the queue, if it is still in it."""
        with suppress(ValueError):
            self._queue.remove(request)
            self._queued_elements -= request.elements
        self._note_empty()

    def _call_ended(self, instance: Instance, requests: list[QueuedRequest], elements: int, result: BatchResult) -> None:
        """A call on an instance's thread has ended."""
        self._idle.append(instance)
        if requests:  # ``hung`` has already failed the requests of a call that hung
            self._finish(requests, elements, result)
        if self._queue:
            self._start_calls()
        self._note_empty()

    def _note_empty(self) -> None:
        if not self._queue and len(self._idle) == len(self._instances):
            self._empty.set()

    def _finish(self, requests: list[QueuedRequest], elements: int, result: BatchResult) -> None:
        _, begun, run, _ = result.times
        if result.problem is None:
            self._seconds_per_element += LAST_CALL_WEIGHT * ((run - begun) / 1e9 / max(elements, 1) - self._seconds_per_element)
        self._deliver(requests, result)

    def _deliver(self, requests: list[QueuedRequest], result: BatchResult) -> None:
        """Resolve the futures and count. A failed call of several requests is repeated for each alone, so that only the bad one fails."""
        problem = result.problem
        if problem is not None and len(requests) > 1 and not isinstance(problem, (InferenceFailed, MemoryError)):
            if isinstance(problem, Inseparable):
                self.cap = 1
            self._queue_alone(requests)
            return
        self.counters.count_call(sum(request.samples for request in requests), result.times)
        for index, request in enumerate(requests):
            if request.future.done():
                continue
            self.counters.count_request(request.accepted, result.times, None if problem is not None else request.samples)
            if problem is not None:
                request.future.set_exception(self._explained(problem))
            else:
                request.future.set_result(result.outputs[index])

    def _queue_alone(self, requests: list[QueuedRequest]) -> None:
        """Back to the head of the queue, each with a kind that no other request has."""
        for request in reversed(requests):
            request.kind = (request,)
            self._queue.appendleft(request)
            self._queued_elements += request.elements
        self._schedule()

    def _explained(self, problem: Exception) -> Exception:
        if isinstance(problem, (RequestError, InferenceFailed)):
            return problem
        if isinstance(problem, MemoryError):
            return Unavailable(f"{self.model.name} had no memory left for this request; send less at a time, or try again later")
        # The client gets one sentence; the operator finds the traceback in the log.
        LOG.error("%s failed on inputs that fit its signature", self.model.name, exc_info=problem)
        return InferenceFailed(f"{self.model.name} failed on this request ({type(problem).__name__})", detail=str(problem))

"""One version of a model in one worker: its queue, the instances that empty it, and the batches they are given.

There is no timer. A call starts as soon as an instance is free, with as many requests as wait by then, up to a number of samples that was
measured when the model was opened. Calls that are expected to be short run on the event loop's own thread, at the end of the
turn in which their requests arrived: a thread would cost them more than they cost everybody else.
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
from roadworthy.serving.engine.counters import Executed, Inferences
from roadworthy.serving.engine.instance import Inseparable, Instance, Job, Ran, kind_of, run_jobs
from roadworthy.serving.engine.model import Model
from roadworthy.serving.limits import DEFAULT, Limits

LOG = logging.getLogger(__name__)

INLINE_SECONDS = 0.001
"""Calls expected to take less may hold the event loop."""

TURN_SECONDS = 0.005
"""So long may calls hold the loop in one turn before sockets are looked at again."""

MEMORY = 0.2
"""Weight of the last call in the running estimate of what a call costs."""


class InferenceFailed(RoadworthyError):
    """The runtime failed on inputs that fit the signature."""


class Lane:
    """One version of a model, with as many ``models`` opened as may answer at a time.

    All methods belong to the event loop's thread. ``cap`` is the samples of one call; requests of more than that are
    calls of their own. ``delay`` seconds are waited for more requests to fill a call, where somebody asks for that. Counts into
    ``counters``.
    """

    def __init__(
        self, models: Sequence[Model], counters: Inferences, *, cap: int = 1, limits: Limits = DEFAULT, delay: float = 0.0
    ) -> None:
        self.models = tuple(models)
        self.model = self.models[0]
        # Rows of what has no batch could not be told apart again.
        self.counters, self.cap = counters, cap if self.model.signature.batched else 1
        self._limits, self._delay = limits, delay
        self._loop = asyncio.get_running_loop()
        self._queue: deque[Job] = deque()
        self._waiting_elements = 0
        self._pace = self.model.pace
        self._steady = not any(np.dtype(spec.dtype).hasobject for spec in self.model.signature.inputs)
        self._instances = [Instance(model, self._loop, self._done) for model in self.models]
        self._idle = list(self._instances)
        self._booked: asyncio.Handle | None = None
        self._quiet = asyncio.Event()
        self._quiet.set()

    @property
    def waiting(self) -> int:
        """Requests in the queue."""
        return len(self._queue)

    @property
    def running(self) -> int:
        """Requests in a call."""
        return sum(len(instance.jobs) for instance in self._instances)

    @property
    def busy(self) -> bool:
        """Whether a request that came now would not be alone."""
        return bool(self._queue) or len(self._idle) < len(self._instances)

    @property
    def predicted_wait(self) -> float:
        """Seconds until a request that came now would start, by what calls took so far."""
        return self._pace * (self._waiting_elements + sum(instance.elements for instance in self._instances)) / len(self._instances)

    def admit(self) -> None:
        """Raises Unavailable where one more request would wait too long; nothing is kept of it otherwise."""
        if not self._queue:
            return
        wait = self.predicted_wait
        if len(self._queue) >= self._limits.pending or wait > self._limits.wait_seconds:
            self.counters.refused += 1
            raise Unavailable(
                f"{self.model.name} has {len(self._queue)} requests waiting, about {wait:.2f} s of work; try again later", after=wait
            )

    async def submit(self, feeds: Arrays, deadline: float | None = None) -> Arrays:
        """The outputs for ``feeds``; see ``DataPlane.infer`` for what is raised. Cancelled, it never runs unless it does already."""
        given = self.model.checked(feeds)
        self.admit()
        job = Job(
            given,
            sum(array.size for array in feeds.values()),
            kind_of(self.model.signature, feeds),
            self._loop.create_future(),
            deadline,
            time.perf_counter_ns(),
        )
        self._queue.append(job)
        self._waiting_elements += job.elements
        self._quiet.clear()
        if self._idle:
            self._book_turn()
        timer = None if deadline is None else self._loop.call_later(deadline - time.monotonic(), self._expire, job)
        try:
            return await job.future
        except asyncio.CancelledError:
            # A client that goes in the very moment of its answer is counted by the answer.
            self.counters.cancelled += job.future.cancelled()
            self._forget(job)
            raise
        finally:
            if timer is not None:
                timer.cancel()

    async def drained(self) -> None:
        """Returns once nothing waits and nothing runs."""
        await self._quiet.wait()

    def hung(self) -> bool:
        """Whether a call takes so long that it is not expected to end; its requests are told so, once."""
        limit = time.perf_counter() - self._limits.call_seconds
        stuck = [instance for instance in self._instances if instance.jobs and instance.began < limit]
        for instance in stuck:
            problem = InferenceFailed(f"{self.model.name} did not answer within {self._limits.call_seconds:g} s; its worker is replaced")
            self._settle(instance.jobs, Ran([], problem, (time.perf_counter_ns(),) * 4))
            instance.jobs = []
        return bool(stuck)

    def close(self) -> None:
        """Release every model. Call it when the lane is drained."""
        for instance in self._instances:
            instance.close()

    # One turn of the event loop

    def _book_turn(self) -> None:
        """A turn comes at the end of this one of the event loop; with a ``delay``, later, but no later than a call is full."""
        if self._delay and sum(job.samples for job in self._queue) < self.cap:
            self._booked = self._booked or self._loop.call_later(self._delay, self._turn)
        elif self._booked is None or self._delay:
            if self._booked is not None:
                self._booked.cancel()
            self._booked = self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        if self._booked is not None:
            self._booked.cancel()
            self._booked = None
        until = time.perf_counter() + TURN_SECONDS
        while self._queue and self._idle:
            if time.perf_counter() > until:
                self._book_turn()
                return
            if not (jobs := self._take()):
                continue
            elements = sum(job.elements for job in jobs)
            if self._steady and self._pace * elements < INLINE_SECONDS and len(self._idle) == len(self._instances):
                self._finish(jobs, elements, run_jobs(self.model, jobs))
            else:
                self._idle.pop().start(jobs, elements)
        self._hush()

    def _take(self) -> list[Job]:
        """The next requests that go together; those that nobody waits for any more are let go."""
        taken: list[Job] = []
        samples = 0
        while self._queue:
            job = self._queue[0]
            if taken and (job.kind != taken[0].kind or samples + job.samples > self.cap):
                break
            self._queue.popleft()
            self._waiting_elements -= job.elements
            if job.future.done():
                continue
            if job.deadline is not None and time.monotonic() >= job.deadline:
                self._expire(job)
                continue
            taken.append(job)
            samples += job.samples
        return taken

    def _expire(self, job: Job) -> None:
        """The job's time ran out, in the queue or in a call."""
        if not job.future.done():
            self.counters.expired += 1
            job.future.set_exception(DeadlineExceeded(f"the time for this request ran out before {self.model.name} had its answer"))
            self._forget(job)

    def _forget(self, job: Job) -> None:
        """A job that waits still shall never run."""
        with suppress(ValueError):
            self._queue.remove(job)
            self._waiting_elements -= job.elements
        self._hush()

    def _done(self, instance: Instance, jobs: list[Job], elements: int, ran: Ran) -> None:
        """A call of an instance's own thread came to its end."""
        self._idle.append(instance)
        if jobs:  # none are left of a call that was taken for hung
            self._finish(jobs, elements, ran)
        if self._queue:
            self._turn()
        self._hush()

    def _hush(self) -> None:
        if not self._queue and len(self._idle) == len(self._instances):
            self._quiet.set()

    def _finish(self, jobs: list[Job], elements: int, ran: Ran) -> None:
        _, begun, run, _ = ran.times
        if ran.problem is None:
            self._pace += MEMORY * ((run - begun) / 1e9 / max(elements, 1) - self._pace)
        self._settle(jobs, ran)

    def _settle(self, jobs: list[Job], ran: Ran) -> None:
        """Tell everybody, and count. A call of several that failed is made again for each alone, so that only the culprit fails."""
        if ran.problem is not None and len(jobs) > 1 and not isinstance(ran.problem, (InferenceFailed, MemoryError)):
            if isinstance(ran.problem, Inseparable):
                self.cap = 1
            for job in reversed(jobs):
                job.kind = (job,)
                self._queue.appendleft(job)
                self._waiting_elements += job.elements
            self._book_turn()
            return
        start, begun, run, end = ran.times
        counters = self.counters
        counters.last = time.time_ns() // 1_000_000
        executed = counters.batches.setdefault(sum(job.samples for job in jobs), Executed())
        executed.prepare.add(begun - start)
        executed.run.add(run - begun)
        executed.part.add(end - run)
        for index, job in enumerate(jobs):
            if job.future.done():
                continue
            counters.waited.add(start - job.accepted)
            counters.prepared.add(begun - start)
            counters.ran.add(run - begun)
            counters.parted.add(end - run)
            if ran.problem is not None:
                counters.failed.add(end - job.accepted)
                job.future.set_exception(self._explained(ran.problem))
            else:
                counters.succeeded.add(end - job.accepted)
                counters.samples += job.samples
                job.future.set_result(ran.outputs[index])

    def _explained(self, problem: Exception) -> Exception:
        if isinstance(problem, (RequestError, InferenceFailed)):
            return problem
        if isinstance(problem, MemoryError):
            return Unavailable(f"{self.model.name} had no memory left for this request; send less at a time, or try again later")
        # The client gets a sentence; whoever is called at night needs the rest.
        LOG.error("%s failed on inputs that fit its signature", self.model.name, exc_info=problem)
        return InferenceFailed(f"{self.model.name} failed on this request ({type(problem).__name__})", detail=str(problem))

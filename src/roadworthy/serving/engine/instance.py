"""One opened model with a thread of its own, and the calls it makes: several requests as one, taken apart again.

Nothing here decides what is called when; that is for the lane.
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
from roadworthy.serving.engine.model import Model


class Inseparable(Exception):
    """The outputs of one call do not tell which rows are whose."""


@dataclass(slots=True, eq=False)
class Job:
    """One accepted request. Times are of ``time.perf_counter_ns``; ``deadline`` is of ``time.monotonic``."""

    given: Checked
    elements: int
    kind: tuple[object, ...]
    """What two requests must have in common to share a call: every input's dtype and shape but for the batch."""
    future: asyncio.Future[Arrays]
    deadline: float | None
    accepted: int

    @property
    def samples(self) -> int:
        """How many there are in the request."""
        return self.given.samples


@dataclass(slots=True)
class Ran:
    """What a call gave: outputs by job or the problem, and when its three parts began and the last one ended."""

    outputs: list[Arrays]
    problem: Exception | None
    times: tuple[int, int, int, int]


class Instance:
    """One opened model with a thread of its own, which starts with the first call that needs it."""

    def __init__(self, model: Model, loop: asyncio.AbstractEventLoop, done: Callable[[Instance, list[Job], int, Ran], None]) -> None:
        self.model = model
        self.jobs: list[Job] = []
        self.elements = 0
        self.began = 0.0
        self._loop, self._tell = loop, done
        self._inbox: SimpleQueue[list[Job] | None] = SimpleQueue()
        self._thread: Thread | None = None

    def start(self, jobs: list[Job], elements: int) -> None:
        """Run ``jobs`` as one call; ``done`` is called on the loop afterwards."""
        self.jobs, self.elements, self.began = jobs, elements, time.perf_counter()
        if self._thread is None:
            # A call that hangs must not keep the process from ending.
            self._thread = Thread(target=self._work, name=f"model-{self.model.name}", daemon=True)
            self._thread.start()
        self._inbox.put(jobs)

    def close(self) -> None:
        """Let the thread end, then release the model."""
        if self._thread is not None:
            self._inbox.put(None)
            self._thread.join()
        self.model.close()

    def _work(self) -> None:
        while (jobs := self._inbox.get()) is not None:
            ran = run_jobs(self.model, jobs)
            try:
                self._loop.call_soon_threadsafe(self._end, jobs, ran)
            except RuntimeError:  # the loop is closed: nobody waits any more
                return
            del jobs, ran  # not kept alive until the next call

    def _end(self, jobs: list[Job], ran: Ran) -> None:
        elements, told = self.elements, self.jobs
        self.jobs, self.elements = [], 0
        self._tell(self, told, elements, ran)


def run_jobs(model: Model, jobs: list[Job]) -> Ran:
    """One call for all of ``jobs``; what went wrong is in the answer, never raised."""
    start = begun = run = time.perf_counter_ns()
    try:
        given = jobs[0].given if len(jobs) == 1 else _joined(model.signature, jobs)
        begun = run = time.perf_counter_ns()
        outputs = model.answer(given)
        run = time.perf_counter_ns()
        parts = [outputs] if len(jobs) == 1 else _parted(model.signature, outputs, jobs)
        return Ran(parts, None, (start, begun, run, time.perf_counter_ns()))
    except Exception as problem:
        return Ran([], problem, (start, begun, run, time.perf_counter_ns()))


def kind_of(signature: Signature, feeds: Arrays) -> tuple[object, ...]:
    """What ``Job.kind`` is for ``feeds``."""
    arrays = [(spec, feeds[spec.name]) for spec in signature.inputs]
    return tuple((spec.name, array.dtype.char, spec.shape_of_one(array)) for spec, array in arrays)


def _joined(signature: Signature, jobs: list[Job]) -> Checked:
    """What was checked apart, of one kind, as one: the only copy on its way, which also lays out in order what was strided."""
    feeds = {spec.name: spec.joined([job.given.feeds[spec.name] for job in jobs]) for spec in signature.inputs}
    return Checked(feeds, sum(job.samples for job in jobs))


def _parted(signature: Signature, outputs: Arrays, jobs: list[Job]) -> list[Arrays]:
    """Each request's own rows of every output; views, not copies. Raises where an output has not one row for each sample."""
    parts: list[dict[str, Array]] = [{} for _ in jobs]
    samples = sum(job.samples for job in jobs)
    for spec in signature.outputs:
        array = outputs[spec.name]
        if spec.count(array) != samples:
            raise Inseparable(f"output {spec.name!r} of {samples} samples has shape {list(array.shape)}")
        start = 0
        for part, job in zip(parts, jobs, strict=True):
            part[spec.name] = spec.take(array, slice(start, start + job.samples))
            start += job.samples
    return list(parts)

"""The counters of the whole server: those of its workers, of the workers that they replaced, and of the supervisor itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection

from roadworthy.serving.engine.counters import Counters
from roadworthy.serving.workers.ipc import GetCounters
from roadworthy.serving.workers.worker_process import WorkerProcess

REPLY_SECONDS = 0.2
"""A worker that does not reply within this time is counted by its last heartbeat."""


class Statistics:
    """``own`` are the supervisor's counters: it responds to requests while no worker can."""

    def __init__(self, workers: Callable[[], Collection[WorkerProcess]], own: Counters) -> None:
        self._workers, self._own = workers, own
        self._past = Counters()

    def add_ended(self, worker: WorkerProcess) -> None:
        """Keep what a worker counted before it ended; its last heartbeat is taken out of it, so that nothing is counted twice."""
        counters, worker.last = worker.last, Counters()
        counters.workers = []  # the figures of a process that is gone
        self._past.merge(counters)
        self._past.restarts += 1

    async def totals(self) -> Counters:
        """The sum of all counters. No counter ever decreases: a worker that has ended counts by its last heartbeat."""
        workers = list(self._workers())
        replies = await asyncio.gather(
            *(asyncio.wait_for(worker.channel.ask(GetCounters()), REPLY_SECONDS) for worker in workers), return_exceptions=True
        )
        total = Counters()
        for worker, reply in zip(workers, replies, strict=True):
            # The reply of a worker that has ended since may be newer than what ``add_ended`` keeps or has kept.
            total.merge(reply if isinstance(reply, Counters) and worker.running else worker.last)
        total.merge(self._past)
        total.merge(self._own)
        return total

"""The sums over all workers: no counter decreases when a worker ends or does not reply, and none is counted twice."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import cast

from roadworthy.core.errors import Unavailable
from roadworthy.serving.engine.counters import Counters, WorkerStats
from roadworthy.serving.workers.ipc import Body
from roadworthy.serving.workers.statistics import Statistics
from roadworthy.serving.workers.worker_process import WorkerProcess


def counted(number: int) -> Counters:
    return Counters(answered={("oip", "m", "200"): number}, workers=[WorkerStats(pid=number)])


@dataclass
class FakeWorker:
    """A worker that replies with ``now``, or not at all where that is ``None``."""

    last: Counters
    now: Counters | None
    running: bool = True
    asked: list[Body] = field(default_factory=list)

    @property
    def channel(self) -> FakeWorker:
        return self

    async def ask(self, body: Body) -> Body:
        self.asked.append(body)
        if self.now is None:
            raise Unavailable("it has ended")
        return self.now


def answered(statistics: Statistics) -> tuple[int, int]:
    """The sum of the answered requests, and the workers that were replaced."""
    totals = asyncio.run(statistics.totals())
    return sum(totals.answered.values()), totals.restarts


def test_workers_and_the_supervisor_itself_are_added_up() -> None:
    workers = {0: FakeWorker(counted(1), counted(3)), 1: FakeWorker(counted(5), None)}
    statistics = Statistics(lambda: cast("list[WorkerProcess]", list(workers.values())), Counters(answered={("oip", "", "503"): 7}))
    assert answered(statistics) == (3 + 5 + 7, 0), "a worker that does not reply counts by its last heartbeat"


def test_a_replaced_worker_is_counted_once() -> None:
    ended = FakeWorker(counted(5), None, running=False)
    workers = {0: ended}
    statistics = Statistics(lambda: cast("list[WorkerProcess]", list(workers.values())), Counters())
    assert answered(statistics) == (5, 0)
    statistics.add_ended(cast("WorkerProcess", ended))
    assert answered(statistics) == (5, 1), "until it is replaced it is still among the workers"
    workers[0] = FakeWorker(counted(0), counted(2))
    totals = asyncio.run(statistics.totals())
    assert (sum(totals.answered.values()), totals.restarts) == (7, 1)
    assert [worker.pid for worker in totals.workers] == [2], "the figures of the ended process are not shown"

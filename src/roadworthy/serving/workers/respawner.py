"""Keeps the worker processes running: starts them, lets each join when it has every model, and replaces those that end or hang."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from roadworthy.core.errors import EnvironmentFault, RoadworthyError
from roadworthy.serving.settings import Settings
from roadworthy.serving.workers.ipc import Channel, ChannelClosed
from roadworthy.serving.workers.worker_process import Replying, WorkerProcess, WorkerState, exit_reason

LOG = logging.getLogger(__name__)

STEADY_SECONDS = 20.0
"""A worker that ran for this time did not end because of its start: the next one starts at once."""

FIRST_BACK_OFF, LONGEST_BACK_OFF = 0.5, 30.0
"""Seconds before the next start after a worker that ended early; the time doubles with each early end."""

LEAVING_SECONDS = 1.0
"""A worker that reports a fault gets no new connections and is killed after this time, so that it can still send responses."""


class Respawner:
    """One worker process for each index below ``settings.processes``.

    ``catch_up`` lets a new worker open every version that the others serve; ``on_end`` is called with each worker that has ended.
    """

    def __init__(
        self,
        settings: Settings,
        grpc_port: int | None,
        reply: Replying,
        catch_up: Callable[[Channel], Awaitable[None]],
        on_end: Callable[[WorkerProcess], None],
    ) -> None:
        self.workers: dict[int, WorkerProcess] = {}
        self.trouble = ""
        """Why the last worker ended or could not be started."""
        self.stopping = False
        self._settings, self._grpc_port = settings, grpc_port
        self._reply, self._catch_up, self._on_end = reply, catch_up, on_end

    @property
    def complete(self) -> bool:
        """Whether all workers serve."""
        return len(self.channels()) == self._settings.processes

    def channels(self) -> list[Channel]:
        """The channels to the workers that serve."""
        return [worker.channel for worker in self.workers.values() if worker.state is WorkerState.SERVING]

    async def keep(self, index: int) -> None:
        """Run one worker after another, until the server stops; one that ends early is replaced after a growing back-off."""
        back_off = 0.0
        while not self.stopping:
            try:
                worker = self.workers[index] = WorkerProcess(self._settings, index, self._grpc_port, self._reply)
            except EnvironmentFault as problem:
                back_off = _longer(back_off)
                self.trouble = problem.message
                LOG.error("worker %d cannot be started: %s; the next try is in %.1f s", index, problem.message, back_off)
                await asyncio.sleep(back_off)
                continue
            how = await self._run(worker)
            if self.stopping:
                return
            self._on_end(worker)
            ran = time.monotonic() - worker.started
            back_off = 0.0 if ran > STEADY_SECONDS else _longer(back_off)
            self.trouble = f"a worker ended ({how}) and the next one starts in {back_off:.1f} s"
            LOG.error("worker %d ended (%s) after %.1f s; the next one starts in %.1f s", index, how, ran, back_off)
            await asyncio.sleep(back_off)

    async def watch(self) -> None:
        """Kill the workers that hang; take those that report a fault out of service, then kill them."""
        for worker in self.workers.values():
            if worker.running and worker.hung:
                worker.fail("it sent no heartbeat")
            elif worker.sick and worker.state is WorkerState.SERVING:
                worker.state = WorkerState.LEAVING
                asyncio.get_running_loop().call_later(LEAVING_SECONDS, worker.kill)

    async def _run(self, worker: WorkerProcess) -> str:
        """Run one worker to its end; how it ended, in words."""
        joining = asyncio.create_task(self._join(worker))
        try:
            how = exit_reason(await worker.run())
        except Exception as problem:
            LOG.exception("the messages of worker %d could not be read", worker.index)
            how = type(problem).__name__
        joining.cancel()
        return worker.sick or how

    async def _join(self, worker: WorkerProcess) -> None:
        """Let it take connections once it has every model that the others have."""
        await worker.greeted.wait()
        if worker.state is WorkerState.ENDED:
            return
        try:
            worker.busy += 1
            await self._catch_up(worker.channel)
            worker.serve()
        except ChannelClosed:
            return
        except RoadworthyError as problem:
            worker.fail(problem.message)
        except Exception as problem:
            LOG.exception("worker %d could not open the models", worker.index)
            worker.fail(type(problem).__name__)
        finally:
            worker.busy -= 1


def _longer(back_off: float) -> float:
    return min(LONGEST_BACK_OFF, max(FIRST_BACK_OFF, 2 * back_off))

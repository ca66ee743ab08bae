"""The supervisor process: owns the listening sockets and the worker processes, and carries out what clients ask of the whole server."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from roadworthy.core.errors import Conflict, RequestError, RoadworthyError
from roadworthy.serving.engine import background
from roadworthy.serving.engine.counters import Counters
from roadworthy.serving.engine.dataplane import DataPlane
from roadworthy.serving.registry import commands
from roadworthy.serving.settings import Settings
from roadworthy.serving.transports.http import listeners as http_listeners
from roadworthy.serving.transports.http import tls
from roadworthy.serving.transports.http.connection_pool import Connections
from roadworthy.serving.workers.acceptor import Acceptor
from roadworthy.serving.workers.ipc import Body, Done, Drain, GetCounters
from roadworthy.serving.workers.model_manager import ModelManager
from roadworthy.serving.workers.os_process import stop_signal
from roadworthy.serving.workers.respawner import Respawner
from roadworthy.serving.workers.statistics import Statistics
from roadworthy.serving.workers.trial_process import STOPPING, TrialProcess
from roadworthy.serving.workers.worker_process import WorkerProcess

if TYPE_CHECKING:
    from roadworthy.serving.observability.traces import Traces

NOTICE_SECONDS = 0.2
"""Between "not ready" and the closed listeners: clients are told to reconnect elsewhere, and connections under way are still accepted."""

WATCH_SECONDS = 0.5
"""Between two looks at the workers."""


class Supervisor:
    """One server. ``run`` returns when the server was told to stop and has stopped."""

    def __init__(self, settings: Settings, grpc_port: int | None, traces: Traces | None = None) -> None:
        self._settings = settings
        self.trial = TrialProcess(settings, self._reply)
        self.manager = ModelManager(settings, lambda: self.respawner.channels(), self.trial.open)
        # Responds while no worker can: the application of a worker, without any model.
        self._plane = DataPlane(limits=settings.limits, manage=self._carry_out, totals=self._totals, counters=Counters())
        self._connections = Connections(settings.limits)
        self._apps = http_listeners.apps(self._plane, settings, grpc_port, traces)
        self._tls = tls.tls_options(settings)
        self._statistics = Statistics(lambda: self.respawner.workers.values(), self._plane.counters)
        self.respawner = Respawner(settings, grpc_port, self._reply, self.manager.rollout.catch_up, self._statistics.add_ended)

    async def run(self, listeners: Sequence[socket.socket], announce: Callable[[ModelManager], None]) -> None:
        """Serve at ``listeners``, one for each port, in their order, until SIGTERM or SIGINT.

        ``announce`` is called when every bundle was opened or refused; what it raises ends the server.
        """
        stop = stop_signal()
        acceptor = Acceptor(listeners, lambda: self.respawner.workers.values(), self._answer_here)
        acceptor.start()
        workers = [asyncio.create_task(self.respawner.keep(index)) for index in range(self._settings.processes)]
        tasks = [asyncio.create_task(self._open(announce)), asyncio.create_task(background.repeat(WATCH_SECONDS, self._watch))]
        if self._settings.watch:
            tasks.append(asyncio.create_task(background.repeat(self._settings.watch, self._look)))
        try:
            await _until(stop, tasks)
            await self._drain(acceptor)
        finally:
            for task in (*tasks, *workers):
                task.cancel()
            for worker in self.respawner.workers.values():
                worker.kill()
            self.trial.stop()
            self._connections.abort()

    async def _open(self, announce: Callable[[ModelManager], None]) -> None:
        """Open the bundles of the sources, once all workers have started."""
        while not self.respawner.complete:
            await asyncio.sleep(0.005)
        workers = tuple(self.respawner.workers.values())
        for worker in workers:
            worker.busy += 1
        await self.manager.open_all()
        for worker in workers:
            worker.busy -= 1
        while not (self.respawner.channels() or self.respawner.stopping):
            # A bundle has ended the last worker: the models are announced when a worker serves the others.
            await asyncio.sleep(0.05)
        if not self.respawner.stopping:
            announce(self.manager)

    async def _watch(self) -> None:
        await self.respawner.watch()
        self.trial.end_if_idle()

    async def _look(self) -> None:
        if self.manager.rollout.started:
            await self.manager.look()

    def _answer_here(self, listener: int, connection: socket.socket) -> None:
        """Respond to a connection that no worker takes: not ready, with the reason."""
        self._plane.catalogue, self._plane.draining, self._plane.trouble = self.manager.catalogue, True, self.respawner.trouble
        background.start(http_listeners.serve_connection(connection, self._apps[listener], self._connections, self._tls))

    async def _reply(self, worker: WorkerProcess, body: Body) -> Body:
        if isinstance(body, GetCounters):
            return await self._totals()
        assert isinstance(body, commands.Command | commands.Replace)
        await self._carry_out(body)
        return Done()

    async def _totals(self) -> Counters:
        return await self._statistics.totals()

    async def _carry_out(self, command: commands.AnyCommand) -> None:
        if self.respawner.stopping:
            raise STOPPING
        try:
            # A command that has begun is carried out to its end, even if its client disconnects.
            await asyncio.shield(background.start(self.manager.carry_out(command)))
        except RequestError:
            raise
        except RoadworthyError as problem:
            raise Conflict(problem.message) from problem

    async def _drain(self, acceptor: Acceptor) -> None:
        """Report not ready first, then accept no more connections, then let every worker answer what it accepted, and end."""
        self.respawner.stopping = True
        workers = list(self.respawner.workers.values())
        for worker in workers:
            if not worker.greeted.is_set():
                worker.kill()
        self.trial.stop()
        await self._tell_workers(Drain())
        await asyncio.sleep(NOTICE_SECONDS)
        acceptor.stop()
        await self._tell_workers(Drain(finish=True))
        ends = [asyncio.to_thread(worker.process.wait) for worker in workers]
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.gather(*ends, self._connections.drain()), self._settings.limits.drain_seconds + 1)

    async def _tell_workers(self, body: Drain) -> None:
        channels = [worker.channel for worker in self.respawner.workers.values() if worker.running]
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.gather(*(channel.ask(body) for channel in channels), return_exceptions=True), 2)


async def _until(stop: asyncio.Event, tasks: Sequence[asyncio.Task[Any]]) -> None:
    """Return when ``stop`` is set; raise the error of a task that fails before that."""
    stopping = asyncio.create_task(stop.wait())
    pending: set[asyncio.Task[Any]] = {stopping, *tasks}
    try:
        while True:
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            if stopping in done:
                return
            for task in done:
                task.result()
    finally:
        stopping.cancel()

"""The worker process: it serves the connections that the supervisor hands over, with the models that the supervisor tells it to open.

Started as ``python -m roadworthy.serving.workers.worker CONTROL CONNECTIONS``, the descriptors of two open sockets: one carries the
messages of the supervisor, the other one the accepted connections.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NoReturn

import uvloop

from roadworthy.core.errors import InvalidRequest
from roadworthy.serving.engine import background
from roadworthy.serving.engine.counters import Counters
from roadworthy.serving.engine.dataplane import DataPlane
from roadworthy.serving.engine.model_queue import ModelQueue
from roadworthy.serving.engine.open_bundle import OpenEngines, open_engines
from roadworthy.serving.engine.open_messages import OpenVersion, VersionOpened
from roadworthy.serving.observability import logs
from roadworthy.serving.registry.commands import AnyCommand
from roadworthy.serving.transports.http import listeners, tls
from roadworthy.serving.transports.http.connection_pool import Connections
from roadworthy.serving.workers import ipc, os_process, sockets
from roadworthy.serving.workers.ipc import Body, Channel, DiscardVersion, Done, Drain, GetCounters, Heartbeat, Hello, UpdateCatalogue

if TYPE_CHECKING:
    from roadworthy.serving.transports.grpc import GrpcServer

LOG = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 0.5


class ServingWorker:
    """The state of one worker process. It belongs to the event loop's thread, except while a bundle is opened."""

    def __init__(self, connections: socket.socket) -> None:
        self.channel = Channel(self._reply)
        self._handed_over = connections
        self._greeted = asyncio.Event()
        self._opener = ThreadPoolExecutor(1, thread_name_prefix="opening")
        self._opened: dict[tuple[str, str], OpenEngines] = {}
        """Versions that are open and do not answer yet."""
        self._counters = Counters()
        self._finish = asyncio.Event()

    async def run(self) -> None:
        """Serve until the supervisor says to finish, or has ended."""
        await self._greeted.wait()
        plane, limits = self._plane, self._settings.limits
        asyncio.get_running_loop().add_reader(self._handed_over, self._take_connections)
        heartbeat = asyncio.create_task(self._send_heartbeats())
        await self._finish.wait()
        asyncio.get_running_loop().remove_reader(self._handed_over)
        self._take_connections()
        stopping = [self._connections.drain(), *(queue.drained() for queue in plane.queues)]
        if self._grpc is not None:
            stopping.append(self._grpc.stop(limits.drain_seconds))
        await asyncio.wait([asyncio.ensure_future(each) for each in stopping], timeout=limits.drain_seconds)
        heartbeat.cancel()
        self._connections.abort()
        await self._send_heartbeat("")
        if self._traces is not None:
            await asyncio.to_thread(self._traces.close)

    # Messages from the supervisor

    async def _reply(self, body: Body) -> Body:
        match body:
            case Hello():
                await self._begin(body)
            case OpenVersion():
                return await self._open(body)
            case UpdateCatalogue():
                self._update(body)
            case DiscardVersion(name, version):
                self._close(self._opened.pop((name, version), None))
            case GetCounters():
                return self._counted()
            case Drain(finish):
                self._plane.draining = True
                if finish:
                    self._finish.set()
            case _:
                raise InvalidRequest(f"a worker does not handle {type(body).__name__}")
        return Done()

    async def _begin(self, hello: Hello) -> None:
        self._settings = settings = hello.settings
        self._plane = DataPlane(
            limits=settings.limits, manage=self._manage, totals=self._totals, counters=self._counters, draft_jpeg=settings.draft_jpeg
        )
        self._connections = Connections(settings.limits)
        self._traces = listeners.tracing(settings)
        self._apps = listeners.apps(self._plane, settings, hello.grpc_port, self._traces)
        self._tls = tls.tls_options(settings)
        self._grpc = await self._start_grpc(hello.grpc_port)
        self._greeted.set()

    async def _open(self, wanted: OpenVersion) -> VersionOpened:
        loop = asyncio.get_running_loop()
        engines = await loop.run_in_executor(self._opener, open_engines, wanted, self._settings)
        self._close(self._opened.pop((wanted.name, wanted.version), None))
        self._opened[wanted.name, wanted.version] = engines
        return engines.opened

    def _update(self, wanted: UpdateCatalogue) -> None:
        """In one turn of the event loop, so that every request sees either the old catalogue or the new one."""
        answering = {(served.name, version.version) for served, version in wanted.catalogue if version.state == "ready"}
        for key in answering:
            if (opened := self._opened.pop(key, None)) is not None:
                self._retire(self._plane.remove(*key))
                self._plane.add(
                    ModelQueue(
                        opened.engines,
                        self._counters.of(*key),
                        cap=opened.opened.plan.batch,
                        limits=self._settings.limits,
                        delay=self._settings.delay,
                    )
                )
        for queue in self._plane.queues:
            if (key := (queue.model.name, queue.model.version)) not in answering:
                self._retire(self._plane.remove(*key))
        self._plane.catalogue = wanted.catalogue
        self._plane.opened = wanted.opened

    def _retire(self, queue: ModelQueue | None) -> None:
        if queue is not None:
            background.start(_retired(queue))

    def _close(self, opened: OpenEngines | None) -> None:
        for engine in opened.engines if opened else ():
            engine.close()

    # Messages to the supervisor

    async def _send_heartbeats(self) -> None:
        while True:
            try:
                hung = [queue.model.name for queue in self._plane.queues if queue.hung()]
                await self._send_heartbeat(f"a call of {hung[0]} hangs" if hung else "")
            except Exception:
                # For example too few descriptors to read /proc: the supervisor replaces a worker that sends no heartbeat.
                LOG.exception("a heartbeat could not be sent")
            await asyncio.sleep(HEARTBEAT_SECONDS)

    async def _send_heartbeat(self, sick: str) -> None:
        try:
            await self.channel.ask(Heartbeat(self._counted(), sick))
        except ipc.ChannelClosed:
            self._finish.set()

    def _counted(self) -> Counters:
        queues = {(queue.model.name, queue.model.version): queue for queue in self._plane.queues}
        state = os_process.figures(len(self._connections))
        state.waiting = {key: queue.waiting for key, queue in queues.items()}
        state.running = {key: queue.running for key, queue in queues.items()}
        state.golden = {(*key, queue.model.check.variant): queue.model.check.error for key, queue in queues.items()}
        self._counters.workers = [state]
        return self._counters

    async def _manage(self, command: AnyCommand) -> None:
        await self.channel.ask(command)

    async def _totals(self) -> Counters:
        counters = await self.channel.ask(GetCounters())
        assert isinstance(counters, Counters)
        return counters

    # Connections

    def _take_connections(self) -> None:
        """Serve every connection that the supervisor has handed over."""
        while (handed := sockets.receive(self._handed_over)) is not None:
            listener, connection = handed
            background.start(listeners.serve_connection(connection, self._apps[listener], self._connections, self._tls))

    async def _start_grpc(self, port: int | None) -> GrpcServer | None:
        if port is None:
            return None
        # gRPC is an extra: it is imported only where it is asked for.
        from roadworthy.serving.transports import grpc

        return await grpc.start(self._settings, port, self._plane, self._traces)


async def _retired(queue: ModelQueue) -> None:
    """Answer what the queue holds, close it, and give its memory back to the system."""
    await queue.drained()
    try:
        queue.close()
    except Exception:
        LOG.exception("%s version %s could not be closed", queue.model.name, queue.model.version)
    del queue
    os_process.release_memory()


def main() -> NoReturn:
    """See the module's docstring."""
    os_process.die_with_parent()
    for number in (signal.SIGINT, signal.SIGTERM):
        # A terminal and an init system signal the whole process group; a worker ends when the supervisor tells it to.
        signal.signal(number, signal.SIG_IGN)
    write_out = logs.configure()
    ends = socket.socket(fileno=int(sys.argv[1])), socket.socket(fileno=int(sys.argv[2]))
    uvloop.run(_main(*ends))
    write_out()
    # Not sys.exit: it would wait for the threads of a runtime, or of a bundle that is being opened.
    os._exit(0)


async def _main(control_end: socket.socket, connections: socket.socket) -> None:
    worker = ServingWorker(connections)
    await worker.channel.open(control_end)
    channel = asyncio.create_task(worker.channel.serve())
    serving = asyncio.create_task(worker.run())
    await asyncio.wait((channel, serving), return_when=asyncio.FIRST_COMPLETED)
    if serving.done():
        serving.result()


if __name__ == "__main__":
    main()

"""One worker process: the whole stack from sockets to models, doing as the supervisor says.

Started as ``python -m roadworthy.serving.workers.worker CONTROL DOOR``, the numbers of two open sockets: one to talk to the
supervisor, one over which it hands accepted connections.
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
from roadworthy.serving.engine.model_queue import Lane
from roadworthy.serving.engine.open_bundle import Instances, open_instances
from roadworthy.serving.observability import logs
from roadworthy.serving.registry.commands import AnyCommand
from roadworthy.serving.transports.http import listeners, tls
from roadworthy.serving.transports.http.connection_pool import Connections
from roadworthy.serving.workers import ipc, os_process, sockets
from roadworthy.serving.workers.ipc import Beat, Body, Channel, Count, Done, Drain, Forget, Hello, Open, Opened, Route

if TYPE_CHECKING:
    from roadworthy.serving.transports.grpc import GrpcServer

LOG = logging.getLogger(__name__)

BEAT_SECONDS = 0.5
"""Between two signs of life."""


class Worker:
    """What one worker holds. All of it belongs to the event loop's thread, but for the opening of bundles."""

    def __init__(self, door: socket.socket) -> None:
        self.channel = Channel(self._answer)
        self._door = door
        self._greeted = asyncio.Event()
        self._opener = ThreadPoolExecutor(1, thread_name_prefix="opening")
        self._opened: dict[tuple[str, str], Instances] = {}
        self._counters = Counters()
        self._finish = asyncio.Event()

    async def run(self) -> None:
        """Serve until the supervisor says to end, or is gone."""
        await self._greeted.wait()
        plane, limits = self._plane, self._settings.limits
        asyncio.get_running_loop().add_reader(self._door, self._take)
        beating = asyncio.create_task(self._beat())
        await self._finish.wait()
        asyncio.get_running_loop().remove_reader(self._door)
        self._take()
        stopping = [self._connections.drain(), *(lane.drained() for lane in plane.lanes)]
        if self._grpc is not None:
            stopping.append(self._grpc.stop(limits.drain_seconds))
        await asyncio.wait([asyncio.ensure_future(each) for each in stopping], timeout=limits.drain_seconds)
        beating.cancel()
        self._connections.abort()
        await self._tell("")
        if self._traces is not None:
            await asyncio.to_thread(self._traces.close)

    # What the supervisor asks

    async def _answer(self, body: Body) -> Body:
        match body:
            case Hello():
                await self._begin(body)
            case Open():
                return await self._open(body)
            case Route():
                self._route(body)
            case Forget(name, version):
                self._close(self._opened.pop((name, version), None))
            case Count():
                return self._counted()
            case Drain(finish):
                self._plane.draining = True
                if finish:
                    self._finish.set()
            case _:
                raise InvalidRequest(f"a worker has no answer to {type(body).__name__}")
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

    async def _open(self, wanted: Open) -> Opened:
        loop = asyncio.get_running_loop()
        instances = await loop.run_in_executor(self._opener, open_instances, wanted, self._settings)
        self._close(self._opened.pop((wanted.name, wanted.version), None))
        self._opened[wanted.name, wanted.version] = instances
        return instances.opened

    def _route(self, wanted: Route) -> None:
        """In one turn of the loop: no request sees one half of it."""
        answering = {(served.name, version.version): version for served, version in wanted.catalogue if version.state == "ready"}
        for key in answering:
            if (instances := self._opened.pop(key, None)) is not None:
                self._retire(self._plane.remove(*key))
                plan = instances.opened.plan
                self._plane.add(
                    Lane(
                        instances.models, self._counters.of(*key), cap=plan.batch, limits=self._settings.limits, delay=self._settings.delay
                    )
                )
        for lane in self._plane.lanes:
            if (key := (lane.model.name, lane.model.version)) not in answering:
                self._retire(self._plane.remove(*key))
        self._plane.route(wanted.catalogue)
        self._plane.opened = wanted.opened

    def _retire(self, lane: Lane | None) -> None:
        if lane is not None:
            background.start(_retired(lane))

    def _close(self, instances: Instances | None) -> None:
        for model in instances.models if instances else ():
            model.close()

    # What it tells and asks the supervisor

    async def _beat(self) -> None:
        while True:
            try:
                hung = [lane.model.name for lane in self._plane.lanes if lane.hung()]
                await self._tell(f"a call of {hung[0]} hangs" if hung else "")
            except Exception:
                # Too few descriptors to look at itself, say: the supervisor replaces a worker that stays silent.
                LOG.exception("a sign of life could not be given")
            await asyncio.sleep(BEAT_SECONDS)

    async def _tell(self, sick: str) -> None:
        try:
            await self.channel.ask(Beat(self._counted(), sick))
        except ipc.Gone:
            self._finish.set()

    def _counted(self) -> Counters:
        lanes = {(lane.model.name, lane.model.version): lane for lane in self._plane.lanes}
        state = os_process.state(len(self._connections))
        state.waiting = {key: lane.waiting for key, lane in lanes.items()}
        state.running = {key: lane.running for key, lane in lanes.items()}
        state.golden = {(*key, lane.model.check.variant): lane.model.check.error for key, lane in lanes.items()}
        self._counters.workers = [state]
        return self._counters

    async def _manage(self, command: AnyCommand) -> None:
        await self.channel.ask(command)

    async def _totals(self) -> Counters:
        counters = await self.channel.ask(Count())
        assert isinstance(counters, Counters)
        return counters

    # Connections

    def _take(self) -> None:
        """Every connection that the supervisor has handed over."""
        while (handed := sockets.receive(self._door)) is not None:
            which, connection = handed
            background.start(listeners.serve_connection(connection, self._apps[which], self._connections, self._tls))

    async def _start_grpc(self, port: int | None) -> GrpcServer | None:
        if port is None:
            return None
        # gRPC is an extra, and costs what it costs only where it is asked for.
        from roadworthy.serving.transports import grpc

        return await grpc.start(self._settings, port, self._plane, self._traces)


async def _retired(lane: Lane) -> None:
    """What it has in hand is answered; then its memory goes back to the system."""
    await lane.drained()
    try:
        lane.close()
    except Exception:
        LOG.exception("%s version %s could not be closed", lane.model.name, lane.model.version)
    del lane
    os_process.give_back()


def main() -> NoReturn:
    """See the module's docstring."""
    os_process.die_with_parent()
    for number in (signal.SIGINT, signal.SIGTERM):
        # A terminal and an init system send these to the whole group; when to end is for the supervisor to say.
        signal.signal(number, signal.SIG_IGN)
    write_out = logs.configure()
    ends = socket.socket(fileno=int(sys.argv[1])), socket.socket(fileno=int(sys.argv[2]))
    uvloop.run(_main(*ends))
    write_out()
    # Threads of a runtime, or of a bundle half opened, shall not hold up the end.
    os._exit(0)


async def _main(control_end: socket.socket, door: socket.socket) -> None:
    worker = Worker(door)
    await worker.channel.open(control_end)
    talking = asyncio.create_task(worker.channel.serve())
    working = asyncio.create_task(worker.run())
    await asyncio.wait((talking, working), return_when=asyncio.FIRST_COMPLETED)
    if working.done():
        working.result()


if __name__ == "__main__":
    main()

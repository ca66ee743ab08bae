"""A worker process from the supervisor's side: its two sockets, its state, its heartbeats and its end."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from enum import Enum, auto

from roadworthy.core.errors import EnvironmentFault, RoadworthyError
from roadworthy.serving.engine.counters import Counters
from roadworthy.serving.settings import Settings
from roadworthy.serving.workers.broadcast import OPENING_SECONDS
from roadworthy.serving.workers.ipc import Body, Channel, ChannelClosed, Done, Heartbeat, Hello

HANG_SECONDS = 10.0
"""A worker without a heartbeat for this time is taken for hung."""

LATE_SECONDS = 2.0
"""A worker without a heartbeat for this time gets no new connections while other workers can take them."""

Replying = Callable[["WorkerProcess", Body], Awaitable[Body]]
"""Replies to the messages of a worker other than heartbeats."""


class WorkerState(Enum):
    """``STARTING`` until it has every model that the other workers have, ``SERVING`` while it takes connections, ``LEAVING`` when it is
    about to be killed, ``ENDED`` when its process has ended."""

    STARTING = auto()
    SERVING = auto()
    LEAVING = auto()
    ENDED = auto()


class WorkerProcess:
    """One worker process. Creating it starts the process; raises EnvironmentFault where that fails."""

    def __init__(self, settings: Settings, index: int, grpc_port: int | None, reply: Replying) -> None:
        self.index = index
        self.state = WorkerState.STARTING
        self.greeted = asyncio.Event()
        """The worker has replied to the first message, or has ended."""
        self.sick = ""
        """Why it has to be replaced; empty while it is well."""
        self.busy = 0
        """Messages under way that may delay its heartbeats."""
        self.handed = 0
        """Connections handed over since its last heartbeat."""
        self.last = Counters()
        """Its counters by its last heartbeat."""
        self.started = self.heard = time.monotonic()
        self.channel = Channel(lambda body: self._reply(body, reply))
        self._hello = Hello(settings, index, grpc_port)
        self.process, self._control, self.connections_socket = _start()

    @property
    def connections(self) -> int:
        """Its open connections, as far as is known."""
        return self.handed + sum(worker.connections for worker in self.last.workers)

    @property
    def late(self) -> bool:
        """Whether its heartbeat is late: it may be hung."""
        return time.monotonic() - self.heard > LATE_SECONDS

    @property
    def hung(self) -> bool:
        """Whether it is taken for hung; while it opens bundles it may send no heartbeat for longer."""
        opening = self.busy or self.state is not WorkerState.SERVING
        return time.monotonic() - self.heard > (OPENING_SECONDS if opening else HANG_SECONDS)

    @property
    def running(self) -> bool:
        """Whether the process has not ended."""
        return self.process.poll() is None

    async def run(self) -> int:
        """Exchange messages with it until it ends; its exit status."""
        try:
            await self.channel.open(self._control)
            serving = asyncio.create_task(self.channel.serve())
            try:
                await self.channel.ask(self._hello)
                self.greeted.set()
            except ChannelClosed:
                pass
            except RoadworthyError as problem:
                self.sick = problem.message
                self.kill()
            await serving
            self.state = WorkerState.ENDED
            return await asyncio.to_thread(self.process.wait)
        finally:
            self.state = WorkerState.ENDED
            self.greeted.set()
            self.kill()
            self.connections_socket.close()

    def serve(self) -> None:
        """It has every model: connections may be handed over."""
        if self.state is WorkerState.STARTING:
            self.state, self.heard = WorkerState.SERVING, time.monotonic()

    def fail(self, reason: str) -> None:
        """Kill it for ``reason``."""
        self.sick = reason
        self.kill()

    def kill(self) -> None:
        """End the process at once, whatever it does."""
        if self.running:
            self.process.kill()

    async def _reply(self, body: Body, others: Replying) -> Body:
        if isinstance(body, Heartbeat):
            # The first reason stays: a later heartbeat without one does not make the worker well again.
            self.last, self.sick, self.heard, self.handed = body.counters, self.sick or body.sick, time.monotonic(), 0
            return Done()
        return await others(self, body)


def _start() -> tuple[subprocess.Popen[bytes], socket.socket, socket.socket]:
    """A worker process, our end of its socket for messages, and our end of its socket for connections; raises EnvironmentFault."""
    try:
        control, worker_control = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        connections, worker_connections = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with worker_control, worker_connections:
            for end in (control, connections, worker_control, worker_connections):
                end.setblocking(False)
            descriptors = worker_control.fileno(), worker_connections.fileno()
            process = subprocess.Popen(
                [sys.executable, "-m", "roadworthy.serving.workers.worker", *map(str, descriptors)],
                stdin=subprocess.DEVNULL,
                pass_fds=descriptors,
                env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )
    except OSError as problem:
        raise EnvironmentFault(f"no process can be started here: {problem}") from problem
    return process, control, connections


def exit_reason(status: int) -> str:
    """An exit status in words."""
    if status < 0:
        with suppress(ValueError):
            return f"killed by {signal.Signals(-status).name}"
    return f"exit status {status}"

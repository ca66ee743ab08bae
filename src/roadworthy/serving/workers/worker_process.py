"""One worker process as the supervisor sees it: its two sockets, its signs of life, its end."""

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

from roadworthy.core.errors import EnvironmentFault, RoadworthyError
from roadworthy.serving.engine.counters import Counters
from roadworthy.serving.settings import Settings
from roadworthy.serving.workers.ipc import Body, Channel, ChannelClosed, Done, Heartbeat, Hello
from roadworthy.serving.workers.model_manager import OPENING_SECONDS

SILENCE_SECONDS = 10.0
"""A worker that gives no sign of life for so long is taken for hung."""

QUIET_SECONDS = 2.0
"""One that gave none for so long gets no new connections while there are others."""

Answering = Callable[["WorkerProcess", Body], Awaitable[Body]]
"""What answers the questions of a worker that are no signs of life."""


class WorkerProcess:
    """One worker process, from the supervisor's side."""

    def __init__(self, settings: Settings, index: int, grpc_port: int | None, answer: Answering) -> None:
        self.index = index
        self.greeted = asyncio.Event()
        """Set also by its end, so that nobody waits for a greeting that never comes."""
        self.up = False
        self.ended = False
        self.sick = ""
        self.busy = 0
        """Questions that may keep it from giving signs of life."""
        self.handed = 0
        """Connections it got since it last said how many it has."""
        self.last = Counters()
        self.started = self.heard = time.monotonic()
        self.channel = Channel(lambda body: self._answer(body, answer))
        self._hello = Hello(settings, index, grpc_port)
        self.process, self._control, self.door = _start()

    @property
    def connections(self) -> int:
        """OpenVersion ones, as far as is known."""
        return self.handed + sum(worker.connections for worker in self.last.workers)

    async def run(self) -> int:
        """Talk with it until it ends; its exit status."""
        try:
            await self.channel.open(self._control)
            talking = asyncio.create_task(self.channel.serve())
            try:
                await self.channel.ask(self._hello)
                self.greeted.set()
            except ChannelClosed:
                pass
            except RoadworthyError as problem:
                self.sick = problem.message
                self.kill()
            await talking
            self.up = False
            return await asyncio.to_thread(self.process.wait)
        finally:
            self.up, self.ended = False, True
            self.greeted.set()
            self.kill()
            self.door.close()

    @property
    def quiet(self) -> bool:
        """Whether it may be hung."""
        return time.monotonic() - self.heard > QUIET_SECONDS

    def silent(self) -> bool:
        """Whether it is taken for hung; while it opens bundles it may be busy for longer: runtimes are imported and files hashed."""
        return time.monotonic() - self.heard > (OPENING_SECONDS if self.busy or not self.up else SILENCE_SECONDS)

    def kill(self) -> None:
        """End it whatever it does."""
        if self.process.poll() is None:
            self.process.kill()

    async def _answer(self, body: Body, others: Answering) -> Body:
        if isinstance(body, Heartbeat):
            # What makes it sick is said once, and does not heal.
            self.last, self.sick, self.heard, self.handed = body.counters, self.sick or body.sick, time.monotonic(), 0
            return Done()
        return await others(self, body)


def _start() -> tuple[subprocess.Popen[bytes], socket.socket, socket.socket]:
    """A worker process with our ends of its two sockets: to talk, and to hand connections over; raises EnvironmentFault."""
    try:
        control, control_there = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        door, door_there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with control_there, door_there:
            for end in (control, door, control_there, door_there):
                end.setblocking(False)
            process = subprocess.Popen(
                [sys.executable, "-m", "roadworthy.serving.workers.worker", str(control_there.fileno()), str(door_there.fileno())],
                stdin=subprocess.DEVNULL,
                pass_fds=(control_there.fileno(), door_there.fileno()),
                env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )
    except OSError as problem:
        raise EnvironmentFault(f"no process can be started here: {problem}") from problem
    return process, control, door


def words_of(status: int) -> str:
    """An exit status in words."""
    if status < 0:
        with suppress(ValueError):
            return f"killed by {signal.Signals(-status).name}"
    return f"exit status {status}"

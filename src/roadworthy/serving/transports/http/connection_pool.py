"""All connections of one worker: how many there are, the deadlines of each, and their end."""

from __future__ import annotations

import asyncio
from email.utils import formatdate
from typing import Protocol

from roadworthy.serving.limits import MIB, ServerLimits
from roadworthy.serving.transports.http.request_reader import BodyMemory

DRAIN_SECONDS = 0.2
"""Seconds that an idle connection has left when the server drains: a request that is on its way still gets its answer."""
ONE_READ = 256 * 1024
"""Bytes that are taken from a socket at once."""


class PooledConnection(Protocol):
    """What the pool needs of a connection."""

    deadline: float
    stalled: float

    @property
    def idle(self) -> bool:
        """Whether no request is on its way in or being answered."""

    def expire(self) -> None:
        """A deadline is over."""

    def abort(self) -> None:
        """Close at once."""


class Connections:
    """All open connections of one worker. One timer serves every deadline, so a request costs none."""

    def __init__(self, limits: ServerLimits) -> None:
        self.limits = limits
        self.draining = False
        self.date = b""
        """This second, as a Date header has it."""
        self.scratch = memoryview(bytearray(ONE_READ))
        """What a socket is read into before it is parsed, which happens at once: one buffer is enough for all connections."""
        self.memory = BodyMemory(max(32 * limits.body, 64 * MIB))
        self._open: set[PooledConnection] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._empty = asyncio.Event()
        shortest = min(limits.head_seconds, limits.body_seconds, limits.idle_seconds, limits.send_seconds)
        self._period = min(1.0, max(0.02, shortest / 4))

    def __len__(self) -> int:
        return len(self._open)

    def add(self, connection: PooledConnection) -> None:
        """Watch its deadlines from now on."""
        self._open.add(connection)
        self._empty.clear()
        if self._timer is None:
            self._expire()

    def remove(self, connection: PooledConnection) -> None:
        """It is closed."""
        self._open.discard(connection)
        if not self._open:
            self._empty.set()

    async def drain(self) -> None:
        """Answer what came and what still comes, each with ``Connection: close``; return when no connection is left.

        A connection without a request is closed after ``DRAIN_SECONDS``.
        """
        self.draining = True
        soon = asyncio.get_running_loop().time() + DRAIN_SECONDS
        for connection in self._open:
            if connection.idle:
                connection.deadline = min(connection.deadline, soon)
        self._period = min(self._period, DRAIN_SECONDS / 4)
        if self._timer is not None:
            self._timer.cancel()
            self._expire()
        if self._open:
            await self._empty.wait()

    def abort(self) -> None:
        """Close all that are left at once."""
        for connection in tuple(self._open):
            connection.abort()

    def _expire(self) -> None:
        """End the connections whose deadline is over. Without any connection the timer stops and costs no processor time."""
        self._timer = None
        if not self._open:
            return
        loop = asyncio.get_running_loop()
        now = loop.time()
        self.date = formatdate(usegmt=True).encode()
        for connection in tuple(self._open):
            if now >= connection.deadline or now >= connection.stalled:
                connection.expire()
        self._timer = loop.call_later(self._period, self._expire)

"""All connections of one worker: how many there are, the deadlines of each, and their end."""

from __future__ import annotations

import asyncio
from email.utils import formatdate
from typing import TYPE_CHECKING

from roadworthy.serving.limits import MIB, ServerLimits

if TYPE_CHECKING:
    from roadworthy.serving.transports.http.connection import Connection

PARTING = 0.2
"""Seconds that a silent connection has left when the server drains: a request on its way still gets its answer."""
ONE_READ = 256 * 1024
"""Bytes that are taken from a socket at once."""


class Connections:
    """All open connections of one worker. One timer looks after every deadline, so that a request costs none."""

    def __init__(self, limits: ServerLimits) -> None:
        self.limits = limits
        self.draining = False
        self.date = b""
        """This second, as a Date header has it."""
        self.scratch = memoryview(bytearray(ONE_READ))
        """What a socket is read into before it is looked at, which happens at once: one is enough for all."""
        self.held = 0
        """Bytes of bodies in memory, those that are still coming in included."""
        self.room = max(32 * limits.body, 64 * MIB)
        """Bytes that ``held`` may come to before bodies are refused."""
        self._open: set[Connection] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._empty = asyncio.Event()
        shortest = min(limits.head_seconds, limits.body_seconds, limits.idle_seconds, limits.send_seconds)
        self._period = min(1.0, max(0.02, shortest / 4))

    def __len__(self) -> int:
        return len(self._open)

    def add(self, connection: Connection) -> None:
        """Look after it from now on."""
        self._open.add(connection)
        self._empty.clear()
        if self._timer is None:
            self._look()

    def remove(self, connection: Connection) -> None:
        """It is closed."""
        self._open.discard(connection)
        if not self._open:
            self._empty.set()

    async def drain(self) -> None:
        """Answer what is in hand and what still arrives, each with ``Connection: close``; return when nobody is left.

        A connection without a request is closed after ``PARTING``.
        """
        self.draining = True
        soon = asyncio.get_running_loop().time() + PARTING
        for connection in self._open:
            if connection.idle:
                connection.deadline = min(connection.deadline, soon)
        self._period = min(self._period, PARTING / 4)
        if self._timer is not None:
            self._timer.cancel()
            self._look()
        if self._open:
            await self._empty.wait()

    def abort(self) -> None:
        """Cut whoever is left."""
        for connection in tuple(self._open):
            connection.abort()

    def _look(self) -> None:
        """Close whose time is up. Nobody connected: nothing to look after, and no processor time for it."""
        self._timer = None
        if not self._open:
            return
        loop = asyncio.get_running_loop()
        now = loop.time()
        self.date = formatdate(usegmt=True).encode()
        for connection in tuple(self._open):
            if now >= connection.deadline or now >= connection.stalled:
                connection.expire()
        self._timer = loop.call_later(self._period, self._look)

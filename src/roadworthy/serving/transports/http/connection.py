"""One HTTP/1.1 connection: whose turn it is, its deadlines, and its end. Why it is our own is in docs/decisions/0010."""

from __future__ import annotations

import asyncio
import logging
import math
import socket
import struct
import time
from collections import deque
from contextlib import suppress
from http import HTTPStatus
from typing import cast

import httptools

from roadworthy.core.errors import Unavailable
from roadworthy.serving.protocols import Reply, TooSlow
from roadworthy.serving.transports.http.app import App, Request, ServerFault, refusal
from roadworthy.serving.transports.http.connection_pool import PARTING, Connections
from roadworthy.serving.transports.http.request_reader import Reading

log = logging.getLogger(__name__)

IDLE, HEAD, BODY, WORKING, LEAVING = range(5)
"""What a connection waits for: a request, the rest of its head, the rest of its body, its answer, the other side to be done."""

JOINED = 32 * 1024
"""Bytes up to which an answer's body is copied behind its head, for one write."""
PIPELINED = 32
"""Requests that may stand ready behind the one in hand; whoever sends more at once has to send the rest again."""

STATUS = {status.value: b"HTTP/1.1 %d %b\r\n" % (status, status.phrase.encode()) for status in HTTPStatus}
GONE = Reply(499, b"")
"""Counted for a request whose client did not wait for the answer."""

_AT_ONCE = struct.pack("ii", 1, 0)


class Connection(asyncio.BufferedProtocol):
    """One client. Requests are answered one after the other, as they came; no more is read than the one in hand and what came with it."""

    def __init__(self, app: App, connections: Connections) -> None:
        self._app, self._connections, self._limits = app, connections, connections.limits
        self._loop = asyncio.get_running_loop()
        self._reading = Reading(app, connections, self)
        self.phase = IDLE
        self.deadline = self.stalled = math.inf
        """When ``phase`` has lasted too long, and when the client should have taken its answer, by the loop's clock."""
        self._task: asyncio.Task[None] | None = None
        self._ready: deque[tuple[Request, bytes, bool]] = deque()
        self._ahead = b""
        """Come in, but not looked at before what is in hand is answered."""
        self._lost = False

    @property
    def idle(self) -> bool:
        """Whether no request is on its way in or in hand."""
        return self.phase == IDLE

    @property
    def _busy(self) -> bool:
        return self._task is not None or self.stalled != math.inf

    # What the event loop says

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client is there; one too many is told so and shown out."""
        self._transport = cast(asyncio.Transport, transport)
        address = transport.get_extra_info("peername")
        self._reading.peer = "{}:{}".format(*address) if isinstance(address, tuple) else ""
        self._connections.add(self)
        self._wait(IDLE, self._limits.idle_seconds)
        crowd = len(self._connections) - self._limits.connections
        if crowd > self._limits.connections:
            self.abort()
        elif crowd > 0:
            self._reading.refuse(Unavailable(f"{self._limits.connections} connections are open already, which is this server's limit"))

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the next bytes go."""
        long = self._reading.long
        return self._connections.scratch if long is None else long.room()

    def buffer_updated(self, count: int) -> None:
        """They are there: looked at, unless a request is in hand."""
        reading = self._reading
        if reading.long is not None:
            reading.lengthen(count)
        elif reading.over:
            return
        elif self._busy:
            self._ahead += self._connections.scratch[:count]
            self._transport.pause_reading()
        else:
            self._feed(self._connections.scratch[:count])

    def eof_received(self) -> None:
        """The client is done, and so is whatever it waited for: closing follows by itself."""

    def connection_lost(self, problem: Exception | None) -> None:
        """Nobody waits any more: queued work shall not run."""
        self._lost = True
        self._connections.remove(self)
        self._reading.end()
        self._ready.clear()
        if self._task is not None:
            self._task.cancel()

    def pause_writing(self) -> None:
        """The client reads more slowly than it is written to."""
        self.stalled = self._loop.time() + self._limits.send_seconds

    def resume_writing(self) -> None:
        """It has caught up."""
        self.stalled = math.inf
        self._next()

    # What comes in

    def _feed(self, data: bytes | memoryview) -> None:
        try:
            self._reading.feed(data)
        except httptools.HttpParserCallbackError:
            self._failed()
        self._settle()

    def _settle(self) -> None:
        """Wait for the rest of what has begun to come; its time does not start again with every byte."""
        if self._busy or not self._reading.begun:
            return
        if self._reading.request is None:
            if self.phase != HEAD:
                self._wait(HEAD, self._limits.head_seconds)
        elif self.phase != BODY:
            self._wait(BODY, self._limits.body_seconds)
            self._reading.shorten()

    def _wait(self, phase: int, seconds: float) -> None:
        self.phase = phase
        self.deadline = self._loop.time() + (min(seconds, PARTING) if phase == IDLE and self._connections.draining else seconds)

    def go_on(self) -> None:
        """A client may send the body that it asked about, unless another answer comes first."""
        if not self._busy:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    # One request after the other

    def take(self, request: Request, body: bytes, keep: bool) -> None:
        """A request is whole, or refused: its turn comes when those before it are answered."""
        request.begun = time.perf_counter()
        if not self._busy and not self._ready:
            self._start(request, body, keep)
            return
        if len(self._ready) >= PIPELINED:
            self._reading.over = self._reading.cut_short = True
            keep = False
        self._ready.append((request, body, keep))

    def _start(self, request: Request, body: bytes, keep: bool) -> None:
        if request.reply is not None:
            self._write(request, request.reply, keep)
            return
        self.phase, self.deadline = WORKING, math.inf
        self._task = self._loop.create_task(self._answer(request, body, keep))

    async def _answer(self, request: Request, body: bytes, keep: bool) -> None:
        try:
            reply = await self._app.answer(request, body)
        except asyncio.CancelledError:
            if self._lost:
                self._app.answered(request, GONE)
                raise
            reply = refusal(request, ServerFault("the server gave this request up"))
        self._task = None
        try:
            self._write(request, reply, keep)
        except Exception:
            self._failed()
        else:
            self._next()

    def _write(self, request: Request, reply: Reply, keep: bool) -> None:
        """The answer, all at once, and what becomes of the connection."""
        close = not keep or self._connections.draining or self._app.plane.draining
        stays = b"connection: close\r\n" if close else b"connection: keep-alive\r\n" if b"connection" in request.headers else b""
        status = STATUS.get(reply.status) or b"HTTP/1.1 %d \r\n" % reply.status
        head = b"%bdate: %b\r\n%b%b\r\n" % (status, self._connections.date, stays, self._app.head(request, reply))
        if request.method == "HEAD" or not reply.body:
            self._transport.write(head)
        elif len(reply.body) <= JOINED:
            self._transport.write(head + reply.body)
        else:
            self._transport.writelines((head, reply.body))
        self._app.answered(request, reply)
        self._reading.let_go()
        if close:
            self._leave()
        else:
            self._wait(IDLE, self._limits.idle_seconds)

    def _next(self) -> None:
        """What came behind the request that is answered."""
        while self._ready and not self._busy and self.phase != LEAVING:
            self._start(*self._ready.popleft())
        if self._ahead and not self._busy and not self._reading.over and not self._transport.is_closing():
            ahead, self._ahead = self._ahead, b""
            self._transport.resume_reading()
            self._feed(ahead)
        else:
            self._settle()

    # The end

    def expire(self) -> None:
        """A deadline is over: whoever was slow is told, whoever is silent is not."""
        if self.phase == LEAVING:
            self.abort()
        elif self.phase == HEAD:
            self._reading.refuse(TooSlow(f"the request line and headers did not arrive within {self._limits.head_seconds:g} s"))
        elif self.phase == BODY:
            self._reading.refuse(TooSlow(f"the body did not arrive within {self._limits.body_seconds:g} s"))
        elif self._transport.get_write_buffer_size():
            self.abort()
        else:
            self._transport.close()

    def abort(self) -> None:
        """Cut it, and let the system forget what it has not taken: it would keep sending to a client that does not read."""
        if (connection := self._transport.get_extra_info("socket")) is not None:
            with suppress(OSError):  # closed already
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
        self._transport.abort()

    def _failed(self) -> None:
        """Our own fault, where no answer can be given any more."""
        log.exception("a connection failed")
        self.abort()

    def _leave(self) -> None:
        """Close when all is sent. Where more may be on its way it is read and dropped: closing on it would reset the
        connection, and the client lose the answer."""
        self._reading.over = True
        self._ready.clear()
        if not (self._reading.cut_short or self._ahead) or self._transport.is_closing():
            self._wait(LEAVING, self._limits.send_seconds)
            self._transport.close()
            return
        self._wait(LEAVING, self._limits.body_seconds)
        if self._ahead:
            self._ahead = b""
            self._transport.resume_reading()
        if self._transport.can_write_eof():
            self._transport.write_eof()

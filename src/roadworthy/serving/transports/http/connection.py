"""One HTTP/1.1 connection of asyncio: the order of its requests, its deadlines and its end. docs/decisions/0010 says why."""

from __future__ import annotations

import asyncio
import logging
import math
import socket
import struct
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from enum import Enum, auto
from http import HTTPStatus
from typing import cast

from roadworthy.core.errors import RequestError, Unavailable
from roadworthy.serving.protocols.messages import Reply, Request, ServerFault, TooSlow
from roadworthy.serving.protocols.routes import refusal
from roadworthy.serving.transports.http.app import App
from roadworthy.serving.transports.http.connection_pool import DRAIN_SECONDS, Connections
from roadworthy.serving.transports.http.request_reader import Event, Expected, HeadReceived, RequestReader, RequestReceived

log = logging.getLogger(__name__)

JOINED = 32 * 1024
"""Bytes up to which an answer's body is copied behind its head, for one write."""
PIPELINED = 32
"""Requests that may wait behind the one that is being answered. A client that sends more has to send the rest again."""
SKIPPED = 64 * 1024
"""Bytes of a refused body that are read and dropped, so that the connection can stay open. Before a longer body it is closed."""

STATUS_LINES = {status.value: b"HTTP/1.1 %d %b\r\n" % (status, status.phrase.encode()) for status in HTTPStatus}
CLIENT_GONE = Reply(499, b"")
"""Counted for a request whose client did not wait for the answer."""

_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER with a time of 0: closing sends a reset, and the system forgets what it has not sent."""


class ConnectionState(Enum):
    """What a connection waits for."""

    IDLE = auto()
    """A request."""
    HEAD = auto()
    """The rest of a head."""
    BODY = auto()
    """The rest of a body."""
    ANSWERING = auto()
    """The answer to a request."""
    CLOSING = auto()
    """That the client has taken the last answer."""


class Connection(asyncio.BufferedProtocol):
    """One client. Its requests are answered one after the other; what came with one is parsed, and no more is read until it is answered."""

    def __init__(self, app: App, connections: Connections) -> None:
        self._app, self._connections, self._limits = app, connections, connections.limits
        self._loop = asyncio.get_running_loop()
        self._reader = RequestReader(connections.limits, connections.memory)
        self.state = ConnectionState.IDLE
        self.deadline = self.stalled = math.inf
        """When ``state`` has lasted too long, and when the client should have taken its answer, by the loop's clock."""
        self._task: asyncio.Task[None] | None = None
        self._queue: deque[tuple[Request, bool]] = deque()
        self._unparsed = b""
        """What came while a request was being answered."""
        self._input_left = self._lost = False
        """Whether the client may still be sending what nothing reads, and whether it is gone."""

    @property
    def idle(self) -> bool:
        """Whether no request is on its way in or being answered."""
        return self.state is ConnectionState.IDLE

    @property
    def _busy(self) -> bool:
        return self._task is not None or self.stalled != math.inf

    # The event loop's callbacks

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Refuse a connection above the limit; at twice the limit without an answer."""
        self._transport = cast(asyncio.Transport, transport)
        address = transport.get_extra_info("peername")
        self._reader.peer = "{}:{}".format(*address) if isinstance(address, tuple) else ""
        self._connections.add(self)
        self._wait(ConnectionState.IDLE, self._limits.idle_seconds)
        excess = len(self._connections) - self._limits.connections
        if excess > self._limits.connections:
            self.abort()
        elif excess > 0:
            problem = Unavailable(f"{self._limits.connections} connections are open already, which is this server's limit")
            self._reject(None, problem)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the next bytes go."""
        return self._reader.room() if self._reader.in_long_body else self._connections.scratch

    def buffer_updated(self, count: int) -> None:
        """They are there: they are parsed, unless a request is being answered."""
        if self._reader.in_long_body:
            self._handle(self._reader.received(count))
            self._watch_progress()
        elif self._reader.finished:
            return
        elif self._busy:
            self._unparsed += self._connections.scratch[:count]
            self._transport.pause_reading()
        else:
            self._parse(self._connections.scratch[:count])

    def eof_received(self) -> None:
        """The client sends no more and takes no answer; asyncio closes the connection."""

    def connection_lost(self, problem: Exception | None) -> None:
        """The client is gone: what it asked for shall not run."""
        self._lost = True
        self._connections.remove(self)
        self._reader.close()
        self._queue.clear()
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

    def _parse(self, data: bytes | memoryview) -> None:
        try:
            self._handle(self._reader.receive(data))
        except Exception:
            self._failed()
        else:
            self._watch_progress()

    def _handle(self, events: Sequence[Event]) -> None:
        for event in events:
            if self.state is ConnectionState.CLOSING or self._input_left:
                return
            if isinstance(event, RequestReceived):
                self._take(event.request, event.keep_alive)
            elif isinstance(event, HeadReceived):
                self._admit(event)
            else:
                self._reject(event.request, event.problem)

    def _admit(self, head: HeadReceived) -> None:
        """Refuse the request by its head, or let the client send the body that it asked about."""
        request = head.request
        self._app.admit(request)
        if request.reply is not None:
            if head.body_length is None or head.body_length > (0 if head.expects_continue else SKIPPED):
                self._drop_input(request)
            else:
                self._reader.skip_body(request)
        elif head.expects_continue and not self._busy:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _reject(self, request: Request | None, problem: RequestError) -> None:
        """Answer what is coming in, a request or not, with a refusal, and read no more."""
        request = request or self._app.unknown_request(self._reader.peer)
        request.reply = refusal(request, problem)
        self._drop_input(request)

    def _drop_input(self, request: Request) -> None:
        """Answer ``request``, which is refused, and read no more."""
        self._reader.stop()
        self._input_left = True
        self._take(request, False)

    def _watch_progress(self) -> None:
        """Set the deadline of a request that has begun to come. It does not start again with every byte."""
        if self._busy:
            return
        match self._reader.expected:
            case Expected.HEAD if self.state is not ConnectionState.HEAD:
                self._wait(ConnectionState.HEAD, self._limits.head_seconds)
            case Expected.BODY if self.state is not ConnectionState.BODY:
                self._wait(ConnectionState.BODY, self._limits.body_seconds)
                self._reader.begin_long_body()

    def _wait(self, state: ConnectionState, seconds: float) -> None:
        self.state = state
        if state is ConnectionState.IDLE and self._connections.draining:
            seconds = min(seconds, DRAIN_SECONDS)
        self.deadline = self._loop.time() + seconds

    # One request after the other

    def _take(self, request: Request, keep_alive: bool) -> None:
        """Answer a request that is whole or refused once those before it are answered."""
        request.begun = time.perf_counter()
        if not self._busy and not self._queue:
            self._start(request, keep_alive)
            return
        if len(self._queue) >= PIPELINED:
            self._reader.stop()
            self._input_left, keep_alive = True, False
        self._queue.append((request, keep_alive))

    def _start(self, request: Request, keep_alive: bool) -> None:
        if request.reply is not None:
            self._write(request, request.reply, keep_alive)
            return
        self.state, self.deadline = ConnectionState.ANSWERING, math.inf
        self._task = self._loop.create_task(self._answer(request, keep_alive))

    async def _answer(self, request: Request, keep_alive: bool) -> None:
        try:
            reply = await self._app.answer(request)
        except asyncio.CancelledError:
            if self._lost:
                self._app.answered(request, CLIENT_GONE)
                raise
            reply = refusal(request, ServerFault("the server gave up on this request"))
        self._task = None
        try:
            self._write(request, reply, keep_alive)
        except Exception:
            self._failed()
        else:
            self._next()

    def _write(self, request: Request, reply: Reply, keep_alive: bool) -> None:
        """Write the whole answer, and wait for the next request or close."""
        close = not keep_alive or self._connections.draining or self._app.plane.draining
        stays = b"connection: close\r\n" if close else b"connection: keep-alive\r\n" if b"connection" in request.headers else b""
        status = STATUS_LINES.get(reply.status) or b"HTTP/1.1 %d \r\n" % reply.status
        head = b"%bdate: %b\r\n%b%b\r\n" % (status, self._connections.date, stays, self._app.head(request, reply))
        if request.method == "HEAD" or not reply.body:
            self._transport.write(head)
        elif len(reply.body) <= JOINED:
            self._transport.write(head + reply.body)
        else:
            self._transport.writelines((head, reply.body))
        self._app.answered(request, reply)
        self._reader.release()
        if close:
            self._close()
        else:
            self._wait(ConnectionState.IDLE, self._limits.idle_seconds)

    def _next(self) -> None:
        """Go on with what came behind the request that is answered."""
        while self._queue and not self._busy and self.state is not ConnectionState.CLOSING:
            self._start(*self._queue.popleft())
        if self._unparsed and not self._busy and not self._reader.finished and not self._transport.is_closing():
            unparsed, self._unparsed = self._unparsed, b""
            self._transport.resume_reading()
            self._parse(unparsed)
        else:
            self._watch_progress()

    # The end

    def expire(self) -> None:
        """A deadline is over. A client in the middle of a request gets an answer, a silent one does not."""
        match self.state:
            case ConnectionState.CLOSING:
                self.abort()
            case ConnectionState.HEAD:
                self._reject(None, TooSlow(f"the request line and headers did not arrive within {self._limits.head_seconds:g} s"))
            case ConnectionState.BODY:
                self._reject(self._reader.request, TooSlow(f"the body did not arrive within {self._limits.body_seconds:g} s"))
            case _ if self._transport.get_write_buffer_size():
                self.abort()
            case _:
                self._transport.close()

    def abort(self) -> None:
        """Close at once, with a reset: otherwise the system would go on sending to a client that does not read."""
        if (connection := self._transport.get_extra_info("socket")) is not None:
            with suppress(OSError):  # closed already
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._transport.abort()

    def _failed(self) -> None:
        """A fault of this server after which no answer can be given."""
        log.exception("a connection failed")
        self.abort()

    def _close(self) -> None:
        """Close when all is sent. Where more may be on its way in it is read and dropped: closing before that would reset the
        connection, and the client would lose the answer."""
        self._reader.stop()
        self._queue.clear()
        if not (self._input_left or self._unparsed) or self._transport.is_closing():
            self._wait(ConnectionState.CLOSING, self._limits.send_seconds)
            self._transport.close()
            return
        self._wait(ConnectionState.CLOSING, self._limits.body_seconds)
        if self._unparsed:
            self._unparsed = b""
            self._transport.resume_reading()
        if self._transport.can_write_eof():
            self._transport.write_eof()

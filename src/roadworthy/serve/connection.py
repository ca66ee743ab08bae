"""One HTTP/1.1 connection, from bytes to answers in order.

What is no HTTP is for the parser (llhttp, strict) to find: two lengths, a length beside chunks, broken chunks, line ends of
other kinds. What takes too long or is too large is for this module. See docs/decisions/0010 for why it is our own.
"""

from __future__ import annotations

import asyncio
import logging
import math
import re
import socket
import struct
import time
from collections import deque
from contextlib import suppress
from http import HTTPStatus
from typing import Any, cast
from urllib.parse import unquote

import httptools

from roadworthy.core.errors import InvalidRequest, RequestError, TooLarge, Unavailable
from roadworthy.serve.connections import PARTING, Connections
from roadworthy.serve.http import App, Request, ServerFault, refusal
from roadworthy.serve.limits import Limits
from roadworthy.serve.long_body import LEAST, LongBody
from roadworthy.serve.protocols import Reply, TooSlow

log = logging.getLogger(__name__)

IDLE, HEAD, BODY, WORKING, LEAVING = range(5)
"""What a connection waits for: a request, the rest of its head, the rest of its body, its answer, the other side to be done."""

SWALLOWED = 64 * 1024
"""Bytes of a refused body that are read and dropped, so that the connection can stay; before a longer one it is closed."""
JOINED = 32 * 1024
"""Bytes up to which an answer's body is copied behind its head, for one write."""
PIPELINED = 32
"""Requests that may stand ready behind the one in hand; whoever sends more at once has to send the rest again."""

STATUS = {status.value: b"HTTP/1.1 %d %b\r\n" % (status, status.phrase.encode()) for status in HTTPStatus}
ABSOLUTE = re.compile(rb"^[a-zA-Z][a-zA-Z0-9+.-]*://[^/?]*/?")
"""Scheme and host of a request's target, as a proxy gets it."""
_AT_ONCE = struct.pack("ii", 1, 0)
GONE = Reply(499, b"")
"""Counted for a request whose client did not wait for the answer."""


class HeadTooLarge(RequestError):
    """The request line and headers are above the limit."""

    status = 431


class Connection(asyncio.BufferedProtocol):
    """One client. Requests are answered one after the other, as they came; no more is read than the one in hand and what came with it."""

    def __init__(self, app: App, connections: Connections) -> None:
        self._app, self._connections, self._limits = app, connections, connections.limits
        self._loop = asyncio.get_running_loop()
        self._parser: Any = httptools.HttpRequestParser(self)
        self._peer = ""
        self.phase = IDLE
        self.deadline = self.stalled = math.inf
        """When ``phase`` has lasted too long, and when the client should have taken its answer, by the loop's clock."""
        self._task: asyncio.Task[None] | None = None
        self._ready: deque[tuple[Request, bytes, bool]] = deque()
        self._ahead = b""
        """Read, but not looked at before what is in hand is answered."""
        self._deaf = self._rude = self._lost = False
        """Whether what still comes is dropped; whether there may be such; whether nobody is there any more."""
        self._inside = False
        self._fed = self._size = 0
        """Bytes that brought neither a head to its end nor more of a body; bytes of the body so far."""
        self._url = b""
        self._headers: dict[bytes, bytes] = {}
        self._request: Request | None = None
        self._pieces: list[bytes] = []
        self._long: LongBody | None = None
        self._held = 0
        """Bytes of its bodies that count as held."""

    # What the event loop says

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client is there; one too many is told so and shown out."""
        self._transport = cast(asyncio.Transport, transport)
        address = transport.get_extra_info("peername")
        self._peer = "{}:{}".format(*address) if isinstance(address, tuple) else ""
        self._connections.add(self)
        self._wait(IDLE, self._limits.idle_seconds)
        crowd = len(self._connections) - self._limits.connections
        if crowd > self._limits.connections:
            self.abort()
        elif crowd > 0:
            self._turn_away(Unavailable(f"{self._limits.connections} connections are open already, which is this server's limit"))

    @property
    def idle(self) -> bool:
        """Whether no request is on its way in or in hand."""
        return self.phase == IDLE

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the next bytes go."""
        return self._connections.scratch if self._long is None else self._long.room()

    def buffer_updated(self, count: int) -> None:
        """They are there: looked at, unless a request is in hand."""
        if self._long is not None:
            self._lengthen(self._long, count)
            return
        if self._deaf:
            return
        data = self._connections.scratch[:count]
        if self._task is not None or self.stalled != math.inf:
            self._ahead += data
            self._transport.pause_reading()
            return
        self._feed(data)

    def eof_received(self) -> None:
        """The client is done, and so is whatever it waited for: closing follows by itself."""

    def connection_lost(self, problem: Exception | None) -> None:
        """Nobody waits any more: queued work shall not run."""
        self._lost = self._deaf = True
        self._connections.remove(self)
        self._let_go()
        self._ready.clear()
        self._parser = self._long = None
        if self._task is not None:
            self._task.cancel()

    def pause_writing(self) -> None:
        """The client reads more slowly than it is written to."""
        self.stalled = self._loop.time() + self._limits.send_seconds

    def resume_writing(self) -> None:
        """It has caught up."""
        self.stalled = math.inf
        self._next()

    # What the parser says

    def on_message_begin(self) -> None:
        self._inside = True

    def on_url(self, url: bytes) -> None:
        if self._request is None:
            self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._request is not None:
            return  # a trailer, which nobody asks for
        name = name.lower()
        if name in self._headers:
            value = self._headers[name] + b", " + value
        self._headers[name] = value

    def on_headers_complete(self) -> None:
        if self._deaf or self._request is not None:
            return
        url, headers = self._url, self._headers
        self._url, self._headers = b"", {}
        if (
            self._fed > self._limits.head
            and len(url) + sum(len(name) + len(value) + 4 for name, value in headers.items()) > self._limits.head
        ):
            self._turn_away(_too_large(self._limits))
            return
        self._fed = self._size = 0
        host = headers.get(b"host")
        if b"," in host if host is not None else self._parser.get_http_version() == "1.1":
            self._turn_away(InvalidRequest("a request of HTTP/1.1 has one Host header"))
            return
        path, query = _parts(url)
        request = Request(self._parser.get_method().decode(), path, query, headers, self._peer)
        self._app.admit(request)
        chunked = headers.get(b"transfer-encoding")
        if chunked is not None and chunked.lower() != b"chunked":
            request.reply = refusal(request, InvalidRequest("the only Transfer-Encoding that is read here is chunked"))
        expects = b"expect" in headers and headers[b"expect"].lower() == b"100-continue"
        self._request = request
        if request.reply is not None:
            if chunked is not None or int(headers.get(b"content-length", b"0")) > (0 if expects else SWALLOWED):
                self._close_with(request.reply)
        elif expects and self._task is None:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, data: bytes) -> None:
        request = self._request
        if request is None or request.reply is not None:
            return
        self._size += len(data)
        if self._size > self._limits.body:
            problem = TooLarge(f"the body has more than {self._limits.body} bytes, which is this server's limit")
            self._close_with(refusal(request, problem))
        elif self._holds(len(data)):
            self._pieces.append(data)

    def on_message_complete(self) -> None:
        request = self._request
        if request is None:
            return
        if b"upgrade" in request.headers and self._parser.should_upgrade() and _has_body(request):
            return  # the parser takes the body for another protocol's; see _feed
        pieces = self._pieces
        self._complete(request, b"" if not pieces else pieces[0] if len(pieces) == 1 else b"".join(pieces))

    # Long bodies

    def _shorten(self, request: Request) -> None:
        """Leave the parser out where much of a body of known length is to come."""
        length = int(request.headers.get(b"content-length", b"0"))
        if length - self._size >= LEAST and request.reply is None and not self._deaf:
            self._long = LongBody(length, b"".join(self._pieces))
            self._pieces = []

    def _lengthen(self, long: LongBody, count: int) -> None:
        body = long.filled(count)
        if self._holds(count) and body is not None and self._request is not None:
            self._long = None
            request, keeps = self._request, self._parser.should_keep_alive()
            self._parser = httptools.HttpRequestParser(self)
            self._complete(request, cast(bytes, body), keeps)

    def _holds(self, count: int) -> bool:
        """Count them as held; whether there is room, for otherwise the request is refused."""
        self._held += count
        self._connections.held += count
        if self._connections.held <= self._connections.room:
            return True
        assert self._request is not None
        self._close_with(refusal(self._request, Unavailable("the bodies of other requests fill the memory that there is for them")))
        return False

    def _let_go(self) -> None:
        self._connections.held -= self._held
        self._held = 0

    # One request after the other

    def _feed(self, data: bytes | memoryview) -> None:
        size = self._size
        self._fed = self._fed + len(data) if self._inside else len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as stop:
            # Nothing is upgraded to here, but clients ask (Java's, with every first request) and send a body all the same.
            if self._request is not None:
                self._parser.feed_data(b"POST / HTTP/1.1\r\n%b\r\n\r\n" % _framing(self._request))
            if not self._deaf and len(data) > stop.args[0]:
                self._feed(data[stop.args[0] :])
        except httptools.HttpParserCallbackError:
            self._failed()
        except httptools.HttpParserError as problem:
            if not self._deaf:
                self._turn_away(InvalidRequest(f"this is not HTTP/1.1 as it is read here: {problem}"))
        if self._size != size:
            self._fed = 0
        elif self._inside and self._fed > self._limits.head and not self._deaf:
            self._turn_away(_too_large(self._limits))
        self._settle()

    def _complete(self, request: Request, body: bytes, keeps: bool | None = None) -> None:
        """The last byte is there."""
        self._request, self._inside = None, False
        self._pieces = []
        request.begun = time.perf_counter()
        keep = (self._parser.should_keep_alive() if keeps is None else keeps) and len(self._ready) < PIPELINED
        self._deaf = not keep
        self._take(request, body, keep)

    def _take(self, request: Request, body: bytes, keep: bool) -> None:
        """A request is whole, or refused: its turn comes when those before it are answered."""
        if self._busy or self._ready:
            self._ready.append((request, body, keep))
        else:
            self._start(request, body, keep)

    @property
    def _busy(self) -> bool:
        return self._task is not None or self.stalled != math.inf

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
        self._let_go()
        if close:
            self._leave()
        else:
            self._wait(IDLE, self._limits.idle_seconds)

    def _next(self) -> None:
        """What came behind the request that is answered."""
        if self._transport.is_closing():
            return
        while self._ready and not self._busy and self.phase != LEAVING:
            self._start(*self._ready.popleft())
        if self._ahead and not self._busy and not self._deaf:
            ahead, self._ahead = self._ahead, b""
            self._transport.resume_reading()
            self._feed(ahead)
        else:
            self._settle()

    def _settle(self) -> None:
        """Wait for the rest of what has begun to come; its time does not start again with every byte."""
        if self._busy or self._deaf or not self._inside:
            return
        if self._request is None:
            if self.phase != HEAD:
                self._wait(HEAD, self._limits.head_seconds)
        elif self.phase != BODY:
            self._wait(BODY, self._limits.body_seconds)
            self._shorten(self._request)

    def _wait(self, phase: int, seconds: float) -> None:
        self.phase = phase
        self.deadline = self._loop.time() + (min(seconds, PARTING) if phase == IDLE and self._connections.draining else seconds)

    # The end

    def expire(self, now: float) -> None:
        """A deadline is over: whoever was slow is told, whoever is silent is not."""
        if now >= self.stalled or self.phase == LEAVING:
            self.abort()
        elif self.phase == HEAD:
            self._turn_away(TooSlow(f"the request line and headers did not arrive within {self._limits.head_seconds:g} s"))
        elif self.phase == BODY and self._request is not None:
            problem = TooSlow(f"the body did not arrive within {self._limits.body_seconds:g} s")
            self._close_with(refusal(self._request, problem))
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
        """Our own fault, and too late or too early for an answer."""
        log.exception("a connection failed")
        self.abort()

    def _turn_away(self, problem: RequestError) -> None:
        """Answer what is no request, or not whole, and hear no more."""
        self._request = self._app.stray(self._peer)
        self._close_with(refusal(self._request, problem))

    def _close_with(self, reply: Reply) -> None:
        """Refuse the request that is coming in, and hear no more."""
        request, self._request, self._pieces, self._long = self._request, None, [], None
        assert request is not None
        request.reply = reply
        self._deaf = self._rude = True
        self._take(request, b"", False)

    def _leave(self) -> None:
        """Close when all is sent. Where more may be on its way it is read and dropped: closing on it would reset the
        connection, and the client lose the answer."""
        self._deaf = True
        self._ready.clear()
        if self._transport.is_closing():
            return
        if not self._rude:
            self._wait(LEAVING, self._limits.send_seconds)
            self._transport.close()
            return
        self._wait(LEAVING, self._limits.body_seconds)
        if self._ahead:
            self._ahead = b""
            self._transport.resume_reading()
        if self._transport.can_write_eof():
            self._transport.write_eof()


def _parts(url: bytes) -> tuple[str, str]:
    """Path, unquoted, and query, as it came; of a target in absolute form without its scheme and host."""
    url = url.partition(b"#")[0]
    if not url.startswith(b"/"):
        url = ABSOLUTE.sub(b"/", url)
    path, _, query = url.partition(b"?")
    text = path.decode("latin-1")
    return (unquote(text) if "%" in text else text), query.decode("latin-1")


def _has_body(request: Request) -> bool:
    return b"transfer-encoding" in request.headers or request.headers.get(b"content-length", b"0") != b"0"


def _framing(request: Request) -> bytes:
    length = request.headers.get(b"content-length")
    return b"transfer-encoding: chunked" if length is None else b"content-length: " + length


def _too_large(limits: Limits) -> HeadTooLarge:
    return HeadTooLarge(f"the request line and headers are larger than this server's limit of {limits.head} bytes")

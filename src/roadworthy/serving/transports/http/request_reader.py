r"""The sans-IO request reader: the bytes of one connection in, events out. It knows no socket, no event loop and no clock.

The parser (llhttp, strict) finds what is not HTTP: two lengths, a length beside chunks, broken chunks, line ends of other kinds. The
reader finds what is too large. What is too slow is the connection's to find.

However the bytes of a connection are cut into pieces, the events are the same. ``POST /a`` with a body, and half of another request::

    reader.receive(b"POST /a HTTP/1.1\r\nhost: h\r\ncontent-length: 5\r\n\r\nhe")   # [HeadReceived(...)]
    reader.receive(b"lloGET /b HTT")                                               # [RequestReceived(...)]
    reader.expected                                                                # Expected.HEAD
"""

from __future__ import annotations

import re
from enum import Enum, auto
from typing import Any, NamedTuple, cast
from urllib.parse import unquote

import httptools

from roadworthy.core.errors import InvalidRequest, RequestError, TooLarge, Unavailable
from roadworthy.serving.limits import ServerLimits
from roadworthy.serving.protocols.messages import Request
from roadworthy.serving.transports.http.long_body import LEAST, LongBody

ABSOLUTE = re.compile(rb"^[a-zA-Z][a-zA-Z0-9+.-]*://([^/?#]*)/?")
"""Scheme and host of a request's target in absolute form, as a proxy gets it."""


class HeadTooLarge(RequestError):
    """The request line and headers are above the limit."""

    status = 431


class Expected(Enum):
    """What comes next: a new request, the rest of a head, or the rest of a body."""

    REQUEST = auto()
    HEAD = auto()
    BODY = auto()


class HeadReceived(NamedTuple):
    """The head of a request is there; ``body_length`` is ``None`` where the body comes in chunks."""

    request: Request
    body_length: int | None
    expects_continue: bool


class RequestReceived(NamedTuple):
    """The request is whole. Without ``keep_alive`` it is the connection's last."""

    request: Request
    keep_alive: bool


class RequestRejected(NamedTuple):
    """What came is not a request, or too large. ``request`` is the one whose body it was in, if any. Nothing more is read."""

    request: Request | None
    problem: RequestError


Event = HeadReceived | RequestReceived | RequestRejected


class BodyMemory:
    """The bytes of bodies that all connections of a worker hold, incomplete ones included, and how many there may be."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.held = 0


class RequestReader:
    """The requests of one connection. The methods with ``on_`` are the parser's callbacks."""

    def __init__(self, limits: ServerLimits, memory: BodyMemory) -> None:
        self._limits, self._memory = limits, memory
        self._parser: Any = httptools.HttpRequestParser(self)
        self.peer = ""
        self.request: Request | None = None
        """The request whose head is there and whose body is not."""
        self.finished = False
        """Whether nothing more is read as a request."""
        self._begun = self._skips_body = False
        self._events: list[Event] = []
        self._long: LongBody | None = None
        self._url = b""
        self._headers: dict[bytes, bytes] = {}
        self._pieces: list[bytes] = []
        self._unproductive = self._size = self._held = 0
        """Bytes that neither ended a head nor added to a body; bytes of this body; bytes counted in the memory."""

    @property
    def expected(self) -> Expected:
        """What comes next."""
        if self.request is not None:
            return Expected.BODY
        return Expected.HEAD if self._begun else Expected.REQUEST

    def receive(self, data: bytes | memoryview) -> list[Event]:
        """The events of the next bytes. Whatever the bytes are, they end in requests or in a rejection."""
        if self.finished:
            return []
        size = self._size
        self._unproductive = self._unproductive + len(data) if self._begun else len(data)
        rest: bytes | memoryview = b""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as stop:
            rest = data[stop.args[0] :]
            # Upgrades are not offered. Some clients ask for one (Java's with every first request) and then send a plain body.
            if self.request is not None:
                self._parser.feed_data(b"POST / HTTP/1.1\r\n%b\r\n\r\n" % _framing(self.request))
        except httptools.HttpParserCallbackError:
            raise
        except httptools.HttpParserError as problem:
            self._reject(InvalidRequest(f"this is not valid HTTP/1.1: {problem}"))
        if self._size != size:
            self._unproductive = 0
        elif self._begun and self._unproductive > self._limits.head:
            self._reject(self._head_too_large())
        events, self._events = self._events, []
        return events + self.receive(rest) if len(rest) else events

    def skip_body(self, request: Request) -> None:
        """Read the rest of the body of ``request`` without keeping it."""
        if request is self.request:
            self._skips_body = True
            self._pieces = []

    def stop(self) -> None:
        """Read nothing more as a request."""
        self.finished = True
        self._clear()

    def release(self) -> None:
        """The bodies so far are no longer held."""
        self._memory.held -= self._held
        self._held = 0

    def close(self) -> None:
        """The connection ended."""
        self.stop()
        self.release()
        self._parser = None

    # Long bodies

    def begin_long_body(self) -> None:
        """Let the rest of the body come by ``room`` and ``received`` instead of ``receive``, where its length is known and long."""
        request = self.request
        if request is None or self._skips_body or self._long is not None:
            return
        length = int(request.headers.get(b"content-length", b"0"))
        if length - self._size >= LEAST:
            self._long = LongBody(length, b"".join(self._pieces))
            self._pieces = []

    @property
    def in_long_body(self) -> bool:
        """Whether the next bytes are for ``room`` and ``received``."""
        return self._long is not None

    def room(self) -> memoryview:
        """Where the next bytes of a long body go. The memory may move: use it before the next call, and do not keep it."""
        assert self._long is not None
        return self._long.room()

    def received(self, count: int) -> list[Event]:
        """The events of the next ``count`` bytes, which are in ``room``."""
        assert self._long is not None and self.request is not None
        body = self._long.filled(count)
        if self._hold(count) and body is not None:
            keep_alive = self._parser.should_keep_alive()
            # The old parser still waits for the body, which it did not see.
            self._parser = httptools.HttpRequestParser(self)
            self._complete(self.request, cast(bytes, body), keep_alive)
        events, self._events = self._events, []
        return events

    # The parser's callbacks

    def on_message_begin(self) -> None:
        self._begun = True

    def on_url(self, url: bytes) -> None:
        if self.request is None:
            self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.request is not None:
            return  # a trailer, which nothing here uses
        name = name.lower()
        if name in self._headers:
            value = self._headers[name] + b", " + value
        self._headers[name] = value

    def on_headers_complete(self) -> None:
        if self.finished or self.request is not None:
            return
        url, headers = self._url, self._headers
        self._url, self._headers = b"", {}
        if self._unproductive > self._limits.head and _head_size(url, headers) > self._limits.head:
            self._reject(self._head_too_large())
            return
        self._unproductive = self._size = 0
        host = headers.get(b"host")
        if b"," in host if host is not None else self._parser.get_http_version() == "1.1":
            self._reject(InvalidRequest("a request of HTTP/1.1 needs exactly one Host header"))
            return
        if (absolute := ABSOLUTE.match(url)) and absolute[1]:
            # The target's host counts, and not the header's (RFC 9112, 3.2.2).
            headers[b"host"] = absolute[1].rpartition(b"@")[2]
        path, query = _parts(url)
        self.request = request = Request(self._parser.get_method().decode(), path, query, headers, peer=self.peer)
        coding = headers.get(b"transfer-encoding")
        length = None if coding is not None else int(headers.get(b"content-length", b"0"))
        supported = coding is None or coding.lower() == b"chunked"
        expects = supported and b"expect" in headers and headers[b"expect"].lower() == b"100-continue"
        self._events.append(HeadReceived(request, length, expects))
        if not supported:
            self._reject(InvalidRequest("the only Transfer-Encoding that this server reads is chunked"))

    def on_body(self, data: bytes) -> None:
        if self.request is None:
            return
        self._size += len(data)
        if self._skips_body:
            return
        if self._size > self._limits.body:
            self._reject(TooLarge(f"the body has more than {self._limits.body} bytes, which is this server's limit"))
        elif self._hold(len(data)):
            self._pieces.append(data)

    def on_message_complete(self) -> None:
        request = self.request
        if request is None:
            return
        if b"upgrade" in request.headers and self._parser.should_upgrade() and _has_body(request):
            return  # the parser takes the body for another protocol's; see receive
        pieces = self._pieces
        body = b"" if not pieces else pieces[0] if len(pieces) == 1 else b"".join(pieces)
        self._complete(request, body, self._parser.should_keep_alive())

    # What they lead to

    def _complete(self, request: Request, body: bytes, keep_alive: bool) -> None:
        request.body = body
        self._clear()
        self.finished = not keep_alive
        self._events.append(RequestReceived(request, keep_alive))

    def _reject(self, problem: RequestError) -> None:
        if not self.finished:
            self._events.append(RequestRejected(self.request, problem))
            self.stop()

    def _hold(self, count: int) -> bool:
        """Count bytes as held in memory; without room for them the request is rejected."""
        self._held += count
        self._memory.held += count
        if self._memory.held <= self._memory.room:
            return True
        self._reject(Unavailable("the bodies of other requests fill the memory that this server has for them"))
        return False

    def _clear(self) -> None:
        self.request = self._long = None
        self._begun = self._skips_body = False
        self._pieces = []

    def _head_too_large(self) -> HeadTooLarge:
        return HeadTooLarge(f"the request line and headers are larger than this server's limit of {self._limits.head} bytes")


def _head_size(url: bytes, headers: dict[bytes, bytes]) -> int:
    return len(url) + sum(len(name) + len(value) + 4 for name, value in headers.items())


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

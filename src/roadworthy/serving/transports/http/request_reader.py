"""From a connection's bytes to requests: the head, whether it is admitted, the body, each within its limits.

What is no HTTP is for the parser (llhttp, strict) to find: two lengths, a length beside chunks, broken chunks, line ends of
other kinds. What is too large is for this module, what is too slow for the connection.
"""

from __future__ import annotations

import re
from typing import Any, Protocol, cast
from urllib.parse import unquote

import httptools

from roadworthy.core.errors import InvalidRequest, RequestError, TooLarge, Unavailable
from roadworthy.serving.transports.http.app import App, Request, refusal
from roadworthy.serving.transports.http.connection_pool import Connections
from roadworthy.serving.transports.http.long_body import LEAST, LongBody

SWALLOWED = 64 * 1024
"""Bytes of a refused body that are read and dropped, so that the connection can stay; before a longer one it is closed."""
ABSOLUTE = re.compile(rb"^[a-zA-Z][a-zA-Z0-9+.-]*://([^/?#]*)/?")
"""Scheme and host of a request's target, as a proxy gets it."""


class HeadTooLarge(RequestError):
    """The request line and headers are above the limit."""

    status = 431


class Turns(Protocol):
    """Whom the requests go to, as they become whole."""

    def take(self, request: Request, body: bytes, keep: bool) -> None:
        """A request is whole, or (with a ``reply``) refused; without ``keep`` it is the connection's last."""

    def go_on(self) -> None:
        """The client waits for leave to send its body."""


class Reading:
    """What has come of one request after the other, and what became of it. The methods with ``on_`` are the parser's to call."""

    def __init__(self, app: App, connections: Connections, turns: Turns) -> None:
        self._app, self._connections, self._limits, self._turns = app, connections, connections.limits, turns
        self._parser: Any = httptools.HttpRequestParser(self)
        self.peer = ""
        self.begun = False
        """Whether a request has begun to come in."""
        self.request: Request | None = None
        """The one whose head is there, while its body is not."""
        self.over = self.cut_short = False
        """Whether nothing more is read as a request, and whether that was in the middle of one."""
        self.long: LongBody | None = None
        self._url = b""
        self._headers: dict[bytes, bytes] = {}
        self._pieces: list[bytes] = []
        self._fed = self._size = self._held = 0
        """Bytes that brought neither a head to its end nor more of a body; bytes of this body; bytes that count as held."""

    def feed(self, data: bytes | memoryview) -> None:
        """Read on. Whatever the bytes are, they end in requests or in a refusal."""
        size = self._size
        self._fed = self._fed + len(data) if self.begun else len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as stop:
            # Nothing is upgraded to here, but clients ask (Java's, with every first request) and send a body all the same.
            if self.request is not None:
                self._parser.feed_data(b"POST / HTTP/1.1\r\n%b\r\n\r\n" % _framing(self.request))
            if not self.over and len(data) > stop.args[0]:
                self.feed(data[stop.args[0] :])
        except httptools.HttpParserCallbackError:
            raise
        except httptools.HttpParserError as problem:
            self.refuse(InvalidRequest(f"this is not HTTP/1.1 as it is read here: {problem}"))
        if self._size != size:
            self._fed = 0
        elif self.begun and self._fed > self._limits.head:
            self.refuse(self._too_large())

    def refuse(self, problem: RequestError) -> None:
        """Answer what is coming in, whole or not, with a refusal, and hear no more."""
        if not self.over:
            request = self.request or self._app.stray(self.peer)
            request.reply = refusal(request, problem)
            self._drop(request)

    def end(self) -> None:
        """Nobody sends any more."""
        self.over = True
        self.let_go()
        self._parser = self.long = None

    def let_go(self) -> None:
        """The bodies that came so far are held no longer."""
        self._connections.held -= self._held
        self._held = 0

    # What the parser says

    def on_message_begin(self) -> None:
        self.begun = True

    def on_url(self, url: bytes) -> None:
        if self.request is None:
            self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.request is not None:
            return  # a trailer, which nobody asks for
        name = name.lower()
        if name in self._headers:
            value = self._headers[name] + b", " + value
        self._headers[name] = value

    def on_headers_complete(self) -> None:
        if self.over or self.request is not None:
            return
        url, headers = self._url, self._headers
        self._url, self._headers = b"", {}
        if self._fed > self._limits.head and _head_size(url, headers) > self._limits.head:
            self.refuse(self._too_large())
            return
        self._fed = self._size = 0
        host = headers.get(b"host")
        if b"," in host if host is not None else self._parser.get_http_version() == "1.1":
            self.refuse(InvalidRequest("a request of HTTP/1.1 has one Host header"))
            return
        if (absolute := ABSOLUTE.match(url)) and absolute[1]:
            # This is the host that is asked, and not what the header says (RFC 9112, 3.2.2).
            headers[b"host"] = absolute[1].rpartition(b"@")[2]
        path, query = _parts(url)
        self.request = request = Request(self._parser.get_method().decode(), path, query, headers, self.peer)
        self._app.admit(request)
        chunked = headers.get(b"transfer-encoding")
        if chunked is not None and chunked.lower() != b"chunked":
            self.refuse(InvalidRequest("the only Transfer-Encoding that is read here is chunked"))
            return
        expects = b"expect" in headers and headers[b"expect"].lower() == b"100-continue"
        if request.reply is not None:
            if chunked is not None or int(headers.get(b"content-length", b"0")) > (0 if expects else SWALLOWED):
                self._drop(request)
        elif expects:
            self._turns.go_on()

    def on_body(self, data: bytes) -> None:
        request = self.request
        if request is None or request.reply is not None:
            return
        self._size += len(data)
        if self._size > self._limits.body:
            self.refuse(TooLarge(f"the body has more than {self._limits.body} bytes, which is this server's limit"))
        elif self._holds(len(data)):
            self._pieces.append(data)

    def on_message_complete(self) -> None:
        request = self.request
        if request is None:
            return
        if b"upgrade" in request.headers and self._parser.should_upgrade() and _has_body(request):
            return  # the parser takes the body for another protocol's; see feed
        pieces = self._pieces
        self._whole(request, b"" if not pieces else pieces[0] if len(pieces) == 1 else b"".join(pieces), self._parser.should_keep_alive())

    # Long bodies

    def shorten(self) -> None:
        """Leave the parser out where much of a body of known length is still to come."""
        request = self.request
        if request is None or request.reply is not None:
            return
        length = int(request.headers.get(b"content-length", b"0"))
        if length - self._size >= LEAST:
            self.long = LongBody(length, b"".join(self._pieces))
            self._pieces = []

    def lengthen(self, count: int) -> None:
        """So many bytes more are in the long body."""
        assert self.long is not None and self.request is not None
        body = self.long.filled(count)
        if self._holds(count) and body is not None:
            keep = self._parser.should_keep_alive()
            self._parser = httptools.HttpRequestParser(self)
            self._whole(self.request, cast(bytes, body), keep)

    def _holds(self, count: int) -> bool:
        """Whether there is room for them in memory; where there is not, the request is refused."""
        self._held += count
        self._connections.held += count
        if self._connections.held <= self._connections.room:
            return True
        self.refuse(Unavailable("the bodies of other requests fill the memory that there is for them"))
        return False

    # The end of a request

    def _whole(self, request: Request, body: bytes, keep: bool) -> None:
        self._clear()
        self.over = not keep
        self._turns.take(request, body, keep)

    def _drop(self, request: Request) -> None:
        """It is refused, and what still comes of it is not looked at."""
        self._clear()
        self.over = self.cut_short = True
        self._turns.take(request, b"", False)

    def _clear(self) -> None:
        self.request = self.long = None
        self.begun = False
        self._pieces = []

    def _too_large(self) -> HeadTooLarge:
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

"""An HTTP listener in a thread of the test's own process: the server's real connections and App over a protocol made for the test."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import uvloop

from roadworthy.core.errors import InvalidRequest, RequestError, Unavailable
from roadworthy.serving.engine.counters import Counters
from roadworthy.serving.engine.dataplane import DataPlane
from roadworthy.serving.limits import ServerLimits
from roadworthy.serving.observability.exposition import Exposition
from roadworthy.serving.observability.logs import RequestLog
from roadworthy.serving.protocols.messages import RIGHTS, NoSuchPath, Reply, Request, Right
from roadworthy.serving.protocols.routes import HttpProtocol, HttpRoute
from roadworthy.serving.protocols.schemas import PLAIN, TEXT, Schema
from roadworthy.serving.registry.commands import AnyCommand
from roadworthy.serving.transports.http.app import App
from roadworthy.serving.transports.http.auth import NO_TOKENS, Access
from roadworthy.serving.transports.http.browser_origin import rules
from roadworthy.serving.transports.http.connection import Connection
from roadworthy.serving.transports.http.connection_pool import Connections
from support.waiting import HANG_SECONDS


class Rehearsal:
    """A protocol under /t: each path does one thing that a real one may do."""

    name, title, error_schema, ignores_case = "rehearsal", "Rehearsal", "Error", False

    def __init__(self) -> None:
        self.calls: list[Request] = []
        self.started: list[str] = []
        self.finished: list[str] = []
        self.gate = threading.Event()
        self.schemas: dict[str, Schema] = {}
        self.routes = tuple(self._table())

    def _table(self) -> Iterator[HttpRoute]:
        rights: dict[str, Right] = {"health": "open", "manage": "management"}
        for word in ("echo", "health", "manage", "held", "fail", "cancelled", "busy", "wrong", "nothing"):
            for method in ("GET", "POST"):
                yield HttpRoute(method, f"/t/{word}", self.handle, rights.get(word, "inference"), word, {PLAIN: TEXT})
        for word in ("echo", "big", "json", "slow"):
            for method in ("GET", "POST"):
                yield HttpRoute(method, f"/t/{word}/{{rest}}", self.handle, "inference", word, {PLAIN: TEXT})

    async def handle(self, request: Request) -> Reply:
        self.calls.append(request)
        match request.path.split("/")[2:]:
            case ["echo", *_] | ["health"] | ["manage"]:
                request.model = "m"
                return Reply(200, request.body, b"text/plain")
            case ["big", size]:
                return Reply(200, b"x" * int(size), b"application/octet-stream")
            case ["json", size]:
                return Reply(200, b'"' + b"x" * int(size) + b'"')
            case ["slow", seconds]:
                self.started.append(request.query)
                await asyncio.sleep(float(seconds))
                self.finished.append(request.query)
                request.model = "m"
                return Reply(200, request.query.encode(), b"text/plain")
            case ["held"]:
                self.started.append(request.query)
                while not self.gate.is_set():
                    await asyncio.sleep(0.01)
                request.model = "m"
                return Reply(200, request.query.encode(), b"text/plain")
            case ["fail"]:
                raise ZeroDivisionError("on purpose")
            case ["cancelled"]:
                raise asyncio.CancelledError
            case ["busy"]:
                raise Unavailable("too many", after=2.1)
            case ["wrong"]:
                raise InvalidRequest("no")
        return Reply(204, b"")

    def refuse(self, request: Request, problem: RequestError) -> Reply:
        if isinstance(problem, NoSuchPath):
            self.calls.append(request)
        return Reply(problem.status, b'{"rehearsal":"%b"}' % problem.message.encode())


class Listening:
    """``with Listening() as listening``: listens on a free port of loopback until the end of the block."""

    def __init__(
        self,
        *,
        limits: ServerLimits | None = None,
        protocols: Sequence[HttpProtocol] | None = None,
        access: Access = NO_TOKENS,
        rights: frozenset[Right] = RIGHTS,
        cors: Sequence[str] = (),
        hosts: Sequence[str] = ("*",),
        requests: RequestLog | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.protocol = Rehearsal()
        self.limits = limits or ServerLimits()
        self.counters = Counters()
        self._options: dict[str, Any] = {
            "access": access,
            "rights": rights,
            "browser_rules": rules("127.0.0.1", hosts, cors, secure=tls is not None),
            "requests": requests,
        }
        self._protocols = protocols if protocols is not None else (self.protocol,)
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.setblocking(False)
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=lambda: uvloop.run(self._serve()))
        self._up = threading.Event()

    def __enter__(self) -> Listening:
        self._thread.start()
        assert self._up.wait(HANG_SECONDS)
        return self

    def __exit__(self, *_: object) -> None:
        self.loop.call_soon_threadsafe(self._end.set)
        self._thread.join(HANG_SECONDS)
        self._listener.close()

    def call(self, function: Callable[[], Any]) -> Any:
        """What ``function`` returns on the loop's thread, awaited where it is to be."""

        async def there() -> Any:
            result = function()
            return await result if asyncio.iscoroutine(result) else result

        return asyncio.run_coroutine_threadsafe(there(), self.loop).result(HANG_SECONDS)

    def connect(self) -> socket.socket:
        """A client's socket."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=HANG_SECONDS)

    def talk(self, *pieces: bytes, pause: float = 0.0) -> bytes:
        """Send ``pieces``, ``pause`` seconds between, and read until the server closes."""
        with self.connect() as client:
            for piece in pieces:
                try:
                    client.sendall(piece)
                except ConnectionError:
                    break
                time.sleep(pause)
            return everything(client)

    @property
    def url(self) -> str:
        """Its address."""
        return f"http{'s' if self._tls else ''}://127.0.0.1:{self.port}"

    async def _serve(self) -> None:
        self.loop = asyncio.get_running_loop()
        self._end = asyncio.Event()
        self.connections = Connections(self.limits)
        self.plane = DataPlane(limits=self.limits, manage=_unmanaged, totals=self._totals, counters=self.counters)
        self.app = App(self.plane, (*self._protocols, Exposition(self.plane)), **self._options)
        accepting = asyncio.create_task(self._accept())
        self._up.set()
        await self._end.wait()
        accepting.cancel()
        self.connections.abort()
        await asyncio.sleep(0)

    async def _accept(self) -> None:
        async with asyncio.TaskGroup() as connecting:
            while True:
                client, _ = await self.loop.sock_accept(self._listener)
                connecting.create_task(self._connect(client))

    async def _connect(self, client: socket.socket) -> None:
        try:
            await self.loop.connect_accepted_socket(lambda: Connection(self.app, self.connections), client, ssl=self._tls)
        except OSError:
            client.close()

    async def _totals(self) -> Counters:
        return self.counters


async def _unmanaged(command: AnyCommand) -> None:
    raise InvalidRequest("nothing is managed here")


def everything(client: socket.socket) -> bytes:
    """What comes until the other side closes; a reset is a fault."""
    found = b""
    while data := client.recv(1 << 16):
        found += data
    return found

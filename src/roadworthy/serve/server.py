"""The serving process: listens at once, is ready when every bundle has proven itself, drains when told to stop."""

from __future__ import annotations

import asyncio
import errno
import signal
import socket
import sys
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import uvicorn
import uvloop
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

import roadworthy
from roadworthy.core.errors import EnvironmentFault, UsageError
from roadworthy.serve.dataplane import DataPlane
from roadworthy.serve.http import App
from roadworthy.serve.limits import DEFAULT, Limits
from roadworthy.serve.metrics import Metrics
from roadworthy.serve.model import Model
from roadworthy.serve.protocols.oip import OpenInference

PARTING = 0.2
"""Seconds between "not ready" and the closed door, and again before silent connections are cut: clients are told to
leave with every answer, and a request that was on its way when the door closed still gets one."""


def serve(
    bundles: Sequence[Path | str], *, host: str = "127.0.0.1", port: int = 8000, threads: int | None = None, limits: Limits = DEFAULT
) -> None:
    """Serve ``bundles`` until SIGTERM or SIGINT, then answer what was accepted and return. Call it from the main thread.

    Port 0 takes a free one. The server listens and is live at once; once every bundle is intact and gives its
    golden answers it is ready, and prints ``serving NAME at URL`` for each on standard output. Any bundle that
    fails ends the server: BundleError, or BackendMissing when it lacks a package. Raises UsageError for two bundles of
    one name or an address that is taken.
    """
    if not bundles:
        raise UsageError("there is nothing to serve; give at least one bundle")
    with _listen(host, port) as listener, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve([Path(bundle) for bundle in bundles], listener, threads, limits))


async def _serve(bundles: list[Path], listener: socket.socket, threads: int | None, limits: Limits) -> None:
    plane = DataPlane(pending=limits.pending)
    protocols = (OpenInference(plane, roadworthy.__version__),)
    server = _server(App(plane, protocols, Metrics(plane, roadworthy.__version__), limits), limits)
    stop = _stop_signal()
    listening = asyncio.create_task(server.serve(sockets=[listener]))
    with ThreadPoolExecutor(1, thread_name_prefix="opening") as opener:
        opening = asyncio.get_running_loop().run_in_executor(opener, _open, bundles, threads)
        try:
            models = await opening
            plane.open(models)
            if not stop.is_set():
                _announce(models, listener)
            await stop.wait()
            plane.draining = True
            await asyncio.sleep(PARTING)
            server.close_door()
            await asyncio.sleep(PARTING)
        finally:
            server.should_exit = True
            await listening
            plane.close()


def _open(bundles: list[Path], threads: int | None) -> list[Model]:
    """Every bundle opened, or none: a model with lies beside one without would make the server half ready for ever."""
    models: list[Model] = []
    try:
        for bundle in bundles:
            models.append(Model.open(bundle, threads=threads))
            for note in models[-1].notes:
                print(f"{models[-1].name}: {note}", file=sys.stderr)
    except BaseException:
        for model in models:
            model.close()
        raise
    return models


def _announce(models: list[Model], listener: socket.socket) -> None:
    host, port = listener.getsockname()[:2]
    host = f"[{host}]" if ":" in host else host
    for model in models:
        print(f"serving {model.name} at http://{host}:{port}", flush=True)


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listener = socket.socket(family, socket.SOCK_STREAM)
    except (OSError, OverflowError) as problem:
        raise UsageError(f"{host}:{port} is no address to listen at: {problem}") from problem
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except (OSError, OverflowError) as problem:
        listener.close()
        if getattr(problem, "errno", None) == errno.EADDRINUSE:
            raise UsageError(f"port {port} at {host} is taken; choose another, or 0 for a free one") from problem
        raise EnvironmentFault(f"cannot listen at {host}:{port}: {problem}") from problem
    return listener


def _stop_signal() -> asyncio.Event:
    """Set by the first SIGTERM or SIGINT; a second one ends the process at once, as it would have without us."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def heard() -> None:
        stop.set()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, heard)
    return stop


def _server(app: App, limits: Limits) -> _Server:
    class BoundedHead(_BoundedHead):
        head_limit = limits.head

    return _Server(
        uvicorn.Config(
            app,
            http=BoundedHead,
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            log_level="error",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            backlog=1024,
            timeout_graceful_shutdown=limits.drain_seconds,
        )
    )


class _Server(uvicorn.Server):
    """Signals are this module's: readiness has to go before the listening socket does, and a drained server ends well."""

    def close_door(self) -> None:
        """Accept nobody new; whoever is in stays."""
        for door in getattr(self, "servers", ()):
            door.close()

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


class _BoundedHead(HttpToolsProtocol):
    """Refuses a request line and headers above a size, which the parser itself would collect without end."""

    head_limit = 0
    _head = 0
    _in_head = True

    def data_received(self, data: bytes) -> None:
        if self._in_head:
            self._head += len(data)
        super().data_received(data)
        if self._in_head and self._head > self.head_limit and not self.transport.is_closing():
            self.send_400_response("the request line and headers are larger than this server's limit")

    def on_headers_complete(self) -> None:
        self._in_head = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._in_head, self._head = True, 0
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        body = b'{"error":"%s"}' % msg.encode()
        self.transport.write(
            b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%s"
            % (len(body), body)
        )
        self.transport.close()

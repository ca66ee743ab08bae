"""The listening sockets of a server: what is answered at each, and how the supervisor hands a connection to a worker."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from roadworthy.core.errors import BackendMissing, EnvironmentFault, UsageError
from roadworthy.serving.engine.dataplane import DataPlane
from roadworthy.serving.observability.exposition import Exposition
from roadworthy.serving.observability.logs import RequestLog
from roadworthy.serving.protocols import discovery
from roadworthy.serving.protocols.messages import Right
from roadworthy.serving.protocols.openapi.document import OpenApi
from roadworthy.serving.protocols.routes import HttpProtocol
from roadworthy.serving.settings import Settings
from roadworthy.serving.transports.http import auth, browser_origin
from roadworthy.serving.transports.http.app import App
from roadworthy.serving.transports.http.connection import Connection
from roadworthy.serving.transports.http.connection_pool import Connections

if TYPE_CHECKING:
    from roadworthy.serving.observability.traces import Traces

FAREWELL_SECONDS = 1.0
"""So long a client may take to answer our goodbye under TLS; many never do."""


@dataclass(frozen=True)
class Door:
    """One port and the rights of the routes that are answered there."""

    port: int
    rights: frozenset[Right]


def doors(settings: Settings) -> tuple[Door, ...]:
    """The main door first; a right that has a port of its own is not answered at the main one."""
    main: set[Right] = {"open", "inference", "management", "metrics"}
    others: list[Door] = []
    own: tuple[tuple[int | None, Right], ...] = ((settings.management_port, "management"), (settings.metrics_port, "metrics"))
    for port, right in own:
        if port is not None:
            main.discard(right)
            others.append(Door(port, frozenset({"open", right})))
    return Door(settings.port, frozenset(main)), *others


def apps(plane: DataPlane, settings: Settings, grpc_port: int | None, traces: Traces | None = None) -> tuple[App, ...]:
    """What answers at each of ``doors``, in their order; ``grpc_port`` is where gRPC is spoken, for people to read."""
    tokens = auth.read_tokens(Path(settings.tokens)) if settings.tokens else auth.EVERYBODY
    requests = RequestLog() if settings.log_requests else None
    protocols = http_protocols(plane, grpc_port)
    rules = browser_origin.rules(settings.host, settings.allowed_hosts, settings.cors, secure=settings.certificate is not None)
    return tuple(
        App(plane, protocols, rights=door.rights, access=tokens, browser_rules=rules, requests=requests, traces=traces)
        for door in doors(settings)
    )


def http_protocols(plane: DataPlane, grpc_port: int | None = None) -> tuple[HttpProtocol, ...]:
    """Everything that is spoken over HTTP: the protocols, the counters, and the document that describes them all."""
    protocols = (*discovery.http_protocols(plane, grpc_port), Exposition(plane))
    return (*protocols, OpenApi(protocols))


def tracing(settings: Settings) -> Traces | None:
    """What writes a span for every request, where that is asked for; raises BackendMissing without its packages, UsageError as it does."""
    if settings.traces is None:
        return None
    try:
        from roadworthy.serving.observability.traces import Traces
    except ImportError as problem:
        raise BackendMissing(f"traces need OpenTelemetry ({problem}); install it with: pip install 'roadworthy[otel]'") from problem
    return Traces(settings.traces, secure=settings.certificate is not None)


def tls(settings: Settings) -> ssl.SSLContext | None:
    """The TLS of every door, where there is one."""
    if settings.certificate is None:
        # Who names one of these does not mean to speak in the clear.
        if settings.key or settings.client_ca:
            raise UsageError(f"{settings.key or settings.client_ca} needs a certificate to speak TLS with; name it with --tls-certificate")
        return None
    if settings.key is None:
        raise UsageError(f"{settings.certificate} needs its private key to speak TLS; name it with --tls-key")
    authority = Path(settings.client_ca) if settings.client_ca else None
    return auth.tls_context(Path(settings.certificate), Path(settings.key), authority)


class TlsOptions(TypedDict, total=False):
    """What asyncio wants to be told of TLS."""

    ssl: ssl.SSLContext
    ssl_handshake_timeout: float
    ssl_shutdown_timeout: float


def tls_options(settings: Settings) -> TlsOptions:
    """The TLS of a new connection, with a deadline for its beginning; nothing where there is no TLS."""
    context = tls(settings)
    return (
        {}
        if context is None
        else {
            "ssl": context,
            "ssl_handshake_timeout": settings.limits.head_seconds,
            "ssl_shutdown_timeout": FAREWELL_SECONDS,
        }
    )


def listen(host: str, port: int, *, backlog: int = 1024) -> socket.socket:
    """A socket that listens there; raises UsageError for an address that is none or that is taken."""
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listener = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    except (OSError, OverflowError) as problem:
        raise UsageError(f"{host}:{port} is no address to listen at: {problem}") from problem
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(backlog)
    except (OSError, OverflowError) as problem:
        listener.close()
        if getattr(problem, "errno", None) == errno.EADDRINUSE:
            raise UsageError(f"port {port} at {host} is taken; choose another, or 0 for a free one") from problem
        raise EnvironmentFault(f"cannot listen at {host}:{port}: {problem}") from problem
    return listener


def reserve(host: str, port: int) -> socket.socket:
    """A port that several processes can listen at, held but not listened at; the kernel gives connections to those that do."""
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        with socket.socket(family, socket.SOCK_STREAM) as alone:
            # Another server's port would be shared with it, and its clients with us.
            alone.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            alone.bind(address)
        with ExitStack() as undo:
            holder = undo.enter_context(socket.socket(family, socket.SOCK_STREAM))
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            holder.bind(address)
            undo.pop_all()
    except (OSError, OverflowError) as problem:
        raise UsageError(f"port {port} at {host} cannot be had for gRPC: {problem}") from problem
    return holder


def url(listener: socket.socket, secure: bool) -> str:
    """Where a client finds it."""
    host, port = listener.getsockname()[:2]
    return f"{'https' if secure else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"


async def welcome(connection: socket.socket, app: App, connections: Connections, options: TlsOptions) -> None:
    """Serve an accepted ``connection`` with ``app``."""
    connection.setblocking(False)
    try:
        await asyncio.get_running_loop().connect_accepted_socket(lambda: Connection(app, connections), connection, **options)
    except OSError:  # gone already, or no TLS that we speak
        connection.close()


def hand_over(channel: socket.socket, which: int, connection: socket.socket) -> None:
    """Give ``connection``, accepted at door number ``which``, to the worker at the other end; raises OSError where it takes none."""
    socket.send_fds(channel, [bytes([which])], [connection.fileno()])


def receive(channel: socket.socket) -> tuple[int, socket.socket] | None:
    """The next connection that was handed over and the number of its door; ``None`` when there is none for the moment."""
    try:
        data, descriptors, _, _ = socket.recv_fds(channel, 1, 1)
    except OSError:
        return None
    if not data or not descriptors:
        return None
    return data[0], socket.socket(fileno=descriptors[0])

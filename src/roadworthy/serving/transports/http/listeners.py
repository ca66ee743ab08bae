"""The listeners of a server: which rights are answered at which port, and the application that answers there."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from roadworthy.core.errors import BackendMissing
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
from roadworthy.serving.transports.http.tls import TlsOptions

if TYPE_CHECKING:
    from roadworthy.serving.observability.traces import Traces


@dataclass(frozen=True)
class Listener:
    """One port and the rights of the routes that are answered there."""

    port: int
    rights: frozenset[Right]


def listeners_of(settings: Settings) -> tuple[Listener, ...]:
    """The main listener first. A right that has a port of its own is not answered at the main one."""
    main: set[Right] = {"open", "inference", "management", "metrics"}
    others: list[Listener] = []
    own: tuple[tuple[int | None, Right], ...] = ((settings.management_port, "management"), (settings.metrics_port, "metrics"))
    for port, right in own:
        if port is not None:
            main.discard(right)
            others.append(Listener(port, frozenset({"open", right})))
    return Listener(settings.port, frozenset(main)), *others


def apps(plane: DataPlane, settings: Settings, grpc_port: int | None, traces: Traces | None = None) -> tuple[App, ...]:
    """What answers at each of ``listeners_of``, in their order; ``grpc_port`` is shown to people."""
    tokens = auth.read_tokens(Path(settings.tokens)) if settings.tokens else auth.NO_TOKENS
    requests = RequestLog() if settings.log_requests else None
    protocols = http_protocols(plane, grpc_port)
    rules = browser_origin.rules(settings.host, settings.allowed_hosts, settings.cors, secure=settings.certificate is not None)
    return tuple(
        App(plane, protocols, rights=listener.rights, access=tokens, browser_rules=rules, requests=requests, traces=traces)
        for listener in listeners_of(settings)
    )


def http_protocols(plane: DataPlane, grpc_port: int | None = None) -> tuple[HttpProtocol, ...]:
    """Everything that is spoken over HTTP: the protocols, the counters, and the document that describes them all."""
    protocols = (*discovery.http_protocols(plane, grpc_port), Exposition(plane))
    return (*protocols, OpenApi(protocols))


def tracing(settings: Settings) -> Traces | None:
    """What writes a span for every request, where the settings ask for it; raises BackendMissing without its packages, and UsageError."""
    if settings.traces is None:
        return None
    try:
        from roadworthy.serving.observability.traces import Traces
    except ImportError as problem:
        raise BackendMissing(f"traces need OpenTelemetry ({problem}); install it with: pip install 'roadworthy[otel]'") from problem
    return Traces(settings.traces, secure=settings.certificate is not None)


async def serve_connection(connection: socket.socket, app: App, connections: Connections, options: TlsOptions) -> None:
    """Serve an accepted ``connection`` with ``app``."""
    connection.setblocking(False)
    try:
        await asyncio.get_running_loop().connect_accepted_socket(lambda: Connection(app, connections), connection, **options)
    except OSError:  # closed already, or TLS that is not spoken here
        connection.close()

"""A server as its owner starts it: listens at once, is ready when the models have proven themselves, drains when told to stop."""

from __future__ import annotations

import asyncio
import logging
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import uvloop

from roadworthy.core.errors import UsageError
from roadworthy.serving.engine.open_bundle import described
from roadworthy.serving.limits import DEFAULT, Limits
from roadworthy.serving.observability import logs
from roadworthy.serving.registry import repository
from roadworthy.serving.settings import Settings
from roadworthy.serving.transports import grpc
from roadworthy.serving.transports.http import listeners as http_listeners
from roadworthy.serving.workers import os_process, sockets
from roadworthy.serving.workers.model_manager import Fleet, only_missing
from roadworthy.serving.workers.supervisor import Supervisor

if TYPE_CHECKING:
    from roadworthy.serving.observability.traces import Traces

LOG = logging.getLogger(__name__)


def serve(
    bundles: Sequence[Path | str], *, host: str = "127.0.0.1", port: int = 8000, threads: int | None = None, limits: Limits = DEFAULT
) -> None:
    """Serve ``bundles``, each a bundle or a directory of them, until SIGTERM or SIGINT; see ``serve_as``."""
    serve_as(Settings(sources=tuple(map(str, bundles)), host=host, port=port, threads=threads, limits=limits))


def serve_as(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT, then answer what was accepted and return. Call it from the main thread.

    The server listens and is live at once; once every bundle had its verdict it is ready, and prints ``serving NAME at
    URL`` for each model on standard output. A bundle that does not pass is named with its reason on standard error, and
    the others serve; where none passes its error is raised: BundleError, or BackendMissing when it lacks a package.
    Raises UsageError for two bundles of one name and version or an address that is taken.
    """
    settings = replace(settings, sources=tuple(str(Path(source).absolute()) for source in settings.sources))
    if not settings.sources:
        raise UsageError("there is nothing to serve; give at least one bundle, or a directory of bundles")
    for source in settings.sources:
        if not Path(source).exists():
            raise UsageError(f"{source} does not exist; give a bundle, or a directory of bundles")
        if not repository.is_text(source):
            raise UsageError(f"{source!a} cannot be served: its name is not UTF-8; rename it")
    repository.refuse_twins([Path(source) for source in settings.sources])
    logs.configure()
    os_process.take_descriptors()
    with ExitStack() as stack:
        traces = http_listeners.tracing(settings)
        if traces is not None:
            stack.callback(traces.close)
        listeners = [stack.enter_context(sockets.listen(settings.host, door.port)) for door in http_listeners.listeners_of(settings)]
        # A name is resolved once: every worker, gRPC and the check of the Host header go by this address.
        settings = replace(settings, host=listeners[0].getsockname()[0])
        grpc_port = None
        if settings.grpc_port is not None:
            grpc.check()
            grpc_port = stack.enter_context(sockets.reserve(settings.host, settings.grpc_port)).getsockname()[1]
        runner = stack.enter_context(asyncio.Runner(loop_factory=uvloop.new_event_loop))

        def announce(fleet: Fleet) -> None:
            urls = [sockets.url(listener, settings.certificate is not None) for listener in listeners]
            _announce(fleet, settings, urls, grpc_port)

        runner.run(_serve(settings, listeners, grpc_port, traces, announce))


async def _serve(
    settings: Settings, listeners: Sequence[socket.socket], grpc_port: int | None, traces: Traces | None, announce: Callable[[Fleet], None]
) -> None:
    await Supervisor(settings, grpc_port, traces).run(listeners, announce)


def _announce(fleet: Fleet, settings: Settings, urls: Sequence[str], grpc_port: int | None) -> None:
    for problem in fleet.failures:
        print(f"not served: {problem.message}", file=sys.stderr, flush=True)
    ready = [(served, version) for served, version in fleet.catalogue if version.state == "ready"]
    if not ready and fleet.failures:
        raise only_missing(fleet.failures)
    for served, version in ready:
        plan = fleet.plan(served.name, version.version)
        print(f"{served.name} version {version.version}: {', '.join(described(plan, settings.processes))}", file=sys.stderr, flush=True)
    if grpc_port is not None:
        print(f"gRPC at {settings.host}:{grpc_port}", file=sys.stderr, flush=True)
    for door, url in zip(http_listeners.listeners_of(settings), urls, strict=True):
        if "inference" not in door.rights:
            print(f"{' and '.join(sorted(door.rights - {'open'}))} at {url}", file=sys.stderr, flush=True)
    for name in dict.fromkeys(served.name for served, _ in ready):
        print(f"serving {name} at {urls[0]}", flush=True)

"""Starts a server: it listens at once, is ready when every bundle was opened or refused, and drains when it is told to stop."""

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

from roadworthy.core.errors import BackendMissing, BundleError, RoadworthyError, UsageError
from roadworthy.serving.engine.open_bundle import described
from roadworthy.serving.limits import DEFAULT, ServerLimits
from roadworthy.serving.observability import logs
from roadworthy.serving.registry import repository
from roadworthy.serving.registry.catalogue import VersionState
from roadworthy.serving.settings import Settings
from roadworthy.serving.transports import grpc
from roadworthy.serving.transports.http import listeners as http_listeners
from roadworthy.serving.workers import os_process, sockets
from roadworthy.serving.workers.model_manager import ModelManager
from roadworthy.serving.workers.supervisor import Supervisor

if TYPE_CHECKING:
    from roadworthy.serving.observability.traces import Traces

LOG = logging.getLogger(__name__)


def serve(
    bundles: Sequence[Path | str], *, host: str = "127.0.0.1", port: int = 8000, threads: int | None = None, limits: ServerLimits = DEFAULT
) -> None:
    """Serve ``bundles``, each a bundle or a directory of bundles, until SIGTERM or SIGINT. Call it from the main thread.

    ``port`` 0 is any free port. ``threads`` of each model are measured where they are ``None``. Raises the errors of ``serve_as``.
    """
    serve_as(Settings(sources=tuple(map(str, bundles)), host=host, port=port, threads=threads, limits=limits))


def serve_as(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT, then answer what was accepted and return. Call it from the main thread.

    The server listens and is live at once. When every bundle was opened or refused it is ready, and prints ``serving NAME at
    URL`` for each model on standard output. A refused bundle is named with the reason on standard error, and the others are
    served. Where all are refused, raises BundleError, or BackendMissing where missing packages are the only reason.
    Raises UsageError for two bundles of one name and version, and for an address that is in use.
    """
    settings = replace(settings, sources=tuple(str(Path(source).absolute()) for source in settings.sources))
    if not settings.sources:
        raise UsageError("there is nothing to serve; give at least one bundle, or a directory of bundles")
    for source in settings.sources:
        if not Path(source).exists():
            raise UsageError(f"{source} does not exist; give a bundle, or a directory of bundles")
        if not repository.is_text(source):
            raise UsageError(f"{source!a} cannot be served: its name is not UTF-8; rename it")
    repository.refuse_duplicates([Path(source) for source in settings.sources])
    logs.configure()
    os_process.raise_descriptor_limit()
    with ExitStack() as stack:
        traces = http_listeners.tracing(settings)
        if traces is not None:
            stack.callback(traces.close)
        listeners = [
            stack.enter_context(sockets.listen(settings.host, listener.port)) for listener in http_listeners.listeners_of(settings)
        ]
        # A host name is resolved once: all workers, gRPC and the check of the Host header use this address.
        settings = replace(settings, host=listeners[0].getsockname()[0])
        grpc_port = None
        if settings.grpc_port is not None:
            grpc.check()
            grpc_port = stack.enter_context(sockets.reserve(settings.host, settings.grpc_port)).getsockname()[1]
        runner = stack.enter_context(asyncio.Runner(loop_factory=uvloop.new_event_loop))

        def announce(manager: ModelManager) -> None:
            urls = [sockets.url(listener, settings.certificate is not None) for listener in listeners]
            _announce(manager, settings, urls, grpc_port)

        runner.run(_serve(settings, listeners, grpc_port, traces, announce))


async def _serve(
    settings: Settings,
    listeners: Sequence[socket.socket],
    grpc_port: int | None,
    traces: Traces | None,
    announce: Callable[[ModelManager], None],
) -> None:
    await Supervisor(settings, grpc_port, traces).run(listeners, announce)


def _announce(manager: ModelManager, settings: Settings, urls: Sequence[str], grpc_port: int | None) -> None:
    for problem in manager.failures:
        print(f"not served: {problem.message}", file=sys.stderr, flush=True)
    ready = [(served, version) for served, version in manager.catalogue if version.state == VersionState.READY]
    if not ready and manager.failures:
        raise _only_reason(manager.failures)
    for served, version in ready:
        plan = manager.rollout.plan(served.name, version.version)
        print(f"{served.name} version {version.version}: {', '.join(described(plan, settings.processes))}", file=sys.stderr, flush=True)
    if grpc_port is not None:
        print(f"gRPC at {settings.host}:{grpc_port}", file=sys.stderr, flush=True)
    for listener, url in zip(http_listeners.listeners_of(settings), urls, strict=True):
        if "inference" not in listener.rights:
            print(f"{' and '.join(sorted(listener.rights - {'open'}))} at {url}", file=sys.stderr, flush=True)
    for name in dict.fromkeys(served.name for served, _ in ready):
        print(f"serving {name} at {urls[0]}", flush=True)


def _only_reason(failures: Sequence[RoadworthyError]) -> RoadworthyError:
    """The error where nothing can be served: BackendMissing where missing packages are the only reason, else BundleError."""
    missing = [problem for problem in failures if isinstance(problem, BackendMissing)]
    if len(failures) == 1 or len(missing) == len(failures):
        return failures[0]
    return BundleError("; ".join(problem.message for problem in failures))

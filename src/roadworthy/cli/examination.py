"""What this host can do: its CPU, its limits, and which runtimes start here."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import metadata

from roadworthy.build.reuse import store
from roadworthy.build.reuse.store import CacheState
from roadworthy.core import registry
from roadworthy.core.errors import RoadworthyError
from roadworthy.core.host import Host, this_host
from roadworthy.core.isolation import isolate
from roadworthy.core.isolation.worker import Limits
from roadworthy.serving.settings import MAX_WORKERS


@dataclass(frozen=True)
class RuntimeHealth:
    """One runtime: whether it imports in a fresh process, its packages' versions, or the remedy."""

    runtime: str
    works: bool
    versions: tuple[str, ...]
    remedy: str


@dataclass(frozen=True)
class ThreadPlan:
    """How many workers a server starts on this host, and how many threads each uses, before any model is measured."""

    workers: int
    threads: int


@dataclass(frozen=True)
class Examination:
    """Everything ``roadworthy doctor`` prints."""

    host: Host
    runtimes: tuple[RuntimeHealth, ...]
    serving: ThreadPlan
    cache: CacheState


@dataclass(frozen=True)
class StartRequest:
    """The runtime to import."""

    runtime: str


def examine() -> Examination:
    """Import every runtime, each in its own process, so that one that crashes on this CPU is reported and does not end the command."""
    host = this_host()
    workers = min(host.cores, MAX_WORKERS)
    runtimes = tuple(_health(name) for name in registry.names(registry.RUNTIMES))
    return Examination(host, runtimes, ThreadPlan(workers, max(1, host.cores // workers)), store.state())


def _health(name: str) -> RuntimeHealth:
    try:
        return isolate.call(start, StartRequest(name), limits=Limits(seconds=120))
    except RoadworthyError as problem:
        return RuntimeHealth(name, False, (), problem.message)


def start(request: StartRequest) -> RuntimeHealth:
    """A step: a runtime's module imports its packages, so importing it is the test."""
    packages = registry.runtime(request.runtime).PACKAGES
    return RuntimeHealth(request.runtime, True, tuple(f"{package} {metadata.version(package)}" for package in packages), "")

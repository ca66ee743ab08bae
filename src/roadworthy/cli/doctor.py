"""What this host can do: its CPU, its limits, and which runtimes really start here."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import metadata

from roadworthy.core import registry
from roadworthy.core.errors import RoadworthyError
from roadworthy.core.host import Host, this_host
from roadworthy.core.isolation import isolate
from roadworthy.core.isolation.worker import Limits
from roadworthy.serving.settings import MOST_WORKERS


@dataclass(frozen=True)
class Health:
    """One runtime: whether it imports in a fresh process, its packages' versions, or the remedy."""

    runtime: str
    works: bool
    versions: tuple[str, ...]
    remedy: str


@dataclass(frozen=True)
class ThreadPlan:
    """How a server on this host shares it out before any model is measured: so many workers, so many threads in each."""

    workers: int
    threads: int


@dataclass(frozen=True)
class Examination:
    """Everything ``roadworthy doctor`` prints."""

    host: Host
    runtimes: tuple[Health, ...]
    serving: ThreadPlan


@dataclass(frozen=True)
class _Named:
    name: str


def examine() -> Examination:
    """Import every runtime in a process of its own: one that crashes on this CPU is a finding, not an end."""
    host = this_host()
    workers = min(host.cores, MOST_WORKERS)
    runtimes = tuple(_health(name) for name in registry.names(registry.RUNTIMES))
    return Examination(host, runtimes, ThreadPlan(workers, max(1, host.cores // workers)))


def _health(name: str) -> Health:
    try:
        return isolate.call(start, _Named(name), limits=Limits(seconds=120))
    except RoadworthyError as problem:
        return Health(name, False, (), problem.message)


def start(named: _Named) -> Health:
    """In the child: a runtime's module imports its packages, so that importing it is the test."""
    packages = registry.runtime(named.name).PACKAGES
    return Health(named.name, True, tuple(f"{package} {metadata.version(package)}" for package in packages), "")

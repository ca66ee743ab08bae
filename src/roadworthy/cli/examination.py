"""What this host can do: its CPU, its limits, and which runtimes start and which exports can be made here."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import metadata

from roadworthy.build import exporting
from roadworthy.build.peak import of_host
from roadworthy.build.reuse import store
from roadworthy.build.reuse.store import CacheState
from roadworthy.bundle.peak import HostPeak
from roadworthy.core import registry
from roadworthy.core.errors import RoadworthyError
from roadworthy.core.host import Host, default_workers, this_host
from roadworthy.core.isolation import isolate
from roadworthy.core.isolation.worker import Limits


@dataclass(frozen=True)
class RuntimeHealth:
    """One runtime: whether it imports in a fresh process, its packages' versions, or the remedy."""

    runtime: str
    works: bool
    versions: tuple[str, ...]
    remedy: str


@dataclass(frozen=True)
class TargetHealth:
    """One target of ``roadworthy export``: whether what it needs at work is here, or the remedy."""

    target: str
    works: bool
    remedy: str


@dataclass(frozen=True)
class ThreadPlan:
    """How many workers a server starts on this host, and how many threads each uses, before any model is measured."""

    workers: int
    threads: int


@dataclass(frozen=True)
class Examination:
    """Everything ``roadworthy doctor`` prints; the ``peak`` where it was asked for."""

    host: Host
    runtimes: tuple[RuntimeHealth, ...]
    targets: tuple[TargetHealth, ...]
    serving: ThreadPlan
    cache: CacheState
    peak: HostPeak | None = None


@dataclass(frozen=True)
class StartRequest:
    """The runtime to import."""

    runtime: str


def examine(*, peak: bool = False) -> Examination:
    """Import every runtime, each in its own process, so that one that crashes on this CPU is reported and does not end the command."""
    host = this_host()
    workers = default_workers(host.cores)
    with ThreadPoolExecutor(max_workers=host.cores) as pool:
        runtimes = tuple(pool.map(_health, registry.names(registry.RUNTIMES)))
    targets = tuple(map(_target, registry.targets()))
    peaks = of_host(host) if peak else None
    return Examination(host, runtimes, targets, ThreadPlan(workers, host.cores // workers), store.state(), peaks)


def _health(name: str) -> RuntimeHealth:
    try:
        return isolate.call(start, StartRequest(name), limits=Limits(seconds=120))
    except RoadworthyError as problem:
        return RuntimeHealth(name, False, (), problem.message)


def _target(name: str) -> TargetHealth:
    try:
        exporting.refuse_unknown((name,))
    except RoadworthyError as problem:
        return TargetHealth(name, False, problem.message)
    return TargetHealth(name, True, "")


def start(request: StartRequest) -> RuntimeHealth:
    """A step: a runtime's module imports its packages, so importing it is the test."""
    packages = registry.runtime(request.runtime).PACKAGES
    return RuntimeHealth(request.runtime, True, tuple(f"{package} {metadata.version(package)}" for package in packages), "")

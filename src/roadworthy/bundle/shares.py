"""A packed variant on a part of the host's cores: what a server's worker runs there, and what the build host proved of it."""

from __future__ import annotations

from dataclasses import dataclass

from roadworthy.core.evidence import Interval, Parity
from roadworthy.core.stages import Plan


@dataclass(frozen=True)
class Share:
    """How a variant runs in a process that has ``cores`` cores.

    ``plan`` is ``None`` where its answers are wrong on every number of threads that was tried. ``fault`` is why it does not run on as many
    threads as there are cores; empty where nothing was wrong with that.
    """

    cores: int
    plan: Plan | None
    fault: str = ""


@dataclass(frozen=True)
class ShareProof:
    """What was proven of the variant ``variant`` on ``share``, when ``workers`` such processes share the cores of the build host.

    ``parity`` is of the answers of ``share.plan``. ``latency_ms`` is the median of one request at a time in one process while the other
    cores are idle. ``per_second`` are samples a second of all workers together, all of them busy with calls of ``batch`` samples: it
    is measured where the objective is throughput.
    """

    variant: str
    share: Share
    workers: int
    parity: Parity | None = None
    latency_ms: Interval | None = None
    per_second: Interval | None = None
    batch: int = 1


def share_of(shares: tuple[Share, ...], cores: int) -> Share | None:
    """What is known of exactly so many cores."""
    return next((share for share in shares if share.cores == cores), None)


def sizes(cores: int, workers: int) -> tuple[int, ...]:
    """The shares that are proven on a host with so many cores: one core, that of each of ``workers``, and all cores."""
    return tuple(sorted({1, max(1, cores // workers), cores}))

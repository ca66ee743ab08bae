"""What a deployment asks of a server about a bundle that it has just made, and what it is told: the words that both sides share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class AcceptanceRequest:
    """Open every variant of the bundle at ``path``, which nothing serves yet."""

    path: Path


@dataclass(frozen=True)
class Acceptance:
    """Every variant opened. ``unsteady`` are the golden samples, by their place, on which a variant that is not the same function
    gives another whole number than the original: a near tie, which proves nothing about this host or another.
    """

    unsteady: tuple[int, ...] = ()

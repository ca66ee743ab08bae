"""The request of a deployment to open the bundle that it has just made as a server does, and the result; both sides import it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class AcceptanceRequest:
    """Open every variant of the bundle at ``path``, which no server uses yet."""

    path: Path


@dataclass(frozen=True)
class Acceptance:
    """Every variant opened. ``unsteady`` holds the indices of golden samples on which a variant that is not the same function gives
    another whole number than the original: a near tie, which proves nothing about a host.
    """

    unsteady: tuple[int, ...] = ()

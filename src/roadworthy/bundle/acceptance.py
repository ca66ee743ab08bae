"""The request by which a deployment has a new bundle opened as a server opens it, and the result."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class AcceptanceRequest:
    """Open every variant of the bundle at ``path``, which no server uses yet."""

    path: Path


@dataclass(frozen=True)
class Acceptance:
    """Every variant opened. ``unsteady`` are the indices of the golden samples on which a variant that is not the same function gives
    another whole number than the original: a near tie, from which nothing follows about any host.
    """

    unsteady: tuple[int, ...] = ()

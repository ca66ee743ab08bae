"""What the files of this room hand each other: a route to a graph, and what a route wrote."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from roadworthy.build.capture.subject import Subject
from roadworthy.core.types import Signature


@dataclass(frozen=True)
class Written:
    """A graph's file, the signature it keeps, and what is worth knowing about it."""

    path: Path
    signature: Signature
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Route:
    """One way to a graph. ``write`` puts it into an empty directory, or raises: Refused, or whatever the exporter raises."""

    name: str
    write: Callable[[Subject, Path], Written]

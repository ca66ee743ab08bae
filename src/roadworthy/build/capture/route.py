"""A route to a graph, and the result of a route."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from roadworthy.core.types import Signature


@dataclass(frozen=True)
class Written:
    """A graph's file, the signature it keeps, and what is worth knowing about it."""

    path: Path
    signature: Signature
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class CaptureRoute:
    """One way to a graph. ``write`` puts its framework's subject into an empty directory, or raises Refused or what the exporter raises.

    ``same_tool`` says that it runs the tool of the route before it: where that found the model to fix a size, this one finds it again.
    """

    name: str
    write: Callable[[Any, Path], Written]
    same_tool: bool = False

"""The stand-in for polygraphy's loaders."""

from __future__ import annotations

from pathlib import Path


def BytesFromPath(path: str) -> bytes:
    return Path(path).read_bytes()

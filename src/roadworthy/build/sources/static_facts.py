"""What one static reader found in one file; ``inspect`` adds where it lies and what it weighs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from roadworthy.core.types import Signature, TensorSpec


@dataclass(frozen=True)
class Facts:
    """The fields of an Inspection that need the file's format; ``files`` are others beside it that belong to it."""

    kind: str
    tensors: tuple[TensorSpec, ...] = ()
    signature: Signature | None = None
    executes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    signatures: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    unsupported: str = ""
    files: tuple[Path, ...] = ()

"""What every reader of a source gives: the live module, and what the file itself said about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from roadworthy.core.types import TensorSpec


@dataclass(frozen=True)
class Opened:
    """A live module on the CPU; lives only in the child that read it.

    ``inputs`` is the file's own statement of what it takes, empty where it makes none; ``program`` the
    ExportedProgram that the module came from. ``proofs`` and ``notes`` are sentences.
    """

    module: Any
    inputs: tuple[TensorSpec, ...] = ()
    program: Any = None
    proofs: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

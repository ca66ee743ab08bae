"""A model file that an archive or another server's repository holds: it is a source of its own kind, with what is stated around it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from roadworthy.core.types import Signature, TensorSpec


@dataclass(frozen=True)
class HeldModel:
    """The file at ``path``, in words ``called``: "m.pt in digits.mar".

    ``files`` are the others that were read. ``arch`` names code of the archive's own that builds the model, where its file holds weights
    alone: ``FILE.py:CALLABLE``, or why there is none in ``no_arch``. ``inputs`` and ``labels`` are what is stated around a file that states
    none. ``contradictions`` says how what is stated around the file is not about a model of a signature.
    """

    path: Path
    called: str
    files: tuple[Path, ...]
    notes: tuple[str, ...] = ()
    arch: str = ""
    no_arch: str = ""
    inputs: tuple[TensorSpec, ...] = ()
    labels: tuple[str, ...] = ()
    contradictions: Callable[[Signature], tuple[str, ...]] = lambda signature: ()


class HoldingFormat(Protocol):
    """A source format whose files hold a file of another: ``unpack`` finds it.

    What is packed is written to the new folder ``to``; a folder of the user's is read where it lies. Nothing is run. Raises SourceError
    where there is no model that could be deployed, SourceUnreadable where the archive or the repository is damaged.
    """

    def unpack(self, path: Path, to: Path) -> HeldModel: ...

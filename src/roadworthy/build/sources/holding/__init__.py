"""Archives and other servers' repositories: each holds a model file of a source format, and states something around it.

One module a kind, found by its file in this folder or by an entry point of the group with this folder's name, as the source formats are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from roadworthy.build.sources.source_file import SourceFile
from roadworthy.core.types import Signature, TensorSpec


@dataclass(frozen=True)
class HeldModel:
    """The file at ``path``, in words ``called``: "m.pt in digits.mar".

    ``files`` are the others that were read. ``code`` is the name of a file of the archive that builds the model, where its file holds
    weights alone; ``arch`` names the callable in it (``FILE.py:CALLABLE``), or ``no_arch`` says why none is clear. ``inputs`` and
    ``labels`` are what is stated around a file that states none. ``contradictions`` says how what is stated around the file is not about a
    model of a signature.
    """

    path: Path
    called: str
    files: tuple[Path, ...]
    notes: tuple[str, ...] = ()
    code: str = ""
    arch: str = ""
    no_arch: str = ""
    inputs: tuple[TensorSpec, ...] = ()
    labels: tuple[str, ...] = ()
    contradictions: Callable[[Signature], tuple[str, ...]] = lambda signature: ()


class HoldingFormat(Protocol):
    """``holding/<KIND>.py``: ``sniff`` tells its files as precisely as a source format's does, and ``locate`` is optional as it is there.

    ``unpack`` finds the model file. What is packed is written below the new folder ``to``; a folder of the user's is read where it lies.
    Nothing is run. It raises SourceError where it holds no model that could be deployed, SourceUnreadable where the archive or the
    repository is damaged.
    """

    KIND: str

    def sniff(self, file: SourceFile) -> bool: ...

    def unpack(self, path: Path, to: Path) -> HeldModel: ...

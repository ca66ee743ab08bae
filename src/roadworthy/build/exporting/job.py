"""What the user asked for when a bundle is exported, and what they get."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from roadworthy.bundle.export_evidence import ExportEvidence
from roadworthy.core.stages import Rejected


@dataclass(frozen=True)
class ExportJob:
    """One export of the bundle at ``bundle`` for ``target``.

    It becomes part of the bundle, in ``exports/TARGET``, unless ``output`` names another directory. ``data`` are samples to compare the
    answers on beside the golden ones, in a form that ``--data`` takes. ``precisions`` and ``forms`` narrow what is tried; empty means all.
    With ``on_target`` an export that did not run on its target is refused. ``seconds`` bounds the whole, ``memory_mb`` each step's process
    (0: most of the host). With ``cache`` files that an earlier export made from the same graph are used again.
    """

    bundle: Path
    target: str
    output: Path | None = None
    data: str | None = None
    precisions: tuple[str, ...] = ()
    forms: tuple[str, ...] = ()
    on_target: bool = False
    seconds: float = 1800.0
    memory_mb: int = 0
    cache: bool = True


@dataclass(frozen=True)
class Exported:
    """What was written: the directory, its evidence, why this form was chosen, and the forms that were refused."""

    path: Path
    evidence: ExportEvidence
    reasons: tuple[str, ...]
    rejected: tuple[Rejected, ...]

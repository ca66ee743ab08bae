"""What the module of a target gets and defines; a target is one file in ``build/export/`` and one in ``runtimes/exported/``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

from roadworthy.bundle.golden import Golden
from roadworthy.core import registry
from roadworthy.core.interfaces import Lowering
from roadworthy.core.stages import Graph, Plan
from roadworthy.core.types import Signature
from roadworthy.preprocess.contract import Contract


@dataclass(frozen=True)
class Export:
    """What is exported: the model's ``name`` and ``version``, and the chosen ``plan``.

    ``contract`` says how an image, a text or a sound becomes a sample, and ``contract.answer`` how outputs are read. ``golden`` are samples
    with the original's answers. ``gate`` is the largest error that an answer to these may have, relative to the output's scale (see
    docs/FORMAT.md). ``bundle`` is the directory that it comes from, ``graphs`` the captured model in every format that the bundle holds.
    """

    name: str
    version: str
    plan: Plan
    signature: Signature
    contract: Contract
    golden: Golden
    gate: float
    bundle: Path
    graphs: tuple[Graph, ...] = ()


class ExportTarget(Lowering, Protocol):
    """``build/export/<name>.py``: a place other than a server. Its namesake in ``runtimes/exported/`` runs what it makes.

    ``plans`` gives every form that is worth a try for this target, and ``lower`` writes the files of one in the layout that the export
    has at the end. ``finish`` gets the folder with the files of the form that was chosen, adds what the other place needs beside the
    model (a page, a configuration, labels, preprocessing), and returns how it is run and where its limits are, in Markdown. A target
    that needs programs at work also defines ``require() -> None``, which raises EnvironmentFault with the remedy: it is asked before
    anything is made.
    """

    def finish(self, export: Export, out: Path) -> str: ...


def target(name: str) -> ExportTarget:
    """The module of the target that users call ``name``; raises UsageError for an unknown one, BackendMissing without its packages."""
    return cast(ExportTarget, registry.backend(registry.EXPORTS, registry.backend_of(name)))

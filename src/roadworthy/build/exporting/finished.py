"""The steps that finish an export, in processes of their own: what the other place needs is added, and the whole is tried."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from roadworthy.build import verify
from roadworthy.build.exported import Export, target
from roadworthy.bundle import golden as goldens
from roadworthy.bundle.export_evidence import Tool
from roadworthy.bundle.manifest import Manifest
from roadworthy.core import registry
from roadworthy.core.errors import StepFailed
from roadworthy.core.evidence import Parity
from roadworthy.core.samples import SampleSet
from roadworthy.core.stages import Graph, Plan
from roadworthy.core.types import Signature
from roadworthy.runtimes import open_session

GOLDEN = "golden.npz"


@dataclass(frozen=True)
class FinishRequest:
    """The files of ``plan`` in ``candidate``, of the bundle at ``bundle``, to be finished for ``target`` in the new directory ``out``."""

    bundle: Path
    manifest: Manifest
    target: str
    plan: Plan
    candidate: Path
    gate: float
    graphs: tuple[Graph, ...]
    out: Path


@dataclass(frozen=True)
class FinishedText:
    """How the export is run and where its limits are, in Markdown."""

    text: str


def finish(request: FinishRequest) -> FinishedText:
    """A step: the candidate's files with all that the target adds, and the golden samples."""
    manifest = request.manifest
    shutil.copytree(request.candidate, request.out)
    golden = request.bundle / manifest.golden.path
    shutil.copyfile(golden, request.out / GOLDEN)
    export = Export(
        manifest.name, manifest.version, request.plan, manifest.signature, manifest.contract, goldens.read(golden, manifest.signature),
        request.gate, request.bundle, request.graphs,
    )  # fmt: skip
    return FinishedText(target(request.target).finish(export, request.out))


@dataclass(frozen=True)
class TryRequest:
    """The finished export in ``path``, and the golden samples with the original's answers."""

    path: Path
    plan: Plan
    signature: Signature
    samples: SampleSet
    reference: verify.Reference


@dataclass(frozen=True)
class TriedExport:
    """How far its golden answers are from the original's, whether the target itself gave them, and with what."""

    parity: Parity
    on_target: bool
    device: str
    tools: tuple[Tool, ...]


def try_finished(request: TryRequest) -> TriedExport:
    """A step: the golden answers of the export as it lies there. Raises StepFailed where one is not a number that the original gives."""
    facts = registry.facts(request.plan.runtime)
    with open_session(request.path, request.signature, request.plan) as session:
        parity = verify.differences(session, request.signature, request.samples, request.reference)
        inner = session.inner
        on_target = bool(getattr(inner, "on_target", facts.on_target))
        tools = tuple(getattr(inner, "tools", ()))
        device = str(getattr(inner, "device", ""))
    if parity is None:
        raise StepFailed("the finished export gives a value that is not finite where the original gives a number, or the other way round")
    return TriedExport(parity, on_target, device, (*tools, *filter(None, map(_tool, facts.packages))))


def _tool(package: str) -> Tool | None:
    try:
        return Tool(package, version(package))
    except PackageNotFoundError:
        return None

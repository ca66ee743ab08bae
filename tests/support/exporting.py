"""An export as the conductor makes it, by hand: a graph lowered, finished, and given golden samples and evidence."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from roadworthy.build.exported import Export, target
from roadworthy.bundle import export_evidence
from roadworthy.bundle import golden as goldens
from roadworthy.bundle.certificate import NOT_ON_TARGET
from roadworthy.bundle.export_evidence import ComparedSamples, ExportEvidence
from roadworthy.bundle.golden import Golden
from roadworthy.core.host import this_host
from roadworthy.core.stages import Graph, Plan
from roadworthy.core.types import Arrays
from roadworthy.preprocess.contract import Contract
from roadworthy.runtimes import CheckedSession, open_session

GATE = 1e-5


@contextmanager
def packages_from(*folders: Path, names: tuple[str, ...]) -> Iterator[None]:
    """The packages ``names`` are those in ``folders``, whatever was imported before; afterwards everything is as it was."""

    def loaded() -> list[str]:
        return [module for module in sys.modules if module.partition(".")[0] in names]

    with pytest.MonkeyPatch.context() as patch:
        for module in loaded():
            patch.delitem(sys.modules, module)
        for folder in folders:
            patch.syspath_prepend(folder)
        try:
            yield
        finally:
            for module in loaded():
                del sys.modules[module]


def lowered(graph: Graph, plan: Plan, out: Path) -> Path:
    """The candidate's files in the new folder ``out``."""
    out.mkdir(parents=True)
    target(plan.runtime.replace("_", "-")).lower(graph, plan, None, out)
    return out


def opened(graph: Graph, plan: Plan, out: Path) -> CheckedSession:
    """The session of the files in ``out``, checked as every candidate's."""
    return open_session(out, graph.signature, plan)


def finished(graph: Graph, plan: Plan, feeds: Arrays, answers: Arrays, out: Path, contract: Contract | None = None) -> str:
    """Finish the files in ``out``: golden samples, the target's own files and evidence; returns the words for the README."""
    export = Export("digits", "1", plan, graph.signature, contract or Contract(), Golden(feeds, answers), GATE, out.parent, (graph,))
    words = target(plan.runtime.replace("_", "-")).finish(export, out)
    goldens.write(out / "golden.npz", export.golden)
    seal(out, plan, len(next(iter(feeds.values()))))
    return words


def seal(out: Path, plan: Plan, count: int) -> ExportEvidence:
    """Write ``evidence.json`` about what lies in ``out``."""
    evidence = ExportEvidence(
        target=plan.runtime.replace("_", "-"), model="digits", version="1", plan=plan,
        golden=hashlib.sha256((out / "golden.npz").read_bytes()).hexdigest(), files=export_evidence.files_sum(out),
        verification=NOT_ON_TARGET, host=this_host(), tools=(), samples=ComparedSamples(count, 0, generated=True), max_rel=0.0, max_abs=0.0,
        gate=GATE, passed=True, created="2026-11-30T12:00:00+00:00",
    )  # fmt: skip
    export_evidence.write(out / "evidence.json", evidence)
    return evidence

"""A bundle with an export for a target that cannot be run here, and the evidence that the target would give."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

from roadworthy.build.exporting import placed
from roadworthy.bundle import export_evidence, store
from roadworthy.bundle.certificate import NOT_ON_TARGET, ON_TARGET, CertifiedExport
from roadworthy.bundle.export_evidence import ComparedSamples, ExportEvidence, Tool
from roadworthy.core.host import Host, this_host
from roadworthy.core.stages import Plan
from support.models import bundles

PLAN = Plan("tensorrt")
TARGET = "tensorrt"
ELSEWHERE = Host("AMD EPYC 7R13", "x86_64", ("avx2",), 8, 8, 32000, "Linux 6.8", "3.12.3")


def with_export(folder: Path, *, model: bytes = b"model") -> Path:
    """A sealed bundle in ``folder`` with an export for ``TARGET`` of which ``model`` is the content."""
    bundle = bundles.write_bundle(folder / "bundle")
    made = folder / "made"
    made.mkdir()
    (made / "model.onnx").write_bytes(model)
    (made / "README.md").write_text("# linear for tensorrt\n\nhow it is run\n")
    (made / "golden.npz").write_bytes((bundle / "golden.npz").read_bytes())
    export_evidence.write(made / export_evidence.NAME, stated(bundle, made))
    measured = store.read_certificate(bundle).measured[0].verified
    moved = replace(measured, candidate=replace(measured.candidate, plan=PLAN, path=Path("exports", TARGET)))
    placed.in_bundle(bundle, made, (CertifiedExport(TARGET, f"exports/{TARGET}", NOT_ON_TARGET, moved, None, ("the only form",)),))
    return bundle


def stated(bundle: Path, made: Path) -> ExportEvidence:
    """What the host that made the export states of it."""
    manifest = store.read(bundle)
    return ExportEvidence(
        target=TARGET, model=manifest.name, version=manifest.version, plan=PLAN, files=export_evidence.files_sum(made),
        golden=hashlib.sha256((bundle / "golden.npz").read_bytes()).hexdigest(), verification=NOT_ON_TARGET, host=this_host(), tools=(),
        samples=ComparedSamples(manifest.golden.samples, 100, generated=False), max_rel=1e-7, max_abs=1e-6, gate=1e-5, passed=True,
        created="2026-11-30T12:00:00+00:00",
    )  # fmt: skip


def from_target(bundle: Path) -> ExportEvidence:
    """What the target would give for the export in ``bundle``."""
    own = export_evidence.read(bundle / "exports" / TARGET / export_evidence.NAME)
    return replace(
        own, verification=ON_TARGET, host=ELSEWHERE, device="NVIDIA A10G, driver 570.86", tools=(Tool("tensorrt", "11.4.0"),),
        samples=replace(own.samples, evaluated=0), max_rel=3e-7, max_abs=2e-6, ms=0.21,
    )  # fmt: skip

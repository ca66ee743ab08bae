"""A finished export at its place, whole or not at all: in the bundle, whose certificate then says so, or in a directory of its own."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from roadworthy.build.package import CARD, REPORT
from roadworthy.build.package.report import card, report
from roadworthy.bundle import export_evidence, store
from roadworthy.bundle import manifest as manifests
from roadworthy.bundle.certificate import Certificate, CertifiedExport
from roadworthy.bundle.export_evidence import ExportEvidence

Amend = Callable[[Certificate], Certificate]


def in_bundle(bundle: Path, made: Path, entries: tuple[CertifiedExport, ...]) -> Path:
    """Put the export in ``made`` into ``bundle`` in place of an earlier one for its target, and ``entries`` into the certificate.

    Returns its directory.
    """
    place = Path(manifests.EXPORTS, entries[0].target)

    def with_export(certificate: Certificate) -> Certificate:
        others = tuple(one for one in certificate.exports if one.target != entries[0].target)
        return replace(certificate, exports=(*others, *entries))

    def add(root: Path) -> None:
        shutil.rmtree(root / place, ignore_errors=True)
        shutil.copytree(made, root / place)

    amend(bundle, add, with_export)
    return bundle / place


def amend(bundle: Path, change: Callable[[Path], None], certified: Amend) -> None:
    """Change the files of ``bundle`` and its certificate in one step; report and model card say what the certificate says.

    ``change`` gets the root of a copy, in which it replaces files and never writes to an old one.
    """
    with store.amending(bundle) as root:
        manifest = store.read(root)
        certificate = certified(store.read_certificate(root))
        change(root)
        store.write_certificate(root, certificate)
        (root / REPORT).write_text(report.render(certificate, manifest.contract))
        (root / CARD).write_text(card.render(certificate, manifest))
        store.seal(root, manifest)


def alone(made: Path, output: Path) -> Path:
    """Put the export in ``made`` at ``output``, in place of an earlier export there. Raises UsageError where something else is there."""
    with store.writing(output, mark=export_evidence.NAME) as root:
        shutil.copytree(made, root, dirs_exist_ok=True)
    return output


def readme(evidence: ExportEvidence, text: str, reasons: tuple[str, ...]) -> str:
    """README.md of an export: what it is, how it is run, and what was proven."""
    samples = f"{evidence.samples.golden} golden samples"
    if evidence.samples.evaluated:
        samples = f"{evidence.samples.evaluated:,} samples and {samples}"
    if evidence.samples.generated:
        samples = f"{samples}, all of them made up,"
    where = f"{evidence.host.cpu}, {evidence.host.cores} cores" + (f", {evidence.device}" if evidence.device else "")
    timed = f" One call took {evidence.ms:.3g} ms there." if evidence.ms is not None else ""
    tools = ", ".join(f"{tool.name} {tool.version}" for tool in evidence.tools)
    proven = (
        f"{evidence.verification[0].upper()}{evidence.verification[1:]}. On {where}, its answers to {samples} were at most "
        f"{evidence.max_rel:.2g} of the output's scale away from the original's; {evidence.gate:.2g} is allowed.{timed}"
    )
    form = f"The form is {evidence.plan.name}, made with {tools or 'no other tools'}."
    why = "\n".join(f"- {reason}" for reason in reasons)
    kept = "`evidence.json` holds all of this, and `golden.npz` the golden samples with the original's answers."
    return f"# {evidence.model} for {evidence.target}\n\n{text.strip()}\n\n## What was proven\n\n{proven}\n{form}\n\n{why}\n\n{kept}\n"

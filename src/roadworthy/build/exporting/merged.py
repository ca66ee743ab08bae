"""Evidence that a target itself gave, taken back into the bundle: it must be of the bundle's own export, and within its gate.

The file is a claim of the person who brings it. What is checked here finds the wrong file and a changed figure that contradicts
another; a person who writes the whole file by hand is believed.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from roadworthy.build.exporting import placed
from roadworthy.bundle import export_evidence
from roadworthy.bundle import manifest as manifests
from roadworthy.bundle.certificate import ON_TARGET, Certificate, CertifiedExport, TargetProof
from roadworthy.bundle.export_evidence import ExportEvidence
from roadworthy.core.errors import BundleError, UsageError

HEADING = "## What the target showed"
CLAIM = (
    f"`{export_evidence.FROM_TARGET}` holds all of it. It is the claim of the person who brought that file: nothing of it was run where "
    "the bundle was made."
)


def merge_evidence(bundle: Path, file: Path) -> ExportEvidence:
    """Put the evidence in ``file``, which ``verify.py`` of an export wrote on its target, into ``bundle``; returns it.

    The bundle is changed in one step, or not at all: ``exports/TARGET/evidence-target.json``, the certificate and the report. Raises
    UsageError where ``file`` is not there or was not written on a target, BundleError where it does not fit the bundle, with the reason.
    """
    if not file.is_file():
        raise UsageError(f"{file} is not a file: give the {export_evidence.FROM_TARGET} that verify.py wrote on the target")
    evidence = export_evidence.read(file)
    if not evidence.on_target:
        raise UsageError(
            f"{file} is evidence from the host that made the export, not from its target: give the {export_evidence.FROM_TARGET} that "
            "verify.py wrote there"
        )
    place = Path(manifests.EXPORTS, evidence.target)

    def add(root: Path) -> None:
        _refuse_other(root, place, evidence, file)
        written, readme = root / place / export_evidence.FROM_TARGET, root / place / export_evidence.README
        words = readme.read_text(encoding="utf-8").partition(HEADING)[0].rstrip()
        # Files of the copy may be second names of the old bundle's: they are replaced, not written to.
        for old in (written, readme):
            old.unlink(missing_ok=True)
        export_evidence.write(written, evidence)
        readme.write_text(f"{words}\n\n{HEADING}\n\n{ON_TARGET.capitalize()}: {proof_of(evidence).words}. {CLAIM}\n", encoding="utf-8")

    placed.amend(bundle, add, lambda certificate: _with_proof(certificate, place, evidence))
    return evidence


def _refuse_other(root: Path, place: Path, evidence: ExportEvidence, file: Path) -> None:
    """Raise BundleError where ``evidence`` is not about the export in ``root / place``, or not within its gate."""
    stated = root / place / export_evidence.NAME
    if not stated.is_file():
        raise BundleError(
            f"{file} is about an export for {evidence.target}, and the bundle holds none; export it into the bundle first: "
            f"roadworthy export BUNDLE --to {evidence.target}"
        )
    own = export_evidence.read(stated)
    if other := next((words for name, words in SAME.items() if getattr(own, name) != getattr(evidence, name)), ""):
        raise BundleError(f"{file} is about another export than {place} in the bundle: {other} differs; run verify.py of that export again")
    if export_evidence.files_sum(root / place) != own.files:
        raise BundleError(f"the files in {place} are not those that its {export_evidence.NAME} is about; export it again")
    if evidence.samples != replace(own.samples, evaluated=0):
        raise BundleError(f"{file} is about other samples than the {own.samples.golden} golden ones of the export")
    if not evidence.passed:
        error = "infinitely far off" if evidence.max_rel is None else f"off by {evidence.max_rel:.3g} of the output's scale"
        raise BundleError(f"the answers of the target are {error}, and {own.gate:.3g} is allowed: the export is not verified there")


SAME = {
    "target": "the target", "model": "the model's name", "version": "the model's version", "golden": "golden.npz (its SHA-256)",
    "plan": "the form (its plan)", "files": "the files (their SHA-256)", "gate": "the gate",
}  # fmt: skip
"""The fields that are the same on both sides, and what they are in words."""


def proof_of(evidence: ExportEvidence) -> TargetProof:
    """What the certificate says of evidence that passed."""
    return TargetProof(
        evidence.host, evidence.device, evidence.samples.golden, evidence.max_rel or 0.0, evidence.max_abs, evidence.ms, evidence.created
    )


def _with_proof(certificate: Certificate, place: Path, evidence: ExportEvidence) -> Certificate:
    proof = proof_of(evidence)

    def proven(one: CertifiedExport) -> CertifiedExport:
        return replace(one, verification=ON_TARGET, proof=proof) if one.path == place.as_posix() else one

    return replace(certificate, exports=tuple(map(proven, certificate.exports)))

"""The check of a bundle on this host: its files, its golden samples, and today's latency beside the certificate's."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from roadworthy.build import benchmark
from roadworthy.build.benchmark import Today
from roadworthy.bundle import golden as goldens
from roadworthy.bundle import store
from roadworthy.bundle.certificate import Certificate
from roadworthy.core.evidence import Interval
from roadworthy.core.host import Host, this_host
from roadworthy.serving.engine.golden_check import GoldenCheck
from roadworthy.serving.engine.local import LocalEngine


@dataclass(frozen=True)
class Checkup:
    """What ``roadworthy check`` found. ``certified_ms`` is the certificate's batch-1 latency, ``today`` this host's figures.

    ``warnings`` are the certificate's: what limits all that was proven.
    """

    bundle: str
    variant: str
    files: int
    golden: GoldenCheck
    warnings: tuple[str, ...]
    notes: tuple[str, ...]
    here: Host
    certified_on: Host
    certified_ms: Interval | None
    today: Today


def checkup(bundle: Path | str) -> Checkup:
    """Check every byte of ``bundle``, answer its golden samples, and time it. Raises BundleError where a file or an answer is wrong."""
    bundle = Path(bundle)
    manifest = store.read(bundle, whole=True)
    certificate = store.read_certificate(bundle)
    with LocalEngine(bundle) as model:
        variant, golden, notes = model.variant, model.check, model.notes
    feeds = goldens.read(bundle / manifest.golden.path, manifest.signature).inputs
    today = benchmark.time_variant(bundle / variant.path, manifest.signature, variant.plan, feeds)
    return Checkup(
        bundle=str(bundle),
        variant=variant.name,
        files=len(manifest.files),
        golden=golden,
        warnings=tuple(note.text for note in certificate.notes if note.warning),
        notes=notes,
        here=this_host(),
        certified_on=certificate.host,
        certified_ms=_certified(certificate, variant.name),
        today=today,
    )


def _certified(certificate: Certificate, name: str) -> Interval | None:
    for entry in (certificate.baseline, *certificate.measured):
        if entry.verified.candidate.plan.name == name:
            return entry.timing.latency_ms
    return None

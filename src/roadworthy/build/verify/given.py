"""Answers that were recorded earlier, as the reference that a candidate is compared with: the golden samples of a bundle."""

from __future__ import annotations

from pathlib import Path

from roadworthy.build.verify import feeding, parity
from roadworthy.build.verify.feeding import Piece
from roadworthy.build.verify.reference import BATCH, Reference, record
from roadworthy.core import numerics
from roadworthy.core.evidence import Parity, Tolerance
from roadworthy.core.samples import SampleSet
from roadworthy.core.types import Arrays, Signature
from roadworthy.runtimes import CheckedSession


def given(outputs: Arrays, signature: Signature, tolerance: Tolerance, out: Path, *, quantized: bool) -> Reference:
    """The reference in the new directory ``out`` that holds ``outputs``, samples first, as the original gave them."""
    count = len(next(iter(outputs.values())))
    out.mkdir(parents=True)
    names = record(iter([Piece(0, count, dict(outputs))]), signature, count, out)
    draft = Reference(out, names, (1.0,) * len(names), count, signature.call_size(BATCH), tolerance, quantized)
    values = draft.values()
    scales = tuple(numerics.scale_of(values[name]) for name in names)
    return Reference(out, names, scales, count, draft.batch, tolerance, quantized, parity.top_classes(values))


def differences(session: CheckedSession, signature: Signature, samples: SampleSet, reference: Reference) -> Parity | None:
    """How far the answers of ``session`` are from ``reference``, one sample at a time and in the largest calls there may be.

    ``None`` where a value is not finite and the original's is, or the reverse.
    """
    total, sizes = parity.Differences(), tuple(dict.fromkeys((signature.call_size(1), signature.call_size(samples.count))))
    for size in sizes:
        pieces = feeding.valued(feeding.answers(session, signature, samples, size), signature)
        total = total.plus(parity.compare(pieces, reference.values(), reference.scale()))
    return None if total.nonfinite else total.parity(sizes, reference.tolerance.limit, classes=reference.classes)

"""Prove a captured graph: at 1, 2 and 5 samples it gives the original's answers, or less is promised, or it is refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from roadworthy.build.capture import exporter_errors
from roadworthy.build.capture.exporter_errors import Refused
from roadworthy.build.capture.original import Subject
from roadworthy.build.capture.route import Written
from roadworthy.core import registry
from roadworthy.core.errors import BackendMissing
from roadworthy.core.host import usable_cores
from roadworthy.core.numerics import output_error
from roadworthy.core.stages import Plan
from roadworthy.core.types import Array, Quantization, Signature, SizeRange
from roadworthy.runtimes import CheckedSession, open_session

GATE = 1e-3
"""A conversion gate, relative to the output's scale: it tells a wrong graph from a rounded one. The strict tolerance is verify's."""

QUANTISED_GATE = 0.15
"""The same for a model that came quantised: every layer rounds to whole numbers, and each kernel in its own way. Two right runtimes
were 0.075 apart on an 8-bit MobileNet."""

LARGEST_PROVEN = 64
"""A stated limit up to this many samples is run once; a larger one is taken from the exporter."""


@dataclass(frozen=True)
class Complaint:
    """What is wrong at one number of samples: ``wrong`` answers, or none at all."""

    wrong: bool
    text: str


def prove(written: Written, format: str, subject: Subject) -> Written:
    """``written`` with the signature that was proven, and a note where that is less than was asked.

    Raises Refused with the reason in words where the graph is not the original.
    """
    try:
        runtime = registry.runtime_for(format)
    except BackendMissing as problem:
        return replace(written, notes=(*written.notes, f"unchecked at capture: {problem}"))
    try:
        session = open_session(written.path, written.signature, Plan(runtime, subject.graph.precision, threads=usable_cores()))
    except Exception as problem:
        raise Refused(f"the graph does not load: {exporter_errors.reason(problem)}") from problem
    with session:
        return _proven(session, written, subject)


def _proven(session: CheckedSession, written: Written, subject: Subject) -> Written:
    traced = subject.batch
    if complaint := _compare(session, subject, traced, 0):
        raise Refused(complaint.text)
    if complaint := _compare(session, subject, traced, traced):
        raise Refused(f"right on the example alone, so something of the example was recorded: {complaint.text}")
    return _sized(session, _batched(session, written, subject), subject)


def _batched(session: CheckedSession, written: Written, subject: Subject) -> Written:
    """``written`` with the numbers of samples that were proven."""
    traced = subject.batch
    if not subject.dynamic:
        return written
    complaints = {size: found for size in _sizes(written.signature) if (found := _compare(session, subject, size, 2 * traced))}
    for size, complaint in complaints.items():
        if complaint.wrong:
            raise Refused(
                f"right at {traced} samples, as captured, and wrong at {size}: the batch size was baked in ({complaint.text})", batch=True
            )
    if not complaints:
        return written
    smallest = min(complaints)
    if smallest <= 2:
        text = complaints[smallest].text
        raise Refused(f"works at {traced} samples, as captured, and fails at {smallest}: the batch size was baked in ({text})", batch=True)
    limit = next((size for size in range(smallest - 1, 2, -1) if not _compare(session, subject, size, 0)), 2)
    note = f"fails at {smallest} samples ({complaints[smallest].text}), so its limit is {limit} a call"
    return replace(written, signature=replace(written.signature, max_batch=limit), notes=(*written.notes, note))


def _sized(session: CheckedSession, written: Written, subject: Subject) -> Written:
    """``written`` with the sizes of its symbolic axes that were proven: where it fails, less is promised; where it is wrong, nothing."""
    base = {axis.symbol: axis.sizes[0] for axis in written.signature.sizes}
    for case in written.signature.size_cases():
        others = {symbol: size for symbol, size in case.items() if size != base[symbol]}
        axes = {axis.symbol: axis for axis in written.signature.sizes}
        if not all(axes[symbol].allows(size) for symbol, size in others.items()):
            continue
        if complaint := _compare(session, subject, subject.batch, 0, case):
            said = " and ".join(f"{symbol} = {size}" for symbol, size in others.items())
            if complaint.wrong or len(others) > 1:
                raise Refused(f"right at the sizes of the samples, and not at {said} ({complaint.text})")
            ((symbol, size),) = others.items()
            less = _less(session, subject, axes[symbol], size, base)
            if len(less.sizes) < 2:
                raise Refused(f"works at {symbol} = {base[symbol]}, and fails at {said} ({complaint.text})")
            ranges = tuple(less if axis.symbol == symbol else axis for axis in written.signature.sizes)
            note = f"fails at {said} ({complaint.text}), so {symbol} may be {less}"
            written = replace(written, signature=replace(written.signature, sizes=ranges), notes=(*written.notes, note))
    return written


def _less(session: CheckedSession, subject: Subject, axis: SizeRange, failing: int, base: Mapping[str, int]) -> SizeRange:
    """``axis`` as far as the graph answers rightly between the size of the samples and ``failing``."""
    good, bad = axis.sizes[0] // axis.multiple, failing // axis.multiple
    while abs(good - bad) > 1:
        middle = (good + bad) // 2
        right = not _compare(session, subject, subject.batch, 0, {**base, axis.symbol: middle * axis.multiple})
        good, bad = (middle, bad) if right else (good, middle)
    return axis.until(good * axis.multiple)


def _sizes(signature: Signature) -> list[int]:
    limit = signature.max_batch
    stated = [limit] if limit and 5 < limit <= LARGEST_PROVEN else []
    return [size for size in (1, 2, 5) if size <= (limit or size)] + stated


def _compare(session: CheckedSession, subject: Subject, batch: int, start: int, sizes: Mapping[str, int] | None = None) -> Complaint | None:
    feeds = subject.feeds(batch, start, sizes)
    expected = subject.answer(feeds)
    try:
        found = session.run(feeds)
    except Exception as problem:
        return Complaint(False, exporter_errors.reason(problem))
    steps = {spec.name: spec.quantization for spec in subject.graph.signature.outputs}
    gate = QUANTISED_GATE if subject.graph.precision == "int8" else GATE
    for name, wanted in expected.items():
        if text := difference(np.asarray(found[name]), wanted, steps.get(name), gate):
            return Complaint(True, f"{name} {text}")
    return None


def difference(found: Array, wanted: Array, quantization: Quantization | None = None, gate: float = GATE) -> str | None:
    """How ``found`` differs from ``wanted`` beyond rounding, in words; ``None`` where it does not.

    Whole numbers of a quantised tensor are compared by the values that they represent, others as they are.
    """
    if found.shape != wanted.shape:
        return f"has shape {list(found.shape)} where the original gives {list(wanted.shape)}"
    if found.dtype != wanted.dtype:
        return f"is {found.dtype} where the original gives {wanted.dtype}"
    if wanted.dtype.kind != "f" and not (quantization and wanted.dtype.kind in "iu"):
        share = float(np.mean(found != wanted)) if wanted.size else 0.0
        return f"differs from the original in {share:.1%} of its values" if share > GATE else None
    error = output_error(found, wanted, quantization=quantization)
    if error <= gate:
        return None
    if error == float("inf"):
        return "is not finite in the same places as the original"
    return f"differs from the original by {error:.2g} of its scale"

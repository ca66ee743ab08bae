"""Every sample through a session, in calls of one size: the reference and every candidate get their samples from here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from roadworthy.core.errors import StepFailed
from roadworthy.core.interfaces import Session
from roadworthy.core.numerics import real_values
from roadworthy.core.samples import SampleSet
from roadworthy.core.types import Array, Arrays, Signature


@dataclass(frozen=True)
class Piece:
    """The answers to samples ``start`` to ``stop``; outputs are rows, [samples, ...]."""

    start: int
    stop: int
    outputs: dict[str, Array]


def values(outputs: Arrays, signature: Signature) -> dict[str, Array]:
    """``outputs`` as what they stand for: the whole numbers of a quantised tensor become the values that they count."""
    by_name = {spec.name: spec.quantization for spec in signature.outputs}
    return {name: real_values(array, by_name.get(name)) for name, array in outputs.items()}


def valued(pieces: Iterable[Piece], signature: Signature) -> Iterator[Piece]:
    """``pieces`` with what their outputs stand for."""
    return (replace(piece, outputs=values(piece.outputs, signature)) for piece in pieces)


def answers(session: Session, signature: Signature, samples: SampleSet, size: int, count: int | None = None) -> Iterator[Piece]:
    """Run the first ``count`` samples (default: all) in calls of ``size``, or of the size nearest to it that was proven.

    The last call may be smaller; where only one size was proven, its last sample is repeated until the call is full.
    Raises StepFailed for an output whose sample axis does not count the samples.
    """
    size = signature.call_size(size)
    count = samples.count if count is None else min(count, samples.count)
    for start in range(0, count, size):
        stop = min(start + size, count)
        rows, called = samples.feeds(start, stop), stop - start
        if not signature.dynamic and called < size:
            rows = {name: np.concatenate([array, np.repeat(array[-1:], size - called, axis=0)]) for name, array in rows.items()}
            called = size
        try:
            outputs = signature.to_rows(session.run(signature.to_call(rows)), called)
        except ValueError as problem:
            raise StepFailed(str(problem)) from None
        yield Piece(start, stop, {name: array[: stop - start] for name, array in outputs.items()})

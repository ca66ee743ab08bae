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


def calls(signature: Signature, samples: SampleSet, size: int, count: int) -> Iterator[tuple[int, int]]:
    """The first and one past the last of each call's samples: ``size`` of them, or as many as share what holds for the whole call."""
    ends = {count}
    if signature.dynamic:
        for array in (samples.open()[spec.name][:count] for spec in signature.inputs if spec.sample_axis is None):
            changes = (array[1:] != array[:-1]).reshape(max(count - 1, 0), -1).any(axis=1)
            ends.update((np.flatnonzero(changes) + 1).tolist())
    start = 0
    for end in sorted(ends):
        yield from ((begin, min(begin + size, end)) for begin in range(start, end, size))
        start = end


def answers(session: Session, signature: Signature, samples: SampleSet, size: int, count: int | None = None) -> Iterator[Piece]:
    """Run the first ``count`` samples (default: all) in calls of ``size``, or of the size nearest to it that was proven.

    A call may be smaller at the end, and where an input that holds for the whole call changes; where only one size was proven, its last
    sample is repeated until the call is full. Raises StepFailed for an output whose sample axis does not count the samples.
    """
    size = signature.call_size(size)
    for start, stop in calls(signature, samples, size, samples.count if count is None else min(count, samples.count)):
        called = stop - start
        rows: Arrays = samples.feeds(start, stop)
        if not signature.dynamic and called < size:
            rows, called = _filled(rows, size), size
        try:
            outputs = signature.to_rows(session.run(signature.to_call(rows)), called)
        except ValueError as problem:
            raise StepFailed(str(problem)) from None
        yield Piece(start, stop, {name: array[: stop - start] for name, array in outputs.items()})


def first_call(signature: Signature, samples: SampleSet, size: int) -> Arrays:
    """The inputs of one call of exactly ``size`` samples: the first ones, the last of which is repeated where a call ends sooner."""
    start, stop = next(calls(signature, samples, size, samples.count))
    return signature.to_call(_filled(samples.feeds(start, stop), size))


def _filled(rows: Arrays, size: int) -> Arrays:
    """``rows`` with the last one repeated until there are ``size``."""
    return {name: np.concatenate([array, np.repeat(array[-1:], size - len(array), axis=0)]) for name, array in rows.items()}

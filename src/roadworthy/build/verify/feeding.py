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
    """The answers to samples ``start`` to ``stop``; outputs have the samples first, as the session gave them."""

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
    Raises StepFailed for an output that does not have the samples first.
    """
    size = signature.call_size(size)
    fixed = not any(spec.batched for spec in signature.inputs)
    count = samples.count if count is None else min(count, samples.count)
    for start in range(0, count, size):
        stop = min(start + size, count)
        feeds = samples.feeds(start, stop)
        if fixed and stop - start < size:
            feeds = {name: np.concatenate([array, np.repeat(array[-1:], size - len(array), axis=0)]) for name, array in feeds.items()}
        yield Piece(start, stop, _trimmed(session.run(feeds), len(next(iter(feeds.values()))), stop - start))


def _trimmed(outputs: Arrays, called: int, wanted: int) -> dict[str, Array]:
    for name, array in outputs.items():
        if array.shape[:1] != (called,):
            raise StepFailed(
                f"output {name!r} has shape {list(array.shape)} for {called} samples: its first axis must count the samples, "
                "or its answers cannot be told apart"
            )
    return {name: array[:wanted] for name, array in outputs.items()}

"""Two originals beside each other: the answers of one held against the other's, with what float32 explains in both."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from roadworthy.build.verify import parity
from roadworthy.build.verify.feeding import Piece
from roadworthy.build.verify.reference import Reference
from roadworthy.core import numerics
from roadworthy.core.evidence import Parity
from roadworthy.core.types import Array
from roadworthy.preprocess.answer import column

ROWS = 256


@dataclass(frozen=True)
class Beside:
    """``parity`` is ``None`` where the outputs cannot be laid onto each other, and ``relation`` then says why.

    Otherwise ``relation`` is empty, or says what one side does on top: "a softmax" of the other's answers, by ``extra`` ("a" or "b").
    """

    parity: Parity | None
    limit: float
    relation: str = ""
    extra: str = ""


def beside(a: Reference, b: Reference) -> Beside:
    """The answers of ``b`` beside those of ``a`` on the same samples; as they are, else behind a softmax or a sigmoid.

    Outputs are paired by name where both have the same names, else by their order; channels may come first or last.
    """
    limit = max(a.tolerance.limit, b.tolerance.limit)
    if len(a.outputs) != len(b.outputs):
        return Beside(None, limit, f"one has {len(a.outputs)} outputs and the other {len(b.outputs)}")
    others = a.outputs if set(a.outputs) == set(b.outputs) else b.outputs
    truth, found = a.values(), b.values()
    mine: dict[str, Array] = {}
    for name, other in zip(a.outputs, others, strict=True):
        laid = _laid(found[other], truth[name].shape)
        if laid is None:
            return Beside(None, limit, f"{name} has the shape {list(truth[name].shape)} and {other} {list(found[other].shape)}")
        mine[name] = laid
    plain = _parity(mine, truth, (a.batch, b.batch), limit)
    # A softmax over one column is 1 whatever went in.
    softmax = [("a softmax", numerics.softmax)] if parity.class_output(truth) else []
    if plain.equivalent or not (softmax or any(column(array) is not None for array in truth.values())):
        return Beside(plain, limit)
    for words, function in (*softmax, ("a sigmoid", numerics.sigmoid)):
        for extra, left, right in (("b", mine, _through(function, truth)), ("a", _through(function, mine), truth)):
            made = _parity(left, right, (a.batch, b.batch), limit)
            if made.equivalent:
                return Beside(made, limit, words, extra)
    return Beside(plain, limit)


def _laid(array: Array, shape: tuple[int, ...]) -> Array | None:
    layouts = (array, *((np.moveaxis(array, 1, -1), np.moveaxis(array, -1, 1)) if array.ndim > 2 else ()))
    return next((layout for layout in layouts if layout.shape == shape), None)


def _parity(mine: dict[str, Array], truth: dict[str, Array], batches: tuple[int, int], limit: float) -> Parity:
    count = len(next(iter(truth.values())))
    scales = {name: numerics.scale_of(array) for name, array in truth.items()}
    pieces = (
        Piece(start, min(start + ROWS, count), {name: array[start : start + ROWS] for name, array in mine.items()})
        for start in range(0, count, ROWS)
    )
    return parity.compare(pieces, truth, scales).parity(batches, limit, classes=parity.top_classes(truth))


def _through(function: Callable[[Array], Array], outputs: dict[str, Array]) -> dict[str, Array]:
    return {name: function(array).astype(array.dtype) if array.dtype.kind == "f" else array for name, array in outputs.items()}

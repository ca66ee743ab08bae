"""Two originals on the same samples: the difference of their answers, and how much of it float32 explains."""

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


@dataclass(frozen=True)
class OriginalsCompared:
    """``parity`` is ``None`` where the outputs have different shapes, and ``relation`` then says which.

    Otherwise ``relation`` is empty, or names the function that one side applies to the other's answers ("a softmax"); ``extra`` is
    that side ("a" or "b").
    """

    parity: Parity | None
    limit: float
    relation: str = ""
    extra: str = ""


def compare_originals(a: Reference, b: Reference) -> OriginalsCompared:
    """The answers of ``b`` compared with those of ``a`` on the same samples: as they are, then after a softmax or a sigmoid.

    Outputs are paired by name where both have the same names, else by their order; channels may come first or last.
    """
    limit = max(a.tolerance.limit, b.tolerance.limit)
    if len(a.outputs) != len(b.outputs):
        return OriginalsCompared(None, limit, f"one has {len(a.outputs)} outputs and the other {len(b.outputs)}")
    others = a.outputs if set(a.outputs) == set(b.outputs) else b.outputs
    truth, found = a.values(), b.values()
    mine: dict[str, Array] = {}
    for name, other in zip(a.outputs, others, strict=True):
        fitted = _in_layout(found[other], truth[name].shape)
        if fitted is None:
            return OriginalsCompared(None, limit, f"{name} has the shape {list(truth[name].shape)} and {other} {list(found[other].shape)}")
        mine[name] = fitted
    plain = _parity(mine, truth, (a.batch, b.batch), limit)
    # A softmax over one column is always 1.
    softmax = [("a softmax", numerics.softmax)] if parity.class_output(truth) else []
    if plain.equivalent or not (softmax or any(column(array) is not None for array in truth.values())):
        return OriginalsCompared(plain, limit)
    for words, function in (*softmax, ("a sigmoid", numerics.sigmoid)):
        for extra, left, right in (("b", mine, _through(function, truth)), ("a", _through(function, mine), truth)):
            changed = _parity(left, right, (a.batch, b.batch), limit)
            if changed.equivalent:
                return OriginalsCompared(changed, limit, words, extra)
    return OriginalsCompared(plain, limit)


def _in_layout(array: Array, shape: tuple[int, ...]) -> Array | None:
    """``array`` with its channels where ``shape`` has them; ``None`` where it cannot have that shape."""
    layouts = (array, *((np.moveaxis(array, 1, -1), np.moveaxis(array, -1, 1)) if array.ndim > 2 else ()))
    return next((layout for layout in layouts if layout.shape == shape), None)


def _parity(mine: dict[str, Array], truth: dict[str, Array], batches: tuple[int, int], limit: float) -> Parity:
    count = len(next(iter(truth.values())))
    scales = {name: numerics.scale_of(array) for name, array in truth.items()}
    pieces = (
        Piece(start, min(start + numerics.ROWS, count), {name: array[start : start + numerics.ROWS] for name, array in mine.items()})
        for start in range(0, count, numerics.ROWS)
    )
    return parity.compare(pieces, truth, scales).parity(batches, limit, classes=parity.top_classes(truth))


def _through(function: Callable[[Array], Array], outputs: dict[str, Array]) -> dict[str, Array]:
    return {name: function(array).astype(array.dtype) if array.dtype.kind == "f" else array for name, array in outputs.items()}

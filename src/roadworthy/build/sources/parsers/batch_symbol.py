"""Which of the open axes that a file names is the batch: one symbol throughout, at any place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from roadworthy.core.types import ANY_RANK, BATCH, TensorSpec

UNNAMED = "?"
"""The size of an open axis that the file gives no name."""
SHORT = ("n", "b", "bs")
"""Names of a batch that do not hold the word."""


def named(inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec] = ()) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    """``inputs`` and ``outputs``, whose open axes have the file's own symbols, with the batch under its own.

    It is the symbol with such a name, else that of the first open first axis. An open first axis of a tensor without that symbol counts
    the samples too, unless its own symbol stands beside the batch elsewhere.
    """
    batch = _batch(inputs)
    beside = {size for spec in inputs if batch in spec.shape for size in spec.shape if isinstance(size, str) and size != UNNAMED} - {batch}
    found, answers = (tuple(_spec(spec, batch, beside) for spec in side) for side in (inputs, outputs))
    return found, answers


def _batch(inputs: Sequence[TensorSpec]) -> str:
    symbols = [size for spec in inputs for size in spec.shape if isinstance(size, str) and size not in (UNNAMED, ANY_RANK)]
    said = [size for size in symbols if "batch" in size.lower() or size.lower() in SHORT]
    first = [spec.shape[0] for spec in inputs if spec.shape and isinstance(spec.shape[0], str) and spec.shape[0] not in (UNNAMED, ANY_RANK)]
    return next(iter((*said, *first)), UNNAMED)


def _spec(spec: TensorSpec, batch: str, beside: set[str]) -> TensorSpec:
    axis = spec.shape.index(batch) if batch != UNNAMED and batch in spec.shape else None
    if axis is None and spec.shape and isinstance(spec.shape[0], str) and spec.shape[0] not in (ANY_RANK, *beside):
        axis = 0
    if axis is None:
        # A number may count the samples of a file that leaves nothing open.
        return replace(spec, sample_axis=None) if spec.symbols and ANY_RANK not in spec.shape else spec
    shape = tuple(BATCH if number == axis else size for number, size in enumerate(spec.shape))
    return replace(spec, shape=shape, sample_axis=axis)

"""Outputs to answers: the activation, the best classes, their names."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from roadworthy.core.contract import Answer
from roadworthy.core.types import Array, Arrays


@dataclass(frozen=True)
class Ranked:
    """One class of an answer. ``label`` is the index in words where the class has no name."""

    index: int
    label: str
    score: float


def read_out(answer: Answer, outputs: Arrays) -> tuple[tuple[Ranked, ...], ...]:
    """For each sample its best ``top_k`` classes, best first, equal scores by index; ``scores`` says of which output.

    A first output without a class axis gives an empty ranking for each sample, and nothing where it has no samples.
    """
    values = scores(answer, outputs)
    if values is None:
        first = next(iter(outputs.values()), np.zeros(()))
        return ((),) * (len(first) if first.ndim else 0)
    best = np.argsort(-values, axis=1, kind="stable")[:, : answer.top_k]
    labels = answer.labels
    return tuple(
        tuple(Ranked(index, labels[index] if index < len(labels) else str(index), float(row[index])) for index in order.tolist())
        for row, order in zip(values, best, strict=True)
    )


def scores(answer: Answer, outputs: Arrays) -> Array | None:
    """The first output after the activation, float64 [samples, classes]; ``None`` where that has no class axis.

    That is any output that is not two-dimensional numbers, and a softmax over a single column, which is 1 whatever went in.
    """
    values = next(iter(outputs.values()), np.zeros(()))
    if values.ndim != 2 or not np.issubdtype(values.dtype, np.number) or np.iscomplexobj(values):
        return None
    if values.shape[1] == 0 or (values.shape[1] == 1 and answer.activation == "softmax"):
        return None
    values = values.astype(np.float64)
    # Non-finite outputs stay non-finite; they are for verification to refuse, not for warnings on a server.
    with np.errstate(all="ignore"):
        if answer.activation == "softmax":
            exponentials = np.exp(values - values.max(axis=1, keepdims=True))
            return np.asarray(exponentials / exponentials.sum(axis=1, keepdims=True))
        if answer.activation == "sigmoid":
            # exp of a negative number never overflows: 1/(1+e^-x) for x >= 0, e^x/(1+e^x) below.
            small = np.exp(-np.abs(values))
            return np.asarray(np.where(values >= 0, 1.0, small) / (1 + small))
    return values

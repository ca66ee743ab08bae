"""Outputs to answers: the activation, the best classes, their names."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from roadworthy.core.contract import Answer
from roadworthy.core.types import Array, Arrays, Quantization


@dataclass(frozen=True)
class Ranked:
    """One class of an answer. ``label`` is the index in words where the class has no name."""

    index: int
    label: str
    score: float


def settled(answer: Answer, outputs: Arrays, quantization: Quantization | None = None) -> Answer:
    """``answer`` without ``auto``, by the original's own ``outputs`` for many samples: most Keras classifiers end in their softmax,
    and a second one would make every class look alike. The first output counts, ``quantization`` is its own.
    """
    if answer.activation != "auto":
        return answer
    values = scores(replace(answer, activation="none"), outputs, quantization)
    shares = values is not None and values.size > 0 and bool(((values >= 0) & (values <= 1)).all())
    return replace(answer, activation="applied" if shares else "softmax")


def read_out(answer: Answer, outputs: Arrays, quantization: Quantization | None = None) -> tuple[tuple[Ranked, ...], ...]:
    """For each sample its best ``top_k`` classes, best first, equal scores by index; ``scores`` says of which output.

    A first output without a class axis gives an empty ranking for each sample, and nothing where it has no samples.
    """
    values = scores(answer, outputs, quantization)
    if values is None:
        first = next(iter(outputs.values()), np.zeros(()))
        return ((),) * (len(first) if first.ndim else 0)
    best = np.argsort(-values, axis=1, kind="stable")[:, : answer.top_k]
    labels = answer.labels
    return tuple(
        tuple(Ranked(index, labels[index] if index < len(labels) else str(index), float(row[index])) for index in order.tolist())
        for row, order in zip(values, best, strict=True)
    )


def scores(answer: Answer, outputs: Arrays, quantization: Quantization | None = None) -> Array | None:
    """The first output after the activation, float64 [samples, classes]; ``None`` where that has no class axis.

    Whole numbers of a quantised output (``quantization`` is its own) are first turned into what they stand for. No class
    axis has any output that is not two-dimensional numbers, and a softmax over a single column, which is 1 whatever went in.
    """
    values = next(iter(outputs.values()), np.zeros(()))
    if values.ndim != 2 or not np.issubdtype(values.dtype, np.number) or np.iscomplexobj(values):
        return None
    if values.shape[1] == 0 or (values.shape[1] == 1 and answer.activation in ("softmax", "auto")):
        return None
    values = values.astype(np.float64)
    if quantization:
        values = (values - quantization.zero_point) * quantization.scale
    # Non-finite outputs stay non-finite; they are for verification to refuse, not for warnings on a server.
    with np.errstate(all="ignore"):
        if answer.activation in ("softmax", "auto"):
            exponentials = np.exp(values - values.max(axis=1, keepdims=True))
            return np.asarray(exponentials / exponentials.sum(axis=1, keepdims=True))
        if answer.activation == "sigmoid":
            # exp of a negative number never overflows: 1/(1+e^-x) for x >= 0, e^x/(1+e^x) below.
            small = np.exp(-np.abs(values))
            return np.asarray(np.where(values >= 0, 1.0, small) / (1 + small))
    return values

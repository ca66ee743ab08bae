"""Outputs to answers: the activation, the best classes, their names."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from roadworthy.core.numerics import real_values, sigmoid, softmax
from roadworthy.core.types import BATCH, BYTES, Array, Arrays, Quantization, TensorSpec
from roadworthy.preprocess.contract import Activation, Answer

TWO_CLASSES: tuple[Activation, ...] = ("applied", "sigmoid")
"""The activations by which one column tells two classes apart: the probability of the second, or its logit."""


@dataclass(frozen=True)
class Ranked:
    """One class of an answer. ``label`` is the index as text where the class has no name."""

    index: int
    label: str
    score: float


def columns(spec: TensorSpec) -> int | None:
    """How many scores of classes the output ``spec`` holds for each sample: the width of its rows, or 1 for a single number.

    ``None`` where it cannot hold scores, or where its shape does not say how many. Whole numbers count where they are quantised.
    """
    if np.dtype(spec.dtype).kind != "f" and spec.quantization is None:
        return None
    if spec.samples in (BATCH, 1) and spec.sample_shape == ():
        return 1
    scores = spec.sample_shape
    return scores[0] if spec.samples is not None and len(scores) == 1 and isinstance(scores[0], int) else None


def ranks(answer: Answer, spec: TensorSpec) -> bool:
    """Whether the output ``spec`` is read as scores of classes.

    One column is, where it is a probability or a logit and exactly two classes have names: it is the score of the second.
    """
    if columns(spec) == 1:
        return _reads_column(answer)
    one_row = spec.samples is not None and len(spec.sample_shape) == 1 and spec.sample_shape != (1,)
    return one_row and spec.dtype != BYTES and np.dtype(spec.dtype).kind in "iuf"


def second_class(answer: Answer, spec: TensorSpec) -> tuple[str, str, str] | None:
    """Where the output ``spec`` is one number that ranks two classes: the name of the second, what the number is ("probability" or
    "logit"), and the limit above which the second class is the answer; else ``None``.
    """
    if columns(spec) != 1 or not _reads_column(answer):
        return None
    return (answer.labels[1], *(("probability", "0.5") if answer.activation == "applied" else ("logit", "0")))


def with_activation(answer: Answer, outputs: Arrays, quantization: Quantization | None = None, *, two: bool = False) -> Answer:
    """``answer`` without ``auto``, by the original's own ``outputs`` for many samples: most Keras classifiers end in a softmax,
    and a second softmax would make all probabilities nearly equal. Only the first output counts; ``quantization`` is its own.

    One column is a probability where all its values are in 0..1, else a logit. Where two classes are not known it is neither: they
    are known where two have names, or where ``two`` says so.
    """
    if answer.activation != "auto":
        return answer
    first = next(iter(outputs.values()), np.zeros(()))
    values = column(first, quantization)
    if values is not None:
        if not (two or len(answer.labels) == 2):
            return replace(answer, activation="none")
        values = values[~np.isnan(values)]
        return replace(answer, activation="applied" if are_shares(values) else "sigmoid")
    values = scores(replace(answer, activation="none"), outputs, quantization)
    return replace(answer, activation="applied" if values is not None and are_shares(values) else "softmax")


def read_out(answer: Answer, outputs: Arrays, quantization: Quantization | None = None) -> tuple[tuple[Ranked, ...], ...]:
    """For each sample its best ``top_k`` classes, best first, equal scores by index; see ``scores`` for the output that is ranked.

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

    Whole numbers of a quantised output (``quantization`` is its own) are dequantised first. One column,
    [samples] or [samples, 1], gives two classes where ``answer`` names two and says whether it is a probability or a logit, else
    none. Any other output that is not a two-dimensional array of numbers has no class axis.
    """
    values = next(iter(outputs.values()), np.zeros(()))
    single = column(values, quantization)
    if single is not None:
        return two_classes(single, answer.activation) if _reads_column(answer) else None
    if values.ndim != 2 or values.shape[1] < 2 or not np.issubdtype(values.dtype, np.number) or np.iscomplexobj(values):
        return None
    values = _real(values, quantization)
    # Outputs that are not finite stay so, without a warning: it is verification that refuses them.
    if answer.activation in ("softmax", "auto"):
        return softmax(values)
    return sigmoid(values) if answer.activation == "sigmoid" else values


def column(values: Array, quantization: Quantization | None = None) -> Array | None:
    """The one number a sample that ``values`` holds, float64 [samples]; ``None`` for any other shape, and for plain whole numbers."""
    if values.ndim not in (1, 2) or (values.ndim == 2 and values.shape[1] != 1):
        return None
    if values.dtype.kind != "f" and not (quantization and values.dtype.kind in "iu"):
        return None
    return _real(values.reshape(-1), quantization)


def two_classes(values: Array, activation: Activation) -> Array:
    """The probabilities of both classes, float64 [samples, 2], by one number a sample: the second's, ``applied`` or as its logit."""
    second = sigmoid(values) if activation == "sigmoid" else values
    return np.stack([1 - second, second], axis=1)


def _reads_column(answer: Answer) -> bool:
    return answer.activation in TWO_CLASSES and len(answer.labels) == 2


def _real(values: Array, quantization: Quantization | None) -> Array:
    return real_values(values, quantization).astype(np.float64)


def are_shares(values: Array) -> bool:
    """Whether all ``values`` lie in 0..1, as probabilities do."""
    return values.size > 0 and bool(((values >= 0) & (values <= 1)).all())

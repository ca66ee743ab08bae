"""Metrics of classes: one class a sample, one of two, or several labels at once. Sets are judged by scikit-learn."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from roadworthy.build.verify.metrics.metric import GivenTargets, Metric, Outputs, Reading, TargetForm
from roadworthy.build.verify.parity import Voter, voter
from roadworthy.core.errors import BackendMissing, DataError, UsageError
from roadworthy.core.text import first_line
from roadworthy.core.types import Array
from roadworthy.preprocess.answer import column

ONE: tuple[TargetForm, ...] = ("classes", "binary")
SMALLEST = float(np.finfo(np.float32).eps)
"""A probability below this counts as this in the log loss: float32 knows none between it and 0 next to 1."""


def top(name: str, k: int, reading: Reading) -> Metric:
    """The share of samples whose class is among the ``k`` with the best scores."""
    return Metric(name, partial(_top, name, k, reading), forms=(*ONE, "ids") if k == 1 else ONE)


def f1(average: str, reading: Reading) -> Metric:
    """F1 by ``average`` (scikit-learn's ``f1_score``); empty: of the second of two classes, and ``macro`` where there are more."""
    two = reading.form == "binary" or (reading.form in ("classes", "ids") and reading.classes == 2)
    kind = average or ("binary" if two else "macro")
    name = "f1" if kind == "binary" else f"f1-{kind}"
    call = partial(_learned, "f1_score", average=kind, zero_division=0.0)
    return Metric(name, partial(_decisions, name, reading), call, forms=(*ONE, "ids", "multilabel"))


def balanced_accuracy(reading: Reading) -> Metric:
    """The mean over the classes of the share of each that is found (scikit-learn's ``balanced_accuracy_score``)."""
    name = "balanced-accuracy"
    return Metric(name, partial(_decisions, name, reading), partial(_learned, "balanced_accuracy_score"), forms=(*ONE, "ids"))


def ranking(name: str, function: str, reading: Reading) -> Metric:
    """The mean over the classes of scikit-learn's ``function`` of one class against the others, those without samples left out."""
    return Metric(name, partial(_scored, name, reading), partial(_mean_over_classes, function), forms=(*ONE, "multilabel"))


def log_loss(reading: Reading) -> Metric:
    """The negative logarithm of the probability that the right class has; of several labels the mean."""
    return Metric("log-loss", partial(_log_loss, reading), better="lower", forms=(*ONE, "multilabel"), span=None, share=False)


def voter_of(reference: Outputs, metric: str, reading: Reading) -> Voter:
    """The output that gives the class of a sample; UsageError where none does."""
    found = voter(reference, reading.binary, reading.voting)
    if found is None:
        raise UsageError(
            f"{metric} needs an output of shape [samples, classes], or one number a sample and the names of two classes (--labels), and "
            f"the model has neither; use --metric error or your own"
        )
    return found


def _labels(targets: GivenTargets, classes: int) -> Array:
    labels = np.asarray(targets)
    if labels.min() < 0 or labels.max() >= classes:
        raise DataError(f"a label is {labels.max() if labels.min() >= 0 else labels.min()}, but the model has {classes} classes")
    return labels


def _top(
    metric: str, k: int, reading: Reading, outputs: Outputs, reference: Outputs, targets: GivenTargets, scales: dict[str, float]
) -> Array:
    if reading.form == "ids":
        return np.asarray(_ids(outputs, reading) == np.asarray(targets), dtype=np.float64)
    scores = voter_of(reference, metric, reading).scores(outputs)
    labels = _labels(targets, scores.shape[1])
    # A stable sort breaks ties by the index of the class: equal scores for all classes count as an answer of class 0.
    best = np.argsort(-scores.astype(np.float64), axis=1, kind="stable")[:, :k]
    return np.asarray(np.any(best == labels[:, None], axis=1), dtype=np.float64)


def _ids(outputs: Outputs, reading: Reading) -> Array:
    return np.asarray(outputs[reading.output].reshape(-1), dtype=np.int64)


def _decisions(
    metric: str, reading: Reading, outputs: Outputs, reference: Outputs, targets: GivenTargets, scales: dict[str, float]
) -> Array:
    """The truth and what the model says, int64 [n, 2], or [n, 2, labels] for several labels."""
    if reading.form == "multilabel":
        return np.stack([np.asarray(targets), over_threshold(outputs[reading.output], reading)], axis=1).astype(np.int64)
    if reading.form == "ids":
        return np.stack([np.asarray(targets), _ids(outputs, reading)], axis=1)
    return np.stack([np.asarray(targets), np.argmax(voter_of(reference, metric, reading).scores(outputs), axis=1)], axis=1)


def over_threshold(values: Array, reading: Reading) -> Array:
    """Where a probability is above 0.5, or its logit above 0."""
    return np.asarray(values > (0.5 if reading.activation == "applied" else 0.0))


def _scored(metric: str, reading: Reading, outputs: Outputs, reference: Outputs, targets: GivenTargets, scales: dict[str, float]) -> Array:
    """For each class whether it is the truth, and its score, float64 [n, 2, classes]; of two classes the second alone."""
    if reading.form == "multilabel":
        return np.stack([np.asarray(targets), outputs[reading.output]], axis=1).astype(np.float64)
    single = column(outputs[reading.output]) if reading.form == "binary" else None
    if single is not None:
        return np.stack([np.asarray(targets), single], axis=1).astype(np.float64)[:, :, None]
    scores = voter_of(reference, metric, reading).scores(outputs).astype(np.float64)
    if reading.activation == "softmax":
        scores = _log_probabilities(scores, reading)
    truth = np.eye(scores.shape[1])[_labels(targets, scores.shape[1])]
    return np.stack([truth, scores], axis=1)[:, :, 1 if scores.shape[1] == 2 else 0 :]


def _mean_over_classes(function: str, rows: Array) -> float:
    truth, scores = rows[:, 0], rows[:, 1]
    both = np.flatnonzero(truth.any(axis=0) & ~truth.all(axis=0))
    call = sklearn_metric(function)
    return float(np.mean([call(truth[:, index], scores[:, index]) for index in both])) if len(both) else float("nan")


def _learned(function: str, rows: Array, **options: Any) -> float:
    with warnings.catch_warnings():
        # A class that nothing was found for, or that a resample lacks, counts as scikit-learn defines it.
        warnings.simplefilter("ignore")
        return sklearn_metric(function)(rows[:, 0], rows[:, 1], **options)


def _log_loss(reading: Reading, outputs: Outputs, reference: Outputs, targets: GivenTargets, scales: dict[str, float]) -> Array:
    truth = np.asarray(targets)
    if reading.form == "classes":
        found = _log_probabilities(outputs[reading.output].astype(np.float64), reading)
        return np.asarray(-found[np.arange(len(truth)), _labels(truth, found.shape[1])])
    values = outputs[reading.output].astype(np.float64).reshape(truth.shape)
    yes, no = _log_probabilities(values, reading), _log_probabilities(-values if reading.activation == "sigmoid" else 1 - values, reading)
    losses = np.asarray(-np.where(truth > 0, yes, no), dtype=np.float64)
    return np.asarray(losses.reshape(len(losses), -1).mean(axis=1))


def _log_probabilities(values: Array, reading: Reading) -> Array:
    from scipy.special import log_expit, log_softmax

    if reading.activation == "softmax":
        return np.asarray(log_softmax(values, axis=1))
    return np.asarray(log_expit(values) if reading.activation == "sigmoid" else np.log(np.clip(values, SMALLEST, 1.0)))


def sklearn_metric(function: str) -> Callable[..., float]:
    """A function of ``sklearn.metrics``, which raises DataError for answers that it takes no figure of (NaN, say).

    BackendMissing without scikit-learn.
    """
    try:
        from sklearn import metrics
    except ImportError as problem:
        raise BackendMissing("this metric needs scikit-learn: pip install 'roadworthy[build]'") from problem
    named = getattr(metrics, function)

    def call(truth: Array, answers: Array, **options: Any) -> float:
        try:
            return float(named(truth, answers, **options))
        except ValueError as problem:
            raise DataError(f"{function} cannot be computed from these answers: {first_line(problem)}") from None

    return call

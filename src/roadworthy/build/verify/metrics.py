"""The task metrics, one score for each sample: the built-in ones and the user's own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from roadworthy.build.verify.parity import Voter, voter
from roadworthy.core import numerics
from roadworthy.core.errors import DataError, UsageError
from roadworthy.core.isolation import confinement, usercode
from roadworthy.core.types import Array
from roadworthy.preprocess.contract import Activation

Outputs = dict[str, Array]
Labels = Array | dict[str, Array] | None

AGREEMENT, ERROR = "agreement", "error"
SMALLEST = 1e-6
BUILT_IN = ("top1", "top5", AGREEMENT, ERROR)


@dataclass(frozen=True)
class Metric:
    """``score(outputs, reference, labels, scales)`` gives one number a sample, float64 [n].

    ``reference`` holds the original's outputs for the same samples. ``span`` is what one sample can lose at most; ``None``: the
    range of the original's scores. ``relative`` says that the score is itself a loss against the original (0 is best).
    """

    name: str
    score: Callable[[Outputs, Outputs, Labels, dict[str, float]], Array]
    labelled: bool
    span: float | None = 1.0
    relative: bool = False


def find(name: str, binary: Activation | None = None) -> Metric:
    """The metric of that name: a built-in one, ``module:callable`` or ``FILE.py:callable``.

    ``binary`` says that the first output is one number a sample, for two classes: the second's probability (``applied``) or its
    logit (``sigmoid``).

    A user's callable gets ``(outputs, targets)`` for one batch after another: a dict of arrays with the samples first, and the targets
    as the user gave them (an array, a dict of arrays or None). It returns one score a sample, [n], higher is better. Raises UsageError.
    """
    if name in ("top1", "top5"):
        return Metric(name, partial(_top, int(name[3:]), binary), labelled=True)
    if name == AGREEMENT:
        return Metric(name, partial(_agreement, binary), labelled=False)
    if name == ERROR:
        return Metric(name, _error, labelled=False, relative=True)
    if ":" not in name:
        raise UsageError(f"there is no metric {name!r}; there are {', '.join(BUILT_IN)}, module:callable and FILE.py:callable")
    return Metric(name, partial(_custom, name, _load(name)), labelled=False, span=None)


def _top(k: int, binary: Activation | None, outputs: Outputs, reference: Outputs, labels: Labels, scales: dict[str, float]) -> Array:
    logits, classes = _voter(reference, f"top{k}", binary).scores(outputs), np.asarray(labels)
    if classes.min() < 0 or classes.max() >= logits.shape[1]:
        raise DataError(f"a label is {classes.max() if classes.min() >= 0 else classes.min()}, but the model has {logits.shape[1]} classes")
    # A stable sort breaks ties by the index of the class: equal scores for all classes count as an answer of class 0.
    best = np.argsort(-logits.astype(np.float64), axis=1, kind="stable")[:, :k]
    return np.asarray(np.any(best == classes[:, None], axis=1), dtype=np.float64)


def _agreement(binary: Activation | None, outputs: Outputs, reference: Outputs, labels: Labels, scales: dict[str, float]) -> Array:
    voting = _voter(reference, AGREEMENT, binary)
    best, wanted = (np.argmax(voting.scores(answers), axis=1) for answers in (outputs, reference))
    return np.asarray(best == wanted, dtype=np.float64)


def _error(outputs: Outputs, reference: Outputs, labels: Labels, scales: dict[str, float]) -> Array:
    """The relative error of each sample, ||y - y_ref|| / ||y_ref|| over an output's elements; the worst output counts.

    A reference smaller than ``SMALLEST`` of the output's scale is taken as that, so that zeros do not divide. A
    discrete output counts as the share of its elements that differ.
    """
    worst = np.zeros(len(next(iter(reference.values()))))
    for name, truth in reference.items():
        differences = numerics.differences(outputs[name], np.asarray(truth)).reshape(len(truth), -1)
        if truth.dtype.kind in numerics.CONTINUOUS:
            lengths = np.linalg.norm(numerics.magnitudes(truth).reshape(len(truth), -1), axis=1)
            error = np.linalg.norm(differences, axis=1) / np.maximum(lengths, SMALLEST * scales[name])
        else:
            error = np.mean(differences > 0, axis=1)
        worst = np.maximum(worst, error)
    return worst


def _custom(
    name: str, function: Callable[..., Any], outputs: Outputs, reference: Outputs, labels: Labels, scales: dict[str, float]
) -> Array:
    count = len(next(iter(reference.values())))
    try:
        with usercode.running(Path(name.rpartition(":")[0]).name):
            scores = np.asarray(function(outputs, labels), dtype=np.float64)
    except (Exception, SystemExit) as problem:
        raise UsageError(f"the metric {name} raised {type(problem).__name__}: {problem}{confinement.explained(problem)}") from problem
    if scores.shape != (count,):
        raise UsageError(f"the metric {name} gave shape {list(scores.shape)} for {count} samples; it must give one score a sample")
    if not np.all(np.isfinite(scores)):
        raise UsageError(f"the metric {name} gave a score that is not finite")
    return scores


def _voter(reference: Outputs, metric: str, binary: Activation | None) -> Voter:
    found = voter(reference, binary)
    if found is None:
        raise UsageError(
            f"{metric} needs an output of shape [samples, classes], or one number a sample and the names of two classes (--labels), and "
            f"the model has neither; use --metric {ERROR} or your own"
        )
    return found


def _load(name: str) -> Callable[..., Any]:
    where, _, attribute = name.rpartition(":")
    try:
        if where.endswith(".py") and not confinement.located(Path(where)).is_file():
            raise FileNotFoundError(f"{where} is not a Python file")
        found = getattr(usercode.module(where, f"roadworthy_metric_{Path(where).stem}"), attribute)
    except (Exception, SystemExit) as problem:
        said = f"{type(problem).__name__}: {problem}{confinement.explained(problem)}"
        raise UsageError(f"the metric {name} cannot be loaded: {said}") from problem
    if not callable(found):
        raise UsageError(f"the metric {name} is not callable")
    return found  # type: ignore[no-any-return]

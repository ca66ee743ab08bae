"""What each output of a model is taught by: a loss over classes, over probabilities of their own, or over numbers, and its labels.

The original's answers decide, and the labels where there are some. The words: an output of ``classes`` has one axis whose most probable
entry is the answer (softmax); an output of ``shares`` holds numbers that are each the probability of something (sigmoid); the rest are
``values``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np

from roadworthy.core.errors import DataError, SourceError
from roadworthy.core.numerics import sigmoid
from roadworthy.core.samples import TARGET, SampleSet, Targets
from roadworthy.core.types import Array, Arrays

Form: TypeAlias = Literal["classes", "shares", "values"]
Written: TypeAlias = Literal["indexes", "masks", "one-hot", "numbers"]
"""How labels are written: masks are indexes with some that do not count."""

IGNORED = 255
"""In masks the value of pixels that do not count, where there are fewer classes."""
NO_CLASS = -1
"""In prepared labels, what does not count."""
LEAST = 1e-7
"""A probability below this counts as this in a logarithm."""
NEAR = 1e-3
"""How far the probabilities of all classes may be from 1 in all, or one from 0..1: float16 rounds so."""


@dataclass(frozen=True)
class OutputLoss:
    """How one output is taught. ``axis`` is that of the classes in rows [samples, ...].

    ``applied`` says that the model itself ends in a softmax or sigmoid. ``scale`` divides the squared error of values: the mean square of
    the original's answers around their mean. ``target`` names the labels in the sample set, which are ``written`` in one of four ways;
    ``None`` where the original's answers alone teach this output.
    """

    output: str
    form: Form
    axis: int = 1
    applied: bool = False
    scale: float = 1.0
    target: str | None = None
    written: Written = "numbers"


def output_losses(answers: Arrays, training: SampleSet, *, labels: bool) -> tuple[OutputLoss, ...]:
    """How each output is taught, in order, by the original's ``answers`` (rows by output name) and the labels of ``training``.

    Outputs that are not floats (the index of a class, say) cannot be taught, and follow from the others. ``labels`` says that the labels
    are needed. Raises DataError where they do not fit, SourceError for a model without an output that can be taught.
    """
    floats = {name: array for name, array in answers.items() if array.dtype.kind == "f"}
    if not floats:
        raise SourceError("the model answers with whole numbers alone, which have no slope to learn by; give one that answers with scores")
    strange = next((name for name, array in floats.items() if not np.isfinite(array).all()), None)
    if strange is not None:
        raise DataError(f"the original's answer {strange!r} is not a number for some of the samples, which cannot be learned from")
    targets = training.open_targets()
    found = {name: _by_label(name, array, targets) for name, array in floats.items()}
    if set(targets) == {TARGET}:
        first = next((name for name, loss in found.items() if loss is not None), None)
        found = {name: loss if name == first else None for name, loss in found.items()}
    if labels and not any(found.values()):
        what = "the training data has no labels" if not targets else f"the labels ({_described(targets)}) fit no output of the model"
        raise DataError(f"{what}: use the original's answers alone (soft=1)")
    return tuple(_measured(found[name] or _by_answers(name, array), array) for name, array in floats.items())


def check_student(losses: Sequence[OutputLoss], answers: Arrays) -> None:
    """Raise SourceError where the student's ``answers`` are probabilities and the original's are not, or the other way round."""
    for loss in losses:
        array = answers[loss.output]
        if loss.form == "values":
            continue
        shares = _are_shares(array, loss.axis if loss.form == "classes" else None)
        if loss.applied and not shares:
            last = "softmax" if loss.form == "classes" else "sigmoid"
            raise SourceError(f"the original's output {loss.output!r} holds probabilities and the student's does not: end it in a {last}")
        if not loss.applied and shares and loss.form == "classes":
            raise SourceError(f"the student's output {loss.output!r} holds probabilities and the original's scores: leave its softmax out")


def prepared(loss: OutputLoss, labels: Array) -> Array:
    """``labels`` as the loss takes them: int64 indexes without the axis of the classes, or float32 with as many numbers as the output."""
    if loss.form != "classes":
        return labels.astype(np.float32)
    if loss.written == "one-hot":
        return np.asarray(labels.argmax(axis=loss.axis).astype(np.int64))
    whole = labels.astype(np.int64).reshape(_squeezed(labels.shape))
    return np.where(whole == IGNORED, NO_CLASS, whole) if loss.written == "masks" else whole


def score(loss: OutputLoss, given: Array, wanted: Array, labels: Array | None) -> float:
    """How good the answers ``given`` are, more is better: against ``labels`` (prepared) or the original's answers ``wanted``; rows.

    The part that is right of classes, of two classes in one column, and else minus the loss.
    """
    if loss.form == "classes":
        right = wanted.argmax(axis=loss.axis) if labels is None else labels
        counted = right != NO_CLASS
        return float((given.argmax(axis=loss.axis) == right)[counted].mean()) if counted.any() else 0.0
    if loss.form == "shares":
        limit = 0.5 if loss.applied else 0.0
        if given.size == len(given):
            second = (wanted > limit) if labels is None else labels > 0.5
            return float(((given > limit).reshape(-1) == second.reshape(-1)).mean())
        return -_cross_entropy(_probabilities(loss, given), _probabilities(loss, wanted) if labels is None else labels)
    right = wanted if labels is None else labels.reshape(given.shape)
    return -float(np.mean(np.square(given.astype(np.float64) - right))) / loss.scale


def judged(losses: Sequence[OutputLoss]) -> OutputLoss:
    """The output by which a model is judged: one with labels before one without, classes before the rest."""
    order: list[Form] = ["classes", "shares", "values"]
    return min(losses, key=lambda loss: (loss.target is None, order.index(loss.form)))


def _by_label(name: str, array: Array, targets: Targets) -> OutputLoss | None:
    """The loss of an output by the labels that have its name, or none; DataError for class indexes that the output does not have."""
    target = name if name in targets else TARGET if TARGET in targets else None
    if target is None:
        return None
    y, shape = targets[target], array.shape[1:]
    if y.dtype.kind not in "biuf":
        return None
    whole = y.dtype.kind in "biu" or bool(np.isfinite(y).all() and (y == np.rint(y)).all())
    for axis in _class_axes(shape):
        if _squeezed(y.shape) == (len(y), *_without(shape, axis)) and whole:
            masks = len(shape) > 1 and shape[axis - 1] <= IGNORED
            _check_range(y, shape[axis - 1], name, masks=masks)
            return OutputLoss(name, "classes", axis, target=target, written="masks" if masks else "indexes")
        if y.shape[1:] == shape and _one_hot(y, axis):
            return OutputLoss(name, "classes", axis, target=target, written="one-hot")
    if _squeezed(y.shape) != _squeezed((len(y), *shape)):
        return None
    binary = bool(((y == 0) | (y == 1)).all())
    return OutputLoss(name, "shares" if binary else "values", target=target)


def _by_answers(name: str, array: Array) -> OutputLoss:
    """The loss of an output without labels. A row of numbers that are not probabilities are scores of classes, unless it is a direction."""
    for axis in _class_axes(array.shape[1:]):
        if _are_shares(array, axis):
            return OutputLoss(name, "classes", axis)
    if _are_shares(array, None):
        return OutputLoss(name, "shares")
    if array.ndim == 2 and array.shape[1] > 1 and not np.allclose(np.linalg.norm(array, axis=1), 1.0, atol=NEAR):
        return OutputLoss(name, "classes")
    return OutputLoss(name, "values")


def _measured(loss: OutputLoss, array: Array) -> OutputLoss:
    if loss.form == "values":
        wide = array.astype(np.float64)
        return replace(loss, scale=float(np.mean(np.square(wide - wide.mean(axis=0)))) or 1.0)
    return replace(loss, applied=_are_shares(array, loss.axis if loss.form == "classes" else None))


def _class_axes(shape: Sequence[int]) -> list[int]:
    """The axes of rows [samples, ...] that may be that of the classes: the first and the last of a sample, where there are two or more."""
    return [axis for axis in dict.fromkeys((1, len(shape))) if shape and shape[axis - 1] > 1]


def _are_shares(array: Array, axis: int | None) -> bool:
    """Whether all values are probabilities and, with ``axis``, sum to 1 along it."""
    if array.min(initial=0) < -NEAR or array.max(initial=0) > 1 + NEAR:
        return False
    return axis is None or bool(np.allclose(array.sum(axis=axis, dtype=np.float64), 1.0, atol=NEAR))


def _one_hot(y: Array, axis: int) -> bool:
    return bool(((y == 0) | (y == 1)).all() and (y.sum(axis=axis) == 1).all())


def _check_range(y: Array, classes: int, name: str, *, masks: bool) -> None:
    wrong = (y < 0) | ((y >= classes) & ~((y == IGNORED) & masks))
    if wrong.any():
        raise DataError(
            f"the data has a sample of class {int(y[wrong].flat[0])}; the output {name!r} with {classes} classes knows 0 to {classes - 1}"
        )


def _without(shape: Sequence[int], axis: int) -> tuple[int, ...]:
    return tuple(size for number, size in enumerate(shape, 1) if number != axis)


def _squeezed(shape: Sequence[int]) -> tuple[int, ...]:
    """``shape`` less a last axis of one."""
    return tuple(shape[:-1]) if len(shape) > 1 and shape[-1] == 1 else tuple(shape)


def _probabilities(loss: OutputLoss, array: Array) -> Array:
    return array.astype(np.float64) if loss.applied else sigmoid(array)


def _cross_entropy(given: Array, wanted: Array) -> float:
    safe, right = np.clip(given, LEAST, 1 - LEAST), wanted.reshape(given.shape)
    return float(-np.mean(right * np.log(safe) + (1 - right) * np.log(1 - safe)))


def _described(targets: Targets) -> str:
    return ", ".join(f"{name or 'y'} {array.dtype} {list(array.shape)}" for name, array in targets.items())

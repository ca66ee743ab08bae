"""Metrics of masks: the class of each pixel. Negative classes, and 255 where there are fewer classes, mark pixels that do not count."""

from __future__ import annotations

from functools import partial

import numpy as np

from roadworthy.build.verify.metrics.classes import over_threshold
from roadworthy.build.verify.metrics.metric import GivenTargets, Metric, Outputs, Reading, TargetForm
from roadworthy.core.types import Array

MASKS: tuple[TargetForm, ...] = ("masks",)


def pixel_accuracy(reading: Reading) -> Metric:
    """The share of each sample's pixels that have the right class."""
    return Metric("pixel-accuracy", partial(_accuracy, reading), forms=MASKS)


def mean_iou(reading: Reading) -> Metric:
    """The mean over the classes of the intersection over the union, both of all pixels of all samples."""
    return Metric("miou", partial(_counts, reading), _mean_iou, forms=MASKS)


def found_classes(values: Array, reading: Reading) -> Array:
    """The class of each pixel, int64: the largest of its scores; where it has one number, that number against the threshold."""
    if reading.axis:
        return np.asarray(np.argmax(values, axis=reading.axis))
    return np.asarray(over_threshold(values, reading) if values.dtype.kind == "f" else values, dtype=np.int64)


def _pixels(reading: Reading, outputs: Outputs, targets: GivenTargets) -> tuple[Array, Array]:
    """Truth and answer, int64 [n, pixels]; the truth is -1 where a pixel does not count."""
    truth = np.asarray(targets).astype(np.int64).reshape(len(np.asarray(targets)), -1)
    found = found_classes(outputs[reading.output], reading).reshape(truth.shape)
    return np.where((truth < 0) | (truth >= reading.classes), -1, truth), found


def _accuracy(reading: Reading, outputs: Outputs, reference: Outputs, targets: GivenTargets, scales: dict[str, float]) -> Array:
    truth, found = _pixels(reading, outputs, targets)
    counted = np.maximum((truth >= 0).sum(axis=1), 1)
    return np.asarray(((truth == found) & (truth >= 0)).sum(axis=1) / counted)


def _counts(reading: Reading, outputs: Outputs, reference: Outputs, targets: GivenTargets, scales: dict[str, float]) -> Array:
    """The pixels of each class in the truth, in the answer and in both, int64 [n, 3, classes]."""
    truth, found = _pixels(reading, outputs, targets)
    count = reading.classes
    rows = np.zeros((len(truth), 3, count), np.int64)
    for index, (right, said) in enumerate(zip(truth, found, strict=True)):
        counts = right >= 0
        for place, classes in enumerate((right[counts], said[counts], right[counts & (right == said)])):
            # An answer that is no class of the truth counts for no class, and as an error of the class that is right.
            rows[index, place] = np.bincount(classes[(classes >= 0) & (classes < count)], minlength=count)
    return rows


def _mean_iou(rows: Array) -> float:
    truth, found, both = rows.sum(axis=0)
    union = truth + found - both
    return float(np.mean(both[union > 0] / union[union > 0])) if union.any() else float("nan")

"""Metrics of numbers: how far the answers are from targets of the same shape."""

from __future__ import annotations

from functools import partial

import numpy as np

from roadworthy.build.verify.metrics.classes import sklearn_metric
from roadworthy.build.verify.metrics.metric import GivenTargets, Metric, Outputs, Reading, TargetForm
from roadworthy.core.types import Array

VALUES: tuple[TargetForm, ...] = ("values",)
MOST_DECIBEL = 100.0
"""A picture without any error has an infinite ratio; it counts as this."""


def mae(reading: Reading) -> Metric:
    """The mean absolute error of each sample."""
    return Metric("mae", partial(_of_errors, reading, np.abs), better="lower", forms=VALUES, span=None, share=False)


def rmse(reading: Reading) -> Metric:
    """The root of the mean squared error over all samples."""
    rows = partial(_of_errors, reading, np.square)
    return Metric("rmse", rows, _root_of_mean, better="lower", forms=VALUES, span=None, share=False)


def r2(reading: Reading) -> Metric:
    """The share of the targets' variance that is explained, the mean over the columns (scikit-learn's ``r2_score``)."""
    return Metric("r2", partial(_pairs, reading), _r2, forms=VALUES, span=None, share=False)


def psnr(reading: Reading) -> Metric:
    """The peak signal to noise ratio of each sample in decibel; the peak is 255 for uint8 and 1 for floats up to 1."""
    return Metric("psnr", partial(_psnr, reading), forms=VALUES, span=None, share=False)


def _pairs(reading: Reading, outputs: Outputs, reference: Outputs, targets: GivenTargets, scales: dict[str, float]) -> Array:
    """Targets and answers, float64 [n, 2, numbers]."""
    truth = np.asarray(targets, dtype=np.float64).reshape(len(np.asarray(targets)), -1)
    return np.stack([truth, np.asarray(outputs[reading.output], dtype=np.float64).reshape(truth.shape)], axis=1)


def _of_errors(
    reading: Reading, of: np.ufunc, outputs: Outputs, reference: Outputs, targets: GivenTargets, scales: dict[str, float]
) -> Array:
    pairs = _pairs(reading, outputs, reference, targets, scales)
    return np.asarray(of(pairs[:, 1] - pairs[:, 0]).mean(axis=1))


def _psnr(reading: Reading, outputs: Outputs, reference: Outputs, targets: GivenTargets, scales: dict[str, float]) -> Array:
    squares = _of_errors(reading, np.square, outputs, reference, targets, scales)
    return np.asarray(10 * np.log10(reading.peak**2 / np.maximum(squares, reading.peak**2 * 10 ** (-MOST_DECIBEL / 10))))


def _root_of_mean(rows: Array) -> float:
    return float(np.sqrt(np.mean(rows)))


def _r2(rows: Array) -> float:
    return sklearn_metric("r2_score")(rows[:, 0], rows[:, 1]) if len(rows) > 1 else float("nan")

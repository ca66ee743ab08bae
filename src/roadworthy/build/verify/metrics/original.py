"""Metrics without labels: how the answers compare with the original's own."""

from __future__ import annotations

from functools import partial

import numpy as np

from roadworthy.build.verify.metrics.classes import voter_of
from roadworthy.build.verify.metrics.metric import GivenTargets, Metric, Outputs, Reading
from roadworthy.core import numerics
from roadworthy.core.types import Array

AGREEMENT, ERROR = "agreement", "error"
SMALLEST = 1e-6


def agreement(reading: Reading) -> Metric:
    """The share of samples with the original's top class."""
    return Metric(AGREEMENT, partial(_agreement, reading))


def error() -> Metric:
    """The relative error of each sample against the original."""
    return Metric(ERROR, _error, better="lower", relative=True)


def _agreement(reading: Reading, outputs: Outputs, reference: Outputs, targets: GivenTargets, scales: dict[str, float]) -> Array:
    voting = voter_of(reference, AGREEMENT, reading)
    best, wanted = (np.argmax(voting.scores(answers), axis=1) for answers in (outputs, reference))
    return np.asarray(best == wanted, dtype=np.float64)


def _error(outputs: Outputs, reference: Outputs, targets: GivenTargets, scales: dict[str, float]) -> Array:
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

"""The task metric of the original and of a candidate, with its uncertainty and against the budget."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from roadworthy.build.verify import intervals, metrics
from roadworthy.build.verify.metrics import Metric
from roadworthy.build.verify.reference import Reference
from roadworthy.core.errors import DataError
from roadworthy.core.evidence import Interval, Score
from roadworthy.core.numerics import ROWS
from roadworthy.core.samples import SampleSet, Targets, as_given
from roadworthy.core.types import Array
from roadworthy.preprocess.contract import Activation


@dataclass(frozen=True)
class ScoreRequest:
    """What the original's own score is computed from; for ``binary`` see ``metrics.find``."""

    samples: SampleSet
    reference: Reference
    metric: str
    budget: float
    binary: Activation | None = None


def score_original(request: ScoreRequest) -> Score:
    """The original's own score: a step, or a plain call. Raises UsageError for the metric, DataError for the labels."""
    metric = metric_for(request.metric, request.samples, request.binary)
    if metric.name == metrics.AGREEMENT and request.reference.classes == 1:
        raise DataError(
            f"the original's top class is the same for all {request.reference.samples} samples, so that others agree with it says nothing: "
            f"give --data whose classes differ, or use --metric {metrics.ERROR}"
        )
    outputs, scales = request.reference.values(), request.reference.scale()
    targets = request.samples.open_targets()
    scores = []
    for start in range(0, request.reference.samples, ROWS):
        rows = slice(start, start + ROWS)
        piece = {name: np.asarray(array[rows]) for name, array in outputs.items()}
        scores.append(metric.score(piece, piece, rows_of(targets, rows), scales))
    joined = np.concatenate(scores)
    value = intervals.mean_interval(joined)
    return Score(metric.name, len(joined), value, value.value, Interval(0.0, 0.0, 0.0), 0.0, request.budget)


def rows_of(targets: Targets, rows: slice) -> Array | dict[str, Array] | None:
    """Some rows of the targets as the user gave them: one array, or arrays by name; ``None`` where there are none."""
    return as_given({name: np.asarray(array[rows]) for name, array in targets.items()})


def metric_for(name: str, samples: SampleSet, binary: Activation | None) -> Metric:
    """The metric of that name, which ``samples`` have what it needs for: UsageError for the name, DataError without labels."""
    metric = metrics.find(name, binary)
    if metric.labelled and not samples.labelled:
        raise DataError(f"{name} needs labels and the data has none; use --metric agreement or --metric error")
    return metric


def score(metric: Metric, scores: Array, losses: Array, budget: float) -> Score:
    """The score of a candidate from its per-sample ``scores`` and its ``losses`` against the original, float64 [samples] each."""
    originals = np.zeros_like(scores) if metric.relative else scores + losses
    span = metric.span if metric.span is not None else float(np.ptp(originals)) or 1.0
    drop, bound = intervals.drop_interval(losses, span)
    needed = intervals.samples_needed(losses, span, budget) if bound > budget else None
    return Score(metric.name, len(scores), intervals.mean_interval(scores), float(np.mean(originals)), drop, bound, budget, needed)


def beyond_budget(score: Score, metric: Metric) -> str:
    """Why a score is not within the budget, in words."""
    found = f"{score.metric} is {score.drop.value:.2%}" if metric.relative else f"{score.metric} drops by {score.drop.value:.2%}"
    may = "be" if metric.relative else "drop by"
    said = f"{found} and may {may} {score.bound:.2%} (95 % confidence, {score.samples} samples) where {score.budget:.2%} is allowed"
    return f"{said}; with about {score.needed} samples like these it would have passed" if score.needed else said

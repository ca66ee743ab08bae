"""The task metric of the original and of a candidate, with its uncertainty and against the budget."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from roadworthy.build.verify import intervals, metrics, sequential
from roadworthy.build.verify.metrics import Metric
from roadworthy.build.verify.reference import Reference
from roadworthy.build.verify.sequential import Bounds
from roadworthy.core.errors import DataError
from roadworthy.core.evidence import Interval, Part, Score
from roadworthy.core.numerics import ROWS
from roadworthy.core.samples import SampleSet, Targets, as_given
from roadworthy.core.types import Array
from roadworthy.preprocess.contract import Activation


@dataclass(frozen=True)
class ScoreRequest:
    """What the original's own score is computed from; for ``binary`` see ``metrics.find``.

    Where the first ``choosing`` samples choose among the candidates, the score is of the others.
    """

    samples: SampleSet
    reference: Reference
    metric: str
    budget: float
    binary: Activation | None = None
    choosing: int | None = None


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
    for start in range(request.choosing or 0, request.reference.samples, ROWS):
        rows = slice(start, start + ROWS)
        piece = {name: np.asarray(array[rows]) for name, array in outputs.items()}
        scores.append(metric.score(piece, piece, rows_of(targets, rows), scales))
    joined = np.concatenate(scores)
    value = intervals.mean_interval(joined)
    part: Part = "all" if request.choosing is None else "final"
    return Score(metric.name, len(joined), value, value.value, Interval(0.0, 0.0, 0.0), 0.0, request.budget, part=part)


def rows_of(targets: Targets, rows: slice) -> Array | dict[str, Array] | None:
    """Some rows of the targets as the user gave them: one array, or arrays by name; ``None`` where there are none."""
    return as_given({name: np.asarray(array[rows]) for name, array in targets.items()})


def metric_for(name: str, samples: SampleSet, binary: Activation | None) -> Metric:
    """The metric of that name, which ``samples`` have what it needs for: UsageError for the name, DataError without labels."""
    metric = metrics.find(name, binary)
    if metric.labelled and not samples.labelled:
        raise DataError(f"{name} needs labels and the data has none; use --metric agreement or --metric error")
    return metric


def score(metric: Metric, scores: Array, losses: Array, budget: float, *, alpha: float = intervals.ONE_SIDED) -> Score:
    """The score of a candidate from its per-sample ``scores`` and its ``losses`` against the original, float64 [samples] each.

    ``alpha`` is the error of the one-sided bound.
    """
    originals = np.zeros_like(scores) if metric.relative else scores + losses
    span = metric.span if metric.span is not None else float(np.ptp(originals)) or 1.0
    drop, bound = intervals.drop_interval(losses, span, alpha)
    needed = intervals.samples_needed(losses, span, budget, alpha) if bound > budget else None
    return Score(metric.name, len(scores), intervals.mean_interval(scores), float(np.mean(originals)), drop, bound, budget, needed)


def stopped(found: Score, scores: Array, losses: Array, metric: Metric) -> Score:
    """``found`` with intervals that are valid although the ``losses`` themselves decided how many samples there are."""
    bounds = loss_bounds(metric)
    value, _ = sequential.interval(scores, Bounds(0.0, bounds.high), found.value)
    drop, bound = sequential.interval(losses, bounds, found.drop)
    return replace(found, value=value, drop=drop, bound=bound, needed=None)


def loss_bounds(metric: Metric) -> Bounds:
    """The least and the most that one sample can lose; those of a user's own metric are not known."""
    if metric.relative:
        return Bounds(0.0, math.inf)
    return Bounds(-math.inf, math.inf) if metric.span is None else Bounds(-metric.span, metric.span)


def beyond_budget(score: Score, metric: Metric) -> str:
    """Why a score is not within the budget, in words."""
    found = f"{score.metric} is {score.drop.value:.2%}" if metric.relative else f"{score.metric} drops by {score.drop.value:.2%}"
    may = "be" if metric.relative else "drop by"
    said = f"{found} and may {may} {score.bound:.2%} (95 % confidence, {score.samples} samples) where {score.budget:.2%} is allowed"
    return f"{said}; with about {score.needed} samples like these it would have passed" if score.needed else said

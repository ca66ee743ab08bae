"""The task metric of the original and of a candidate, with its uncertainty and against the budget."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from roadworthy.build.verify import intervals, metrics, sequential
from roadworthy.build.verify.metrics import GivenTargets, Metric, Reading
from roadworthy.build.verify.reference import Reference
from roadworthy.build.verify.sequential import Bounds
from roadworthy.core.errors import DataError, UsageError
from roadworthy.core.evidence import Budget, Interval, Part, Score
from roadworthy.core.numerics import ROWS
from roadworthy.core.samples import SampleSet, Targets, as_given
from roadworthy.core.types import Array


@dataclass(frozen=True)
class ScoreRequest:
    """What the original's own score is computed from; for ``reading`` see ``metrics.find``.

    Where the first ``choosing`` samples choose among the candidates, the score is of the others.
    """

    samples: SampleSet
    reference: Reference
    metric: str
    budget: Budget
    reading: Reading = Reading()  # noqa: RUF009 (it is frozen)
    choosing: int | None = None


@dataclass(frozen=True)
class BudgetRequest:
    """The arguments of ``check_budget``; ``labels`` says that there may be some."""

    metric: str
    budget: Budget
    labels: bool = True


def check_budget(request: BudgetRequest) -> None:
    """A step, because the metric may be the user's own code: whether there is that metric, and whether budget and data fit it.

    Raises UsageError where the budget does not, DataError where there are no labels for it.
    """
    metric, budget = metrics.find(request.metric), request.budget
    if metric.forms and not request.labels:
        raise DataError(f"{metric.name} needs labels: give --data with them, or use --metric agreement or --metric error")
    stated = f"{100 * budget.amount:g}%" if budget.relative else f"{budget.amount:g}"
    if budget.way == "drop" and metric.better == "lower" and not metric.relative:
        raise UsageError(f"--max-drop {stated}: lower is better for {metric.name}, so say how much it may rise: --max-rise {stated}")
    if budget.way == "rise" and metric.better == "higher":
        raise UsageError(f"--max-rise {stated}: higher is better for {metric.name}, so say how much it may drop: --max-drop {stated}")
    if metric.share and metric.span is not None and not budget.relative and budget.amount > 1:
        raise UsageError(f"--max-{budget.way} {stated}: {metric.name} lies between 0 and 1; for a part of it write {stated}%")


def score_original(request: ScoreRequest) -> Score:
    """The original's own score: a step, or a plain call. Raises UsageError for the metric, DataError for the labels."""
    metric = metric_for(request.metric, request.samples, request.reading)
    if metric.name == metrics.AGREEMENT and request.reference.classes == 1:
        raise DataError(
            f"the original's top class is the same for all {request.reference.samples} samples, so that others agree with it says nothing: "
            f"give --data whose classes differ, or use --metric {metrics.ERROR}"
        )
    outputs, scales = request.reference.values(), request.reference.scale()
    targets = request.samples.open_targets()
    rows = []
    for start in range(request.choosing or 0, request.reference.samples, ROWS):
        here = slice(start, start + ROWS)
        piece = {name: np.asarray(array[here]) for name, array in outputs.items()}
        rows.append(metric.rows(piece, piece, rows_of(targets, here), scales))
    joined = np.concatenate(rows)
    found = score(metric, joined, joined, 0.0)
    # What the original loses against itself is nothing, whatever the samples could prove.
    budget = allowed(request.budget, metric, found.original)
    part: Part = "all" if request.choosing is None else "final"
    return replace(found, drop=Interval(0.0, 0.0, 0.0), bound=0.0, budget=budget, needed=None, part=part)


def allowed(budget: Budget, metric: Metric, original: float) -> float:
    """The budget in the metric's units; a score that is itself a loss against the original is a part of one already."""
    return budget.amount * (abs(original) if budget.relative and not metric.relative else 1.0)


def rows_of(targets: Targets, rows: slice) -> GivenTargets:
    """Some rows of the targets as the user gave them: one array, or arrays by name; ``None`` where there are none."""
    return as_given({name: np.asarray(array[rows]) for name, array in targets.items()})


def metric_for(name: str, samples: SampleSet, reading: Reading) -> Metric:
    """The metric of that name, which ``samples`` have what it needs for: UsageError for the name, DataError without labels."""
    metric = metrics.find(name, reading)
    if metric.forms and not samples.labelled:
        raise DataError(f"{name} needs labels and the data has none; use --metric agreement or --metric error")
    return metric


def score(metric: Metric, mine: Array, theirs: Array, budget: float, *, alpha: float = intervals.ONE_SIDED) -> Score:
    """The score of a candidate from its rows and the original's (see ``Metric``) on the same samples; ``budget`` is in its units.

    ``alpha`` is the error of the one-sided bound. Raises DataError where a score is not finite, or not defined on the samples.
    """
    sign = 1 if metric.better == "higher" else -1
    if any(rows.dtype.kind == "f" and not np.isfinite(rows).all() for rows in (mine, theirs)):
        raise DataError(
            f"{metric.name} is not a finite number on some of these {len(mine)} samples: the answers hold NaN or infinite values; check "
            f"those samples, or use --metric {metrics.ERROR}"
        )
    if metric.combine is not None:
        # A quantile beyond the last few resamples is not a bound: a smaller error needs more of them.
        resamples = max(metric.resamples, math.ceil(5 / alpha))
        found = intervals.set_intervals(metric.combine, mine, theirs, sign=sign, span=metric.span, resamples=resamples, alpha=alpha)
        if found is None:
            raise DataError(f"{metric.name} is not defined on these {len(mine)} samples, or on most resamples of them: give more --data")
        return Score(
            metric.name, len(mine), found.value, found.original, found.drop, found.bound, budget,
            better=metric.better, interval="resampled", share=metric.share,
        )  # fmt: skip
    originals = np.zeros_like(mine) if metric.relative else theirs
    losses = losses_of(metric, mine, theirs)
    span = metric.span if metric.span is not None else float(np.ptp(originals)) or 1.0
    drop, bound = intervals.drop_interval(losses, span, alpha)
    needed = intervals.samples_needed(losses, span, budget, alpha) if bound > budget else None
    value, original = intervals.mean_interval(mine), float(np.mean(originals))
    return Score(metric.name, len(mine), value, original, drop, bound, budget, needed, better=metric.better, share=metric.share)


def losses_of(metric: Metric, mine: Array, theirs: Array) -> Array:
    """What each sample loses against the original (float64 [samples]; positive is worse), for a metric of one score a sample."""
    losses = (0.0 if metric.relative else theirs) - mine
    return np.asarray(losses if metric.better == "higher" else -losses, dtype=np.float64)


def stopped(found: Score, metric: Metric, mine: Array, theirs: Array) -> Score:
    """``found`` with intervals that are valid although the losses themselves decided how many samples there are."""
    bounds = loss_bounds(metric)
    value, _ = sequential.interval(np.asarray(mine, dtype=np.float64), Bounds(0.0, bounds.high), found.value)
    drop, bound = sequential.interval(losses_of(metric, mine, theirs), bounds, found.drop)
    return replace(found, value=value, drop=drop, bound=bound, needed=None)


def loss_bounds(metric: Metric) -> Bounds:
    """The least and the most that one sample can lose, infinite where that is not known."""
    if metric.relative:
        return Bounds(0.0, math.inf)
    return Bounds(-math.inf, math.inf) if metric.span is None else Bounds(-metric.span, metric.span)


def beyond_budget(score: Score, metric: Metric) -> str:
    """Why a score is not within the budget, in words."""
    shown = score.shown
    verb = "drop" if metric.better == "higher" else "rise"
    found = f"{score.metric} is {shown(score.drop.value)}" if metric.relative else f"{score.metric} {verb}s by {shown(score.drop.value)}"
    may = "be" if metric.relative else f"{verb} by"
    how = f"95 % confidence, {score.samples} samples{', resampled' if score.interval == 'resampled' else ''}"
    said = f"{found} and may {may} {shown(score.bound)} ({how}) where {shown(score.budget)} is allowed"
    if not score.needed:
        return said
    part = "" if score.part == "all" else " in this part, which is half of those to evaluate,"
    return f"{said}; with about {score.needed} samples like these{part} it would have passed"

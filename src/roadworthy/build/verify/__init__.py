"""Candidate to Verified or Rejected: parity with the original at every promised batch size, and the task metric with its uncertainty."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from roadworthy.build.verify import feeding, intervals, metrics, parity
from roadworthy.build.verify.beside import Beside, beside
from roadworthy.build.verify.chance import doubts
from roadworthy.build.verify.feeding import Piece
from roadworthy.build.verify.metrics import BUILT_IN, Metric
from roadworthy.build.verify.parity import top_classes
from roadworthy.build.verify.reference import Reference, ReferenceRequest, establish
from roadworthy.core.errors import DataError, RoadworthyError, StepFailed
from roadworthy.core.evidence import Interval, Parity, Score
from roadworthy.core.samples import SampleSet
from roadworthy.core.stages import Candidate, Rejected, Verified
from roadworthy.core.types import Array, Signature
from roadworthy.preprocess.contract import Activation
from roadworthy.runtimes import CheckedSession, open_session

__all__ = [
    "BUILT_IN", "Beside", "Outcome", "Reference", "ReferenceRequest", "ScoreRequest", "VerifyRequest", "beside", "doubts", "establish",
    "explained", "score_original", "top_classes", "verify",
]  # fmt: skip

BATCH = 32
FEW = 10
_AT = "roadworthy: verifying at a batch of "
BATCH_FACTOR = 4.0
"""Answers to the same samples may differ in error between two batch sizes by this factor; kernels differ, functions do not."""


@dataclass(frozen=True)
class VerifyRequest:
    """``batches`` are the sizes promised; ``budget`` is the largest drop of ``metric`` that is allowed.

    For ``metric`` and ``binary`` see ``metrics.find``.
    """

    candidate: Candidate
    samples: SampleSet
    reference: Reference
    metric: str
    budget: float
    batches: tuple[int, ...] = (1, 2, 5)
    binary: Activation | None = None


@dataclass(frozen=True)
class ScoreRequest:
    """The original's own score is asked for; for ``binary`` see ``metrics.find``."""

    samples: SampleSet
    reference: Reference
    metric: str
    budget: float
    binary: Activation | None = None


@dataclass(frozen=True)
class Outcome:
    """One of the two; JSON needs to know which."""

    verified: Verified | None = None
    rejected: Rejected | None = None


def explained(problem: RoadworthyError) -> str:
    """Why a child that ran ``verify`` ended without an outcome, with the batch size at which it crashed or hung."""
    _, found, after = problem.detail.rpartition(_AT)
    at = after.split("\n")[0]
    return f"{problem.message} (at a batch of {at})" if found and isinstance(problem, StepFailed) else problem.message


def verify(request: VerifyRequest) -> Outcome:
    """A step, run in a child for each candidate: the pass rule.

    Rejected are: answers that are not numbers; answers that depend on the batch size; a candidate that is not lossy and is not the
    same function as the original, unless that is quantised; and, of all others that are lossy or not the same function, those whose
    drop may exceed the budget at 95 % confidence.
    """
    candidate, reference = request.candidate, request.reference
    metric = _metric(request.metric, request.samples, request.binary)
    with open_session(candidate.path, candidate.signature, candidate.plan) as session:
        trial = _Trial(session, candidate.signature, request.samples, reference, request.binary)
        found, losses, scores = trial.everything(metric)
        size = candidate.signature.call_size(BATCH)
        sizes = tuple(sorted({size, *(candidate.signature.call_size(batch) for batch in request.batches)}))
        seen = found.parity(sizes, reference.tolerance.limit, classes=reference.classes)
        if found.nonfinite:
            return _rejected(request, f"gives NaN or infinite values where the original's are finite ({found.nonfinite} seen)", seen)
        if fault := trial.batch_fault(sizes):
            return _rejected(request, fault, seen)
    score = _score(metric, scores, losses, request.budget)
    if not candidate.plan.lossy:
        # The same function passes, whatever the samples could prove about the metric.
        if seen.equivalent:
            return _passed(request, seen, replace(score, needed=None))
        # Another function is wrong. A quantised one has the budget: kernels round whole numbers in different ways.
        if not reference.quantized:
            return _rejected(request, _not_the_same(seen, reference), seen, replace(score, needed=None))
    return _rejected(request, _beyond(score, metric), seen, score) if score.bound > request.budget else _passed(request, seen, score)


def score_original(request: ScoreRequest) -> Score:
    """The original's own score: a step, or a plain call. Raises UsageError for the metric, DataError for the labels."""
    metric = _metric(request.metric, request.samples, request.binary)
    if metric.name == metrics.AGREEMENT and request.reference.classes == 1:
        raise DataError(
            f"the original's top class is the same for all {request.reference.samples} samples, so that others agree with it says nothing: "
            f"give --data whose classes differ, or use --metric {metrics.ERROR}"
        )
    outputs, scales = request.reference.values(), request.reference.scale()
    labels = request.samples.labels()
    scores = []
    for start in range(0, request.reference.samples, 256):
        rows = slice(start, start + 256)
        piece = {name: np.asarray(array[rows]) for name, array in outputs.items()}
        scores.append(metric.score(piece, piece, None if labels is None else labels[rows], scales))
    joined = np.concatenate(scores)
    value = intervals.mean_interval(joined)
    return Score(metric.name, len(joined), value, value.value, Interval(0.0, 0.0, 0.0), 0.0, request.budget)


class _Trial:
    """One session over the samples, at one batch size after another."""

    def __init__(
        self, session: CheckedSession, signature: Signature, samples: SampleSet, reference: Reference, binary: Activation | None
    ) -> None:
        self._session, self._signature, self._samples, self._binary = session, signature, samples, binary
        self._truth, self._scales, self._limit = reference.values(), reference.scale(), reference.tolerance.limit
        self._labels = samples.labels()

    def everything(self, metric: Metric) -> tuple[parity.Differences, Array, Array]:
        """All samples: the differences, each sample's loss against the original, each sample's own score."""
        total, losses, scores = parity.Differences(), [], []
        for piece in self._answers(BATCH):
            total = total.plus(parity.difference(piece, self._truth, self._scales, self._binary))
            if total.nonfinite:
                break
            rows = slice(piece.start, piece.stop)
            truth = {name: np.asarray(array[rows]) for name, array in self._truth.items()}
            labels = None if self._labels is None else self._labels[rows]
            mine = metric.score(piece.outputs, truth, labels, self._scales)
            scores.append(mine)
            losses.append(mine if metric.relative else metric.score(truth, truth, labels, self._scales) - mine)
        if not scores:
            return total, np.zeros(0), np.zeros(0)
        return total, np.concatenate(losses), np.concatenate(scores)

    def batch_fault(self, sizes: tuple[int, ...]) -> str:
        """Why the answers to the first few samples are not the same at every size; empty where they are."""
        few = min(FEW, self._samples.count)
        feeds = self._samples.feeds(0, few)
        errors: dict[int, float] = {}
        for size in sizes:
            rows = np.arange(-(-few // size) * size) % few
            truth = {name: np.asarray(array[:few])[rows] for name, array in self._truth.items()}
            total = parity.Differences()
            self._say(size)
            for start in range(0, len(rows), size):
                call = {name: array[rows[start : start + size]] for name, array in feeds.items()}
                try:
                    piece = Piece(start, start + size, feeding.values(self._session.run(call), self._signature))
                    total = total.plus(parity.difference(piece, truth, self._scales))
                except Exception as problem:
                    return f"fails at a batch of {size}: {_first_line(problem)}"
            if total.nonfinite:
                return f"gives NaN or infinite values at a batch of {size}"
            errors[size] = total.worst + total.discrete_misses / total.samples
        worst, best = max(errors, key=lambda size: errors[size]), min(errors, key=lambda size: errors[size])
        if errors[worst] <= max(self._limit, BATCH_FACTOR * errors[best]):
            return ""
        return (
            f"answers the same samples differently in batches of different sizes: its error relative to the output's scale is "
            f"{errors[worst]:.2g} at a batch of {worst} and {errors[best]:.2g} at {best}"
        )

    def _answers(self, size: int) -> Iterator[Piece]:
        self._say(size)
        return feeding.valued(feeding.answers(self._session, self._signature, self._samples, size), self._signature)

    def _say(self, size: int) -> None:
        """For the log: a crash leaves nothing else behind."""
        print(f"{_AT}{self._signature.call_size(size)}", flush=True)


def _passed(request: VerifyRequest, seen: Parity, score: Score) -> Outcome:
    return Outcome(verified=Verified(request.candidate, seen, score))


def _rejected(request: VerifyRequest, reason: str, seen: Parity, score: Score | None = None) -> Outcome:
    return Outcome(rejected=Rejected(request.candidate.plan, "verify", reason, parity=seen, score=score))


def _metric(name: str, samples: SampleSet, binary: Activation | None) -> Metric:
    metric = metrics.find(name, binary)
    if metric.labelled and not samples.labelled:
        raise DataError(f"{name} needs labels and the data has none; use --metric agreement or --metric error")
    return metric


def _score(metric: Metric, scores: Array, losses: Array, budget: float) -> Score:
    originals = np.zeros_like(scores) if metric.relative else scores + losses
    span = metric.span if metric.span is not None else float(np.ptp(originals)) or 1.0
    drop, bound = intervals.drop_interval(losses, span)
    needed = intervals.samples_needed(losses, span, budget) if bound > budget else None
    return Score(metric.name, len(scores), intervals.mean_interval(scores), float(np.mean(originals)), drop, bound, budget, needed)


def _not_the_same(seen: Parity, reference: Reference) -> str:
    tolerance = reference.tolerance
    if seen.max_rel <= tolerance.limit:
        return "not the same function: an output of whole numbers differs on more samples than near ties explain"
    return (
        f"not the same function: its error is {seen.max_rel:.2g} of the output's scale, and {tolerance.limit:.2g} is the most "
        f"that this model's own rounding explains"
    )


def _beyond(score: Score, metric: Metric) -> str:
    found = f"{score.metric} is {score.drop.value:.2%}" if metric.relative else f"{score.metric} drops by {score.drop.value:.2%}"
    may = "be" if metric.relative else "drop by"
    said = f"{found} and may {may} {score.bound:.2%} (95 % confidence, {score.samples} samples) where {score.budget:.2%} is allowed"
    return f"{said}; with about {score.needed} samples like these it would have passed" if score.needed else said


def _first_line(problem: BaseException) -> str:
    return next((line.strip()[:300] for line in str(problem).splitlines() if line.strip()), type(problem).__name__)

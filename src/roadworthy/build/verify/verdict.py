"""One candidate to Verified or Rejected: the pass rule, and the proof of what is packed on samples that took no part in choosing it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from roadworthy.build.verify import scoring
from roadworthy.build.verify.first_look import Leader
from roadworthy.build.verify.intervals import ONE_SIDED, TAIL
from roadworthy.build.verify.metrics import Metric, Reading
from roadworthy.build.verify.parity import DISCRETE_SLACK, Differences
from roadworthy.build.verify.reference import Reference
from roadworthy.build.verify.sequential import Question, Stopping
from roadworthy.build.verify.trial import BATCH, SAID_BATCH, CandidateTrial
from roadworthy.core.errors import RoadworthyError, StepFailed
from roadworthy.core.evidence import FirstLook, Parity, Score
from roadworthy.core.samples import SampleSet
from roadworthy.core.stages import Candidate, Rejected, Verified
from roadworthy.core.types import Array
from roadworthy.runtimes import CheckedSession, open_session


@dataclass(frozen=True)
class VerifyRequest:
    """``batches`` are the promised batch sizes; ``budget`` is by how much the original may be better, in the units of ``metric``.

    For ``metric`` and ``reading`` see ``metrics.find``. The first ``choosing`` samples choose among the candidates; ``None``: all of them
    do, and every candidate is scored on all. ``look`` are the batch sizes of the first look (``first_look``).
    It leaves there if the ``leader`` is far faster.
    """

    candidate: Candidate
    samples: SampleSet
    reference: Reference
    metric: str
    budget: float
    batches: tuple[int, ...] = (1, 2, 5)
    reading: Reading = Reading()  # noqa: RUF009 (it is frozen)
    choosing: int | None = None
    look: tuple[int, ...] = ()
    leader: Leader | None = None


@dataclass(frozen=True)
class ConfirmRequest:
    """``verified`` is a candidate that passed ``verify`` of ``request`` and was chosen.

    It is the ``turn``-th lossy one that is judged on the samples that took no part in choosing.
    """

    request: VerifyRequest
    verified: Verified
    turn: int = 1


@dataclass(frozen=True)
class VerifyOutcome:
    """Exactly one of the two. Two fields, because JSON does not say which class a value has."""

    verified: Verified | None = None
    rejected: Rejected | None = None


def explained(problem: RoadworthyError) -> str:
    """Why a child process that ran ``verify`` ended without an outcome, with the batch size at which it crashed or hung."""
    _, found, after = problem.detail.rpartition(SAID_BATCH)
    at = after.split("\n")[0]
    return f"{problem.message} (at a batch of {at})" if found and isinstance(problem, StepFailed) else problem.message


def verify(request: VerifyRequest) -> VerifyOutcome:
    """A step, run in a child process: one candidate under its own plan, by the pass rule of ``verify_open``."""
    candidate = request.candidate
    with open_session(candidate.path, candidate.signature, candidate.plan) as session:
        return verify_open(session, request)


def verify_open(session: CheckedSession, request: VerifyRequest, seen: FirstLook | None = None) -> VerifyOutcome:
    """The pass rule, for a candidate that is open; ``seen`` is what the first look found.

    A candidate is rejected where

    - it gives NaN or infinite values in place of finite ones, or its answers depend on the batch size;
    - it fails, or its answers are not the original's, at another size of a symbolic axis;
    - it is not lossy, is not the same function as the original, and the original is not quantised;
    - it is lossy, or not the same function as a quantised original, and its drop may exceed the budget at 95 % confidence.

    After every call of ``BATCH`` samples it is asked whether a rejection is certain already (``sequential``). Where a part of the samples
    chooses, a candidate passes as soon as that is certain, too; that and the test at the end of the part have half of the error each.
    """
    candidate, reference = request.candidate, request.reference
    metric = scoring.metric_for(request.metric, request.samples, request.reading)
    stopping = _stopping(request, metric)
    trial = CandidateTrial(session, candidate.signature, request.samples, reference, request.reading)
    found, mine, theirs = trial.answer(metric, request.choosing, stopping)
    sizes = sizes_of(request)
    parity = found.parity(sizes, reference.tolerance.limit, classes=reference.classes)
    if found.nonfinite:
        outcome = _rejected(request, _not_finite(found), parity)
    elif fault := trial.batch_fault(sizes) or trial.sizes_fault(reference, found.worst):
        outcome = _rejected(request, fault, parity)
    else:
        outcome = _judged(request, metric, parity, _score(request, metric, stopping, mine, theirs))
    return _with_look(outcome, seen)


def sizes_of(request: VerifyRequest) -> tuple[int, ...]:
    """The batch sizes at which answers are compared."""
    signature = request.candidate.signature
    return tuple(sorted({signature.call_size(batch) for batch in (BATCH, *request.batches)}))


def _score(request: VerifyRequest, metric: Metric, stopping: Stopping, mine: Array, theirs: Array) -> Score | None:
    """The score of the rows that were answered; ``None`` for a metric of a whole set where another function ended it early."""
    if metric.combine is not None and stopping.found:
        return None
    chooses = request.choosing is not None
    score = scoring.score(metric, mine, theirs, request.budget, alpha=TAIL if chooses else ONE_SIDED)
    score = replace(score, part="choosing" if chooses else "all", stopped=stopping.found is not None)
    return scoring.stopped(score, metric, mine, theirs) if stopping.found in ("passes", "hopeless") else score


def confirm(asked: ConfirmRequest) -> VerifyOutcome:
    """A step: the chosen candidate on all samples, its score on those that took no part in choosing it.

    The error of 5 % is spent on the lossy candidates that are judged on these samples one after another: a half of it on the first, a
    quarter on the second, and so on. By Bonferroni's inequality the probability that any of them passes wrongly is at most 5 %.
    """
    request, candidate = asked.request, asked.request.candidate
    metric = scoring.metric_for(request.metric, request.samples, request.reading)
    with open_session(candidate.path, candidate.signature, candidate.plan) as session:
        trial = CandidateTrial(session, candidate.signature, request.samples, request.reference, request.reading)
        found, mine, theirs = trial.answer(metric)
    parity = found.parity(asked.verified.parity.batches, request.reference.tolerance.limit, classes=request.reference.classes)
    if found.nonfinite:
        return _rejected(request, _not_finite(found), parity)
    kept = slice(request.choosing, None)
    score = scoring.score(metric, mine[kept], theirs[kept], request.budget, alpha=ONE_SIDED / 2**asked.turn)
    score = replace(score, part="final")
    outcome = _judged(request, metric, parity, score)
    if outcome.rejected:
        return VerifyOutcome(
            rejected=replace(outcome.rejected, reason=f"on the samples that took no part in choosing it: {outcome.rejected.reason}")
        )
    return VerifyOutcome(verified=Verified(candidate, parity, score, asked.verified.score))


def _stopping(request: VerifyRequest, metric: Metric) -> Stopping:
    lossy, tolerance = request.candidate.plan.lossy, request.reference.tolerance
    count = request.samples.count if request.choosing is None else request.choosing
    asked = Question(
        same_passes=not lossy,
        drop_passes=lossy or request.reference.quantized,
        limit=tolerance.limit,
        misses=DISCRETE_SLACK * count,
        budget=request.budget,
        bounds=scoring.loss_bounds(metric),
        passes_early=request.choosing is not None,
    )
    return Stopping(asked)


def _judged(request: VerifyRequest, metric: Metric, parity: Parity, score: Score | None) -> VerifyOutcome:
    """The pass rule for answers that are finite; there is no ``score`` only of what is another function."""
    reference, without = request.reference, replace(score, needed=None) if score else None
    if not request.candidate.plan.lossy:
        # The same function passes, whatever the samples could prove about the metric.
        if parity.equivalent:
            return VerifyOutcome(verified=Verified(request.candidate, parity, without))
        # Another function is wrong. That of a quantised original has the budget: kernels round whole numbers in different ways.
        if not reference.quantized:
            return _rejected(request, _not_the_same(parity, reference), parity, without)
    if score is not None and score.bound > request.budget:
        return _rejected(request, scoring.beyond_budget(score, metric), parity, score)
    return VerifyOutcome(verified=Verified(request.candidate, parity, score))


def _rejected(request: VerifyRequest, reason: str, parity: Parity, score: Score | None = None) -> VerifyOutcome:
    return VerifyOutcome(rejected=Rejected(request.candidate.plan, "verify", reason, parity=parity, score=score))


def _with_look(outcome: VerifyOutcome, seen: FirstLook | None) -> VerifyOutcome:
    if outcome.verified:
        return VerifyOutcome(verified=replace(outcome.verified, look=seen))
    return VerifyOutcome(rejected=replace(outcome.rejected, look=seen)) if outcome.rejected else outcome


def _not_finite(found: Differences) -> str:
    return f"gives NaN or infinite values where the original's are finite ({found.nonfinite} seen)"


def _not_the_same(parity: Parity, reference: Reference) -> str:
    limit = reference.tolerance.limit
    if parity.max_rel <= limit:
        return "not the same function: an output of whole numbers differs on more samples than near ties explain"
    return (
        f"not the same function: its error is {parity.max_rel:.2g} of the output's scale, and {limit:.2g} is the most "
        f"that this model's own rounding explains"
    )

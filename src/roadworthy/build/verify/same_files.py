"""Plans that run the same files: one process opens them under each plan in turn, and those that answer alike share one score.

The first plan is verified as any candidate. Another plan (more threads, spinning, an option of the runtime) runs the same weights through
the same operators, so that its answers may differ by the order in which numbers are added, and by nothing else. It shares the first one's
verdict where the two answer alike:

- the first samples (``ALIKE`` of them, fewer where their answers need more than ``MOST_BYTES``) in calls of ``BATCH``, the first ``FEW`` at
  every other promised batch size, and those at other sizes of the symbolic axes, differ by no more than the reference's tolerance, which is
  what rounding explains for this model;
- no output of whole numbers differs on more samples than near ties explain.

A plan that differs is verified and scored by itself. So is every plan where the first one failed with an error.

What this shows: samples are in random order. A fault of one plan that changes more than 2.4 % of the answers leaves all of 128 samples
untouched with a probability below 5 % (0.976 ** 128). A fault that is smaller can be missed here, so a shared score chooses only: what is
packed is answered on every sample under its own plan before the bundle is written (``confirm``).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from roadworthy.build.verify import first_look, parity
from roadworthy.build.verify.feeding import Piece
from roadworthy.build.verify.first_look import Leader
from roadworthy.build.verify.trial import BATCH, FEW, CandidateTrial
from roadworthy.build.verify.verdict import VerifyOutcome, VerifyRequest, sizes_of, verify_open
from roadworthy.core.evidence import FirstLook
from roadworthy.core.stages import Plan, Rejected
from roadworthy.core.types import Array
from roadworthy.runtimes import CheckedSession, open_session

ALIKE, MOST_BYTES = 128, 2**28


@dataclass(frozen=True)
class PlansRequest:
    """``first`` is about the first plan of its candidate's files; ``others`` run the same files."""

    first: VerifyRequest
    others: tuple[Plan, ...]


@dataclass(frozen=True)
class PlansOutcome:
    """An outcome for each plan, the first one's first."""

    outcomes: tuple[VerifyOutcome, ...]


@dataclass(frozen=True)
class _Shown:
    """What the first plan that was scored answered, call by call, and what became of it."""

    outcome: VerifyOutcome
    calls: tuple[dict[str, Array], ...]


def verify_plans(request: PlansRequest) -> PlansOutcome:
    """A step, run in a child process for each candidate's files: every plan that runs them, by the rule above."""
    outcomes: list[VerifyOutcome] = []
    shown: _Shown | None = None
    for plan in (request.first.candidate.plan, *request.others):
        candidate = replace(request.first.candidate, plan=plan)
        asked = replace(request.first, candidate=candidate, leader=_leader(request.first.leader, outcomes))
        with open_session(candidate.path, candidate.signature, plan) as session:
            seen = first_look.look(session, candidate.signature, asked.samples, asked.look, plan.threads)
            if reason := first_look.too_slow(seen, asked.leader):
                outcomes.append(VerifyOutcome(rejected=Rejected(plan, "first look", reason, look=seen)))
            elif shown and _alike(session, asked, shown):
                outcomes.append(_shared(shown.outcome, plan, seen))
            else:
                outcomes.append(verify_open(session, asked, seen))
                shown = shown or _Shown(outcomes[-1], _kept(session, asked))
    return PlansOutcome(tuple(outcomes))


def _leader(given: Leader | None, outcomes: list[VerifyOutcome]) -> Leader | None:
    """The fastest of the one ``given`` and of the plans that passed here."""
    passed = [one.verified for one in outcomes if one.verified]
    leaders = [given] if given else []
    leaders += [Leader(one.candidate.plan.name, one.look.ms) for one in passed if one.look]
    return min(leaders, key=lambda one: one.ms, default=None)


def _calls(session: CheckedSession, request: VerifyRequest) -> Iterator[Piece]:
    """The answers that two plans are compared by: always the same calls, the few of other sizes first."""
    candidate, reference = request.candidate, request.reference
    trial = CandidateTrial(session, candidate.signature, request.samples, reference, request.reading)
    for size in sizes_of(request):
        yield from trial.answers(request.samples, size, FEW)
    for sized in reference.sized:
        yield from trial.answers(sized.samples, BATCH, sized.samples.count)
    yield from trial.answers(request.samples, BATCH, ALIKE)


def _kept(session: CheckedSession, request: VerifyRequest) -> tuple[dict[str, Array], ...]:
    """Copies of the answers of ``_calls``, of the first call at least, until they need ``MOST_BYTES``; none where a call fails."""
    kept: list[dict[str, Array]] = []
    size = 0
    try:
        for piece in _calls(session, request):
            kept.append({name: np.array(array) for name, array in piece.outputs.items()})
            size += sum(array.nbytes for array in kept[-1].values())
            if size > MOST_BYTES:
                break
    except Exception:  # whatever the runtime raises was the first plan's verdict
        return ()
    return tuple(kept)


def _alike(session: CheckedSession, request: VerifyRequest, shown: _Shown) -> bool:
    """Whether the plan of ``session`` answers as the first one did; not so where a call fails, or where nothing is there to compare."""
    scales = request.reference.scale()
    total = parity.Differences()
    try:
        # The calls come last, so that none is made beyond those that were kept.
        for truth, piece in zip(shown.calls, _calls(session, request), strict=False):
            count = piece.stop - piece.start
            total = total.plus(parity.difference(Piece(0, count, piece.outputs), truth, scales))
    except Exception:  # whatever the runtime raises becomes this plan's own verdict
        return False
    limit = request.reference.tolerance.limit
    return bool(shown.calls) and total.nonfinite == 0 and total.worst <= limit and total.discrete_misses == 0


def _shared(outcome: VerifyOutcome, plan: Plan, seen: FirstLook | None) -> VerifyOutcome:
    if outcome.rejected:
        return VerifyOutcome(rejected=replace(outcome.rejected, plan=plan, look=seen))
    if outcome.verified is None:
        return outcome
    first = outcome.verified.candidate
    return VerifyOutcome(verified=replace(outcome.verified, candidate=replace(first, plan=plan), alike=first.plan.name, look=seen))

"""The choice of a race, proven on samples that took no part in choosing: what fails there leaves, and the next is judged.

What shares the score of another plan of the same files is proven under its own plan, on every sample.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from roadworthy.build import benchmark, supplied, verify
from roadworthy.build.certificate import Data
from roadworthy.build.search import Trial, verdict
from roadworthy.build.workspace import Progress, Workspace
from roadworthy.bundle.certificate import Choice, Goal
from roadworthy.core.errors import NoCandidate
from roadworthy.core.evidence import Note
from roadworthy.core.interfaces import SERVER
from roadworthy.core.stages import Rejected, Verified
from roadworthy.preprocess.contract import Contract

Confirm = Callable[[Verified, int], Verified | Rejected]
"""Judges a chosen candidate, the given lossy one in order, on the samples that took no part in choosing it."""


def choose(
    race: benchmark.Race, goal: Goal, trial: Trial, workspace: Workspace, *, framework_allowed: bool, target: str = SERVER
) -> tuple[Choice | None, benchmark.Race]:
    """The choice, ``None`` where no candidate for ``target`` is left, and the race without those that failed their confirmation."""

    def confirm(one: Verified, turn: int) -> Verified | Rejected:
        plan, request = one.candidate.plan, replace(trial.request(one.candidate), look=())
        if trial.choosing is None and not one.alike:
            return one
        name = plan.name
        workspace.begin("final", text=name)
        here = replace(workspace, done=lambda words: workspace.notify(Progress("final", 0, 1, words)))
        if trial.choosing is None:
            judged = verdict(verify.verify, request, plan, f"confirm-{name}", here)
        else:
            judged = verdict(verify.confirm, verify.ConfirmRequest(request, one, turn), plan, f"confirm-{name}", here)
        workspace.notify(Progress("final", 1, 1, f"{name} {'rejected' if isinstance(judged, Rejected) else 'confirmed'}"))
        return replace(judged, look=one.look)

    return choose_confirmed(race, goal, confirm, framework_allowed=framework_allowed, target=target)


def choose_confirmed(
    race: benchmark.Race, goal: Goal, confirm: Confirm | None, *, framework_allowed: bool, target: str = SERVER
) -> tuple[Choice | None, benchmark.Race]:
    """The choice in ``race`` after everything that is packed was confirmed, and the race with that evidence.

    The choice is ``None`` where no candidate is left. ``confirm`` is ``None`` where every sample took part in choosing.
    """
    done = {race.original.plan}
    turn = 1
    while True:
        try:
            decision = benchmark.choose(race, goal, framework_allowed=framework_allowed, target=target)
        except NoCandidate:
            return None, race
        packed = (one.measured.verified for one in (decision.winner, decision.fallback) if one is not None)
        waiting = next((one for one in packed if one.candidate.plan not in done), None)
        if confirm is None or waiting is None:
            return benchmark.in_words(decision), race
        judged = confirm(waiting, turn)
        turn += waiting.candidate.plan.lossy or not (judged.parity and judged.parity.equivalent)
        done.add(waiting.candidate.plan)
        race = race.without(judged) if isinstance(judged, Rejected) else race.confirmed(judged)


def notes_on_winner(choice: Choice, race: benchmark.Race, data: Data) -> tuple[Note, ...]:
    """That the figure of a lossy winner flatters it, where there were too few samples to keep some for that figure."""
    winner = next(one.plan for one in race.timed if one.plan.name == choice.winner)
    if not winner.lossy or data.choosing is not None:
        return ()
    chosen = f"the winner was chosen on the same {data.evaluation.count:,} samples that its figure is measured on, which flatters it"
    return (Note(f"{chosen}; of {supplied.FEWEST_TO_KEEP:,} or more samples to evaluate, half are kept for that figure"),)


def notes_on_pixels(choice: Choice, race: benchmark.Race, contract: Contract) -> tuple[Note, ...]:
    """Where a model takes pixels: which of its steps are in the winner's graph, and what that gains in each runtime that was timed."""
    if not contract.inside:
        return ()
    winner = next(one.plan for one in race.timed if one.plan.name == choice.winner)
    where = "in front of its graph, in NumPy" if winner.unfolded else "inside its graph"
    steps = "; ".join(step.describe() for step in contract.inside)
    said = [Note(f"the model takes uint8 pixels, a quarter of the bytes of float32 samples: {winner.name} carries out {where} {steps}")]
    timed = {one.verified.candidate.plan: one.timing.latency_ms.value for one in race.measured}
    for plan, outside in timed.items():
        inside = timed.get(replace(plan, unfolded=False))
        if plan.unfolded and inside is not None:
            name = replace(plan, unfolded=False).name
            said.append(
                Note(f"{name}: {inside:.3g} ms a call with these steps inside its graph, {outside:.3g} ms with them in front of it")
            )
    return tuple(said)

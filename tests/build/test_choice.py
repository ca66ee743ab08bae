"""What is chosen is confirmed on samples that took no part in choosing: what fails there leaves the race, and the next is judged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from roadworthy.build import benchmark, choice, deploy, supplied
from roadworthy.build.benchmark.race import Timed
from roadworthy.build.benchmark.statistics import Measurement, Series
from roadworthy.build.certificate import Data
from roadworthy.build.job import Job
from roadworthy.bundle import store
from roadworthy.bundle.certificate import Choice, Goal
from roadworthy.cli.console import terminal
from roadworthy.cli.console.deployment import show_deployment
from roadworthy.core.evidence import Budget, Score
from roadworthy.core.samples import SampleSet
from roadworthy.core.stages import Graph, Plan, Rejected, Verified
from support.models import certificates

GOAL = Goal("latency", "top1", 0.01)
ORIGINAL = Plan("null", flavour="original")
EXACT = Plan("null", threads=2)
FAST, FASTEST = (Plan("null", "int8", flavour=flavour, lossy=True) for flavour in ("fast", "fastest"))


def race_of(*latencies: tuple[Plan, float]) -> benchmark.Race:
    def timed(plan: Plan, ms: float) -> Timed:
        error = 0.01 if plan.lossy else 1e-7
        rounds = Series({number: Measurement(ms, True) for number in range(10)})
        return Timed(certificates.measured(plan, 0.0, error, ms), rounds, rounds)

    return benchmark.Race(tuple(timed(*one) for one in ((ORIGINAL, 10.0), *latencies)), ())


def decided(failing: Sequence[Plan], race: benchmark.Race) -> tuple[str | None, list[tuple[Plan, int]], benchmark.Race]:
    """The winner where the plans ``failing`` do not hold on the kept samples, and who was judged there in which turn."""
    judged: list[tuple[Plan, int]] = []

    def confirm(one: Verified, turn: int) -> Verified | Rejected:
        judged.append((one.candidate.plan, turn))
        if one.candidate.plan in failing:
            return Rejected(one.candidate.plan, "verify", "fails")
        return replace(one, choosing=one.score)

    found, after = choice.choose_confirmed(race, GOAL, confirm, framework_allowed=False)
    return (found.winner if found else None), judged, after


RACE = race_of((EXACT, 5.0), (FAST, 3.0), (FASTEST, 1.0))


def test_the_winner_and_its_fallback_are_judged_and_nothing_else() -> None:
    winner, judged, after = decided((), RACE)
    assert (winner, judged) == (FASTEST.name, [(FASTEST, 1), (EXACT, 2)])
    confirmed = [one.plan for one in after.timed if one.measured.verified.choosing is not None]
    assert confirmed == [EXACT, FASTEST] and not after.failed


def test_what_fails_leaves_and_the_next_has_another_turn() -> None:
    winner, judged, after = decided((FASTEST,), RACE)
    assert (winner, judged) == (FAST.name, [(FASTEST, 1), (FAST, 2), (EXACT, 3)])
    assert [one.plan for one in after.failed] == [FASTEST] and FASTEST not in [one.plan for one in after.timed]


def test_a_fallback_that_fails_leaves_too_and_the_winner_is_judged_once() -> None:
    winner, judged, after = decided((EXACT,), RACE)
    assert winner == FASTEST.name and judged.count((FASTEST, 1)) == 1
    assert [one.plan for one in after.failed] == [EXACT]


def test_the_original_stays_where_everything_fails() -> None:
    winner, judged, after = decided((FASTEST, FAST, EXACT), RACE)
    assert winner == ORIGINAL.name and [plan for plan, _ in judged] == [FASTEST, FAST, EXACT]
    assert [one.plan for one in after.timed] == [ORIGINAL]


def test_for_another_target_no_candidate_may_be_left() -> None:
    assert choice.choose_confirmed(RACE, GOAL, None, framework_allowed=True, target="browser") == (None, RACE)


def test_only_a_lossy_winner_without_kept_samples_is_said_to_flatter() -> None:
    few = Data("labelled", SampleSet(Path(), ("x",), 800), None, ())
    lossy, exact = (Choice(plan.name, None, ()) for plan in (FAST, EXACT))
    (note,) = choice.notes_on_winner(lossy, RACE, few)
    assert "on the same 800 samples" in note.text and f"of {supplied.FEWEST_TO_KEEP:,} or more" in note.text
    assert not choice.notes_on_winner(exact, RACE, few)
    assert not choice.notes_on_winner(lossy, RACE, replace(few, choosing=400))


@pytest.mark.usefixtures("warm_steps")
def test_a_deployment_keeps_half_of_many_samples_for_the_figures_of_its_winner(
    linear: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with np.load(linear / "model.npz") as model:
        weight, bias = model["weight"], model["bias"]
    generator = np.random.default_rng(1)
    x = generator.standard_normal((2700, len(weight))).astype(np.float32)
    y = np.argmax(x @ weight + bias, axis=1)
    y[::10] = (y[::10] + 1) % len(bias)
    np.savez(linear / "data.npz", x=x, y=y)
    np.savez(linear / "near.npz", weight=weight + np.float32(1e-3), bias=bias)

    def captured(graph: Graph, *arguments: object) -> tuple[tuple[Graph, ...], tuple[()]]:
        return (replace(graph, path=linear / "near.npz", derived_from=graph.route, compression="near"), graph), ()

    monkeypatch.setattr(deploy, "capture_all", captured)
    job = Job(linear / "model.npz", linear / "bundle", data=str(linear / "data.npz"), seconds=120, budget=Budget(0.05))
    seen: list[str] = []
    certificate = deploy.deploy(job, lambda event: seen.append(f"{event.stage} {event.text}")).certificate

    assert (certificate.samples.evaluated, certificate.samples.kept, certificate.samples.calibrated) == (2500, 1250, 200)
    assert certificate.original is not None and (certificate.original.samples, certificate.original.part) == (1250, "final")
    scores = {one.verified.candidate.plan.name: one.verified.score for one in (certificate.baseline, *certificate.measured)}
    winner = scores.pop(certificate.choice.winner)
    assert winner is not None and (winner.samples, winner.part) == (1250, "final")
    others = [
        score
        for name, score in scores.items()
        if name not in (certificate.choice.fallback, certificate.baseline.verified.candidate.plan.name)
    ]
    assert all(isinstance(score, Score) and score.part == "choosing" and score.stopped for score in others)
    claim = f"{certificate.choice.winner}: top1 {100 * winner.value.value:.2f} %"
    assert certificate.claim.startswith(claim) and "on 1,250 samples" in certificate.claim
    assert store.read_certificate(job.output).claim == certificate.claim
    assert certificate.claim in (job.output / "report.html").read_text()
    assert (job.output / "certificate.json").read_text().index('"claim"') < 200
    monkeypatch.setattr(terminal, "output", type(terminal.output)(highlight=False, width=terminal.WIDE))
    show_deployment(job.output, certificate, as_json=False)
    shown = capsys.readouterr().out
    assert shown.startswith(claim) and "1,250 samples were kept for what was chosen" in shown

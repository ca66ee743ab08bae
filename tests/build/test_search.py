"""Plans of the same files share a score where they answer alike; what is far too slow leaves; another graph is tried where one fails."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest

from roadworthy.build import benchmark, lower, verify
from roadworthy.build import workspace as workspace_module
from roadworthy.build.benchmark.race import Timed
from roadworthy.build.benchmark.statistics import Measurement, Series
from roadworthy.build.choice import choose
from roadworthy.build.search import SearchResult, Trial, search
from roadworthy.build.search.leaders import Leaders, takes_the_place
from roadworthy.build.search.turns import Artefact, Turns, in_order
from roadworthy.build.verify.first_look import too_slow
from roadworthy.build.workspace import Workspace, open_workspace
from roadworthy.bundle.certificate import Choice, Goal
from roadworthy.core import registry
from roadworthy.core.evidence import FirstLook, Parity
from roadworthy.core.host import this_host
from roadworthy.core.samples import write
from roadworthy.core.stages import Candidate, Graph, Measured, Plan, Precision, Verified
from roadworthy.core.types import BATCH, Signature, TensorSpec
from support.models import certificates

R = TypeVar("R")
PARITY = Parity(1, (1,), 0.0, 0.0, 0.0, 1.0, 1.0, True)

pytestmark = pytest.mark.usefixtures("warm_steps")

SIGNATURE = Signature((TensorSpec("input", "float32", (BATCH, 12)),), (TensorSpec("output", "float32", (BATCH, 4)),))


@dataclass
class Searching:
    """A search for the linear map: what it is told, and the trial it ends with."""

    linear: Path
    steps: list[str] = field(default_factory=list)
    trial: Trial | None = None

    def run(self, *plans: Plan, then: Callable[[Trial, SearchResult, Workspace], R], **told: Any) -> R:
        """``then`` of the search for ``plans`` in its workspace."""
        first = Graph("npz", self.linear / "model.npz", SIGNATURE, "as it is")
        with np.load(self.linear / "data.npz") as data:
            samples = write(self.linear / "samples", {"input": data["x"]}, data["y"])
        with open_workspace(seconds=600, step_seconds=300, memory_mb=0, notify=lambda progress: None) as workspace:
            asked = verify.ReferenceRequest(first, samples, 1, workspace.folder("reference"))
            reference = workspace.step(verify.establish, asked, "reference")
            trial = Trial(None, samples, reference, SIGNATURE, "top1", told.pop("budget", 0.01), 0.0, **told)
            found = search([(plan, first) for plan in plans], (first, replace(first, format="second")), trial, workspace)
            self.steps = sorted(log.stem for log in (workspace.path / "logs").iterdir())
            return then(trial, found, workspace)


def searched(linear: Path, *plans: Plan, **told: Any) -> SearchResult:
    """What becomes of ``plans`` for the linear map."""
    return Searching(linear).run(*plans, then=lambda trial, found, workspace: found, **told)


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        (Plan("planted", flavour="errs on=1"), Plan("planted", threads=2, flavour="errs on=1")),
        (Plan("planted", threads=2, flavour="errs on=2"), Plan("planted", flavour="errs on=2")),
        (Plan("planted", spin=True, flavour="errs while spinning"), Plan("planted", flavour="errs while spinning")),
    ],
)
def test_plans_of_one_artefact_are_verified_each_as_it_would_serve(linear: Path, planted_here: None, wrong: Plan, right: Plan) -> None:
    """OpenVINO's int8 was right on two threads and nonsense on one: nothing is inherited from the same file under another plan."""
    assert wrong.artefact == right.artefact
    outcome = searched(linear, right, wrong)
    assert [one.candidate.plan for one in outcome.verified] == [right]
    assert [one.plan for one in outcome.rejected] == [wrong]


def test_plans_that_answer_alike_are_scored_once_in_one_process(linear: Path, planted_here: None) -> None:
    """What they add in another order differs within rounding."""
    plans = [Plan("planted", threads=threads, flavour="errs in the order of threads") for threads in (2, 1, 3)]
    searching = Searching(linear)
    first, *others = searching.run(*plans, then=lambda trial, found, workspace: found).verified
    assert [one.candidate.plan for one in (first, *others)] == plans
    assert [one.alike for one in (first, *others)] == ["", plans[0].name, plans[0].name]
    assert all(one.score == first.score and one.parity == first.parity for one in others)
    assert [step for step in searching.steps if step.startswith("verify")] == [f"verify-{plans[0].name}"]


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_plan_that_differs_where_it_was_not_compared_is_found_before_it_is_packed(
    linear: Path, planted_here: None, precision: Precision
) -> None:
    """A fault of one thread on the last samples alone: the two plans are alike on the first 128."""
    with np.load(linear / "data.npz") as data:
        x, y = data["x"], data["y"]
    x[:, 0] = np.arange(len(x)) / len(x)
    with np.load(linear / "model.npz") as model:
        y = np.argmax(x @ model["weight"] + model["bias"], axis=1)
    np.savez(linear / "data.npz", x=x, y=y)
    plans = [Plan("planted", precision, threads, flavour="errs on one thread above=0.5", lossy=precision != "fp32") for threads in (2, 1)]

    def packed(trial: Trial, found: SearchResult, workspace: Workspace) -> tuple[Choice | None, benchmark.Race]:
        assert [one.alike for one in found.verified] == ["", plans[0].name]
        sound, wrong = found.verified
        original = replace(sound, candidate=replace(sound.candidate, plan=Plan("null", threads=9)), alike="")
        goal = Goal("latency", "top1", 0.1)
        return choose(race_of(original, sound, wrong), goal, trial, workspace, framework_allowed=False)

    choice, race = Searching(linear).run(*plans, then=packed, budget=0.1)
    (failed,) = race.failed
    assert failed.plan == plans[1] and failed.stage == "verify"
    assert choice is not None and choice.winner == plans[0].name


def race_of(*verified: Verified) -> benchmark.Race:
    """A race in which each was certainly faster than the one before it."""

    def timed(one: Verified, ms: float) -> Timed:
        rounds = Series({number: Measurement(ms, True) for number in range(10)})
        timing = certificates.measured(one.candidate.plan, 0.0, 0.0, ms).timing
        return Timed(Measured(one, timing), rounds, rounds)

    return benchmark.Race(tuple(timed(one, 9.0 / 2**index) for index, one in enumerate(verified)), ())


def test_a_crash_under_one_plan_rejects_that_plan_alone(linear: Path, planted_here: None) -> None:
    plans = [Plan("planted", threads=threads, flavour="crashes on=1") for threads in (2, 1)]
    outcome = searched(linear, *plans)
    assert [one.candidate.plan for one in outcome.verified] == plans[:1]
    assert [one.plan for one in outcome.rejected] == plans[1:]
    assert outcome.rejected[0].reason.startswith("crashed with SIGSEGV (at a batch of 1)")


@pytest.mark.parametrize("size", [1, 2, 5, 32])
def test_an_answer_that_is_wrong_at_one_promised_size_alone_is_found(linear: Path, planted_here: None, size: int) -> None:
    (rejected,) = searched(linear, Plan("planted", flavour=f"errs at={size}")).rejected
    assert "batch" in rejected.reason or "not the same function" in rejected.reason


@pytest.mark.parametrize(("flavour", "verified"), [("fails from npz", True), ("fails from any", False), ("errs by=0.5", False)])
def test_the_next_graph_is_tried(linear: Path, planted_here: None, flavour: str, verified: bool) -> None:
    outcome = searched(linear, Plan("planted", flavour=flavour))
    if verified:
        assert [one.candidate.graph for one in outcome.verified] == ["second"]
        return
    (rejected,) = outcome.rejected
    assert "; and made from the second graph: " in rejected.reason


def test_a_graph_that_holds_for_fewer_samples_is_no_substitute(planted_here: None) -> None:
    signature = Signature((TensorSpec("input", "float32", (BATCH, 12)),), (TensorSpec("output", "float32", (BATCH, 4)),))
    first = Graph("npz", Path("model.npz"), signature, "as it is")
    other = replace(first, format="second", signature=signature.fixed(1))
    assert lower.others(Plan("planted"), first, (first, other)) == ()
    assert lower.others(Plan("planted"), first, (first, replace(other, signature=signature))) != ()


def test_a_graph_of_another_function_is_no_substitute(planted_here: None) -> None:
    first = Graph("npz", Path("model.npz"), SIGNATURE, "as it is")
    pruned = replace(first, format="second", derived_from="as it is", compression="pruned50")
    assert lower.others(Plan("planted"), first, (first, pruned)) == ()
    assert lower.others(Plan("planted", compression="pruned50"), replace(pruned, format="npz"), (first, pruned)) == (pruned,)


def artefact(plan: Plan, seconds: float = 0.0) -> Artefact:
    return Artefact((plan,), Graph("npz", Path("model.npz"), Signature((), ()), "as it is"), seconds)


def test_every_runtime_has_its_turn_before_one_has_its_second() -> None:
    plans = [Plan("xla"), Plan("null"), Plan("null", "int8"), Plan("openvino"), Plan("openvino", "int8"), Plan("litert")]
    turns = [one.plans[0] for one in in_order(list(map(artefact, plans)))]
    assert turns == [plans[0], plans[1], plans[3], plans[5], plans[2], plans[4]]


def test_a_slow_artefact_starts_beside_cheap_ones_when_a_candidate_has_passed() -> None:
    first, second, third = (artefact(Plan("null", threads=threads)) for threads in (1, 2, 3))
    slow, slower = artefact(Plan("aotinductor"), 30.0), artefact(Plan("aotinductor", "int8"), 30.0)
    passed = False
    turns = Turns([slow, slower, first, second, third], 2, lambda: passed)
    assert turns.next() is first
    passed = True
    assert [turns.next(), turns.next()] == [slow, second]
    turns.done(slow, failed=False)
    assert [turns.next(), turns.next(), turns.next()] == [slower, third, None]


def test_one_worker_makes_the_slow_ones_last() -> None:
    cheap, slow = artefact(Plan("null")), artefact(Plan("aotinductor"), 30.0)
    turns = Turns([slow, cheap], 1, lambda: True)
    assert [turns.next(), turns.next(), turns.next()] == [cheap, slow, None]


def test_what_needs_a_framework_comes_last_and_one_at_a_time() -> None:
    first, second = artefact(Plan("pytorch")), artefact(Plan("torchscript"))
    cheap, other = artefact(Plan("null")), artefact(Plan("null", "int8"))
    turns = Turns([first, second, cheap, other], 2, lambda: True)
    assert [turns.next(), turns.next(), turns.next(), turns.next()] == [cheap, other, first, None]
    turns.done(cheap, failed=False)
    assert turns.next() is None
    turns.done(first, failed=False)
    assert [turns.next(), turns.next()] == [second, None]


def test_a_remedy_waits_for_what_it_repairs_and_starts_where_that_failed() -> None:
    base, remedy, other = (artefact(Plan("null", "int8", flavour=flavour)) for flavour in ("", "sensitive", "other"))
    remedy = replace(remedy, repairs=base.name)
    turns = Turns([remedy, base, other], 1, lambda: True)
    assert turns.next() is base
    turns.done(base, failed=True)
    assert [turns.next(), turns.next(), turns.next(), turns.not_needed] == [remedy, other, None, ()]
    alone = Turns([remedy], 1, lambda: True)
    assert alone.next() is remedy


def test_a_remedy_for_what_passed_is_not_made_and_says_so(linear: Path, planted_here: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry.lowering("planted"), "REPAIRS", ("remedy",), raising=False)
    base, remedy = Plan("planted", flavour="fast"), Plan("planted", flavour="fast-remedy")
    assert (lower.repaired(base), lower.repaired(remedy)) == ("", base.artefact)
    searching = Searching(linear)
    outcome = searching.run(remedy, base, then=lambda trial, found, workspace: found)
    assert [one.candidate.plan for one in outcome.verified] == [base]
    (left,) = outcome.rejected
    assert (left.plan, left.stage, left.left_out) == (remedy, "not needed", True) and base.artefact in left.reason
    assert not [step for step in searching.steps if "remedy" in step]


FAST, SLOW = Plan("planted", flavour="fast"), Plan("planted", flavour="computes for=0.02")


def test_what_is_far_too_slow_leaves_before_it_is_scored(linear: Path, planted_here: None) -> None:
    """The thread computes for 20 ms, however long it waits for a core; the map alone needs microseconds."""
    outcome = in_turn(linear, FAST, SLOW)
    assert [one.candidate.plan for one in outcome.verified] == [FAST]
    (left,) = outcome.rejected
    assert (left.plan, left.stage, left.score, left.left_out) == (SLOW, "first look", None, True)
    assert left.look is not None and left.look.least >= 19
    assert f"a sample took at least {left.look.least:.3g} ms" in left.reason and f"with {FAST.name}" in left.reason


def test_a_slow_plan_of_the_same_files_leaves_too(linear: Path, planted_here: None) -> None:
    plans = [Plan("planted", threads=threads, flavour="computes on one thread for=0.02") for threads in (2, 1)]
    outcome = searched(linear, *plans)
    assert [(one.plan, one.stage) for one in outcome.rejected] == [(plans[1], "first look")]


def test_a_wait_is_not_held_against_a_candidate(linear: Path, planted_here: None) -> None:
    (waits,) = in_turn(linear, Plan("planted", flavour="sleeps=0.05")).verified
    assert waits.look is not None and waits.look.ms >= 50 > 25 > waits.look.least
    assert not too_slow(FirstLook(50.0, 2.0), verify.Leader("other", 1.0))
    assert too_slow(FirstLook(50.0, 2.2), verify.Leader("other", 1.0))


@pytest.mark.parametrize("told", [{"keep": True}, {"objective": "size"}, {"objective": "memory"}], ids=str)
def test_a_slow_candidate_stays_where_speed_does_not_decide(linear: Path, planted_here: None, told: dict[str, Any]) -> None:
    assert len(in_turn(linear, FAST, SLOW, **told).verified) == 2


def test_where_throughput_decides_the_best_batch_size_counts(linear: Path, planted_here: None) -> None:
    """Twenty ms a call are less than one a sample in calls of 32."""
    at_rest = Plan("planted", flavour="computes for=0.001")
    bound = in_turn(linear, at_rest, SLOW, objective="throughput")
    assert [one.candidate.plan for one in bound.verified] == [at_rest]
    assert bound.rejected[0].look is not None and bound.rejected[0].look.least < 2


def test_what_the_first_look_bounds_needs_another_that_can_take_its_place() -> None:
    plain = Plan("null")
    assert takes_the_place(plain, replace(plain, batch=1)) and not takes_the_place(replace(plain, batch=1), plain)
    lossy = replace(plain, precision="int8", lossy=True)
    assert takes_the_place(plain, lossy) and not takes_the_place(lossy, plain)
    native, framework = Plan("aotinductor"), Plan("pytorch")
    assert takes_the_place(plain, native) and not takes_the_place(native, plain)
    assert not takes_the_place(framework, plain)


def test_what_needs_the_framework_is_kept_for_the_report() -> None:
    leaders = Leaders(keep=False)
    leaders.add([Verified(Candidate(Plan("null"), Path(), SIGNATURE, "npz", 0, 0.0), PARITY, None, look=FirstLook(1.0, 1.0))])
    assert leaders.of(Plan("openvino")) == verify.Leader("null-fp32-t1", 1.0)
    assert leaders.of(Plan("torchscript")) is None


def in_turn(linear: Path, *plans: Plan, **told: Any) -> SearchResult:
    """``searched`` with one at a time, so that the first one is verified before the second is looked at."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(workspace_module, "this_host", lambda: replace(this_host(), cores=1))
        return searched(linear, *plans, **told)

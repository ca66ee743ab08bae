"""A plan that fails from one graph is tried from the next that its lowering takes, and says what became of both."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from roadworthy.build import lower, verify
from roadworthy.build.search import SearchResult, Trial, _in_turn, search
from roadworthy.build.workspace import open_workspace
from roadworthy.core.samples import write
from roadworthy.core.stages import Graph, Plan
from roadworthy.core.types import BATCH, Signature, TensorSpec

pytestmark = pytest.mark.usefixtures("warm_steps")

SIGNATURE = Signature((TensorSpec("input", "float32", (BATCH, 12)),), (TensorSpec("output", "float32", (BATCH, 4)),))


def searched(linear: Path, *plans: Plan) -> SearchResult:
    """What becomes of ``plans`` for the linear map."""
    first = Graph("npz", linear / "model.npz", SIGNATURE, "as it is")
    with np.load(linear / "data.npz") as data:
        samples = write(linear / "samples", {"input": data["x"]}, data["y"])
    with open_workspace(seconds=60, step_seconds=30, memory_mb=0, notify=lambda progress: None) as workspace:
        reference = workspace.step(verify.establish, verify.ReferenceRequest(first, samples, 1, workspace.folder("reference")), "reference")
        trial = Trial(None, samples, reference, SIGNATURE, "top1", 0.01, 0.0)
        return search([(plan, first) for plan in plans], (first, replace(first, format="second")), trial, workspace)


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


def test_every_runtime_has_its_turn_before_one_has_its_second() -> None:
    graph = Graph("npz", Path("model.npz"), Signature((), ()), "as it is")
    plans = [Plan("a"), Plan("a", "int8"), Plan("a", batch=1), Plan("b"), Plan("b", "int8"), Plan("c")]
    turns = [planned[0][0] for planned in _in_turn([[(plan, graph)] for plan in plans])]
    assert turns == [plans[0], plans[3], plans[5], plans[1], plans[4], plans[2]]

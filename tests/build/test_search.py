"""A plan that fails from one graph is tried from the next that its lowering takes, and says what became of both."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from roadworthy.build import lower, verify
from roadworthy.build.search import Trial, _in_turn, search
from roadworthy.build.workshop import workshop
from roadworthy.core.samples import write
from roadworthy.core.stages import Graph, Plan
from roadworthy.core.types import BATCH, Signature, TensorSpec


@pytest.mark.parametrize(("flavour", "verified"), [("fails from npz", True), ("fails from any", False), ("errs by=0.5", False)])
def test_the_next_graph_is_tried(linear: Path, planted_here: None, flavour: str, verified: bool) -> None:
    signature = Signature((TensorSpec("input", "float32", (BATCH, 12)),), (TensorSpec("output", "float32", (BATCH, 4)),))
    first = Graph("npz", linear / "model.npz", signature, "as it is")
    graphs = (first, replace(first, format="second"))
    with np.load(linear / "data.npz") as data:
        samples = write(linear / "samples", {"input": data["x"]}, data["y"])
    with workshop(seconds=60, step_seconds=30, memory_mb=0, notify=lambda progress: None) as shop:
        reference = shop.step(verify.establish, verify.ReferenceRequest(first, samples, 1, shop.folder("reference")), "reference")
        trial = Trial(None, samples, reference, signature, "top1", 0.01, 0.0)
        outcome = search([(Plan("planted", flavour=flavour), first)], graphs, trial, shop)
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


def test_every_runtime_has_its_turn_before_one_has_its_second() -> None:
    graph = Graph("npz", Path("model.npz"), Signature((), ()), "as it is")
    plans = [Plan("a"), Plan("a", "int8"), Plan("a", batch=1), Plan("b"), Plan("b", "int8"), Plan("c")]
    turns = [planned[0][0] for planned in _in_turn([[(plan, graph)] for plan in plans])]
    assert turns == [plans[0], plans[3], plans[5], plans[1], plans[4], plans[2]]

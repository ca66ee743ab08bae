"""A candidate that is meant to differ passes within the budget and fails beyond it, in float32 as in any other precision."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from roadworthy.build import deploy, lower
from roadworthy.build.job import Job
from roadworthy.bundle.certificate import Certificate
from roadworthy.core.evidence import Budget
from roadworthy.core.host import this_host
from roadworthy.core.stages import Graph, Plan
from roadworthy.core.types import BATCH, Signature, TensorSpec

pytestmark = pytest.mark.usefixtures("warm_steps")

SIGNATURE = Signature((TensorSpec("input", "float32", (BATCH, 12)),), (TensorSpec("output", "float32", (BATCH, 4)),))


def rounded(graph: Graph, bits: int, out: Path) -> Graph:
    """The linear map of ``graph`` with its weights rounded to so many bits."""
    with np.load(graph.path) as model:
        weight, bias = model["weight"], model["bias"]
    step = float(np.abs(weight).max()) / 2 ** (bits - 1)
    np.savez(out, weight=(np.round(weight / step) * step).astype(np.float32), bias=bias)
    return replace(graph, path=out, derived_from=graph.route, compression=f"rounded{bits}")


def deployed(linear: Path, bits: int, monkeypatch: pytest.MonkeyPatch) -> Certificate:
    """A deployment whose graphs are the original and the same with rounded weights."""
    monkeypatch.setattr(
        deploy, "capture_all", lambda graph, samples, workspace, symbols: ((rounded(graph, bits, linear / "rounded.npz"), graph), ())
    )
    job = Job(linear / "model.npz", linear / "bundle", data=str(linear / "data.npz"), seconds=120, budget=Budget(0.05, relative=False))
    return deploy.deploy(job).certificate


def test_rounded_weights_pass_within_the_budget(linear: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate = deployed(linear, 8, monkeypatch)
    plans = {one.verified.candidate.plan.name: one.verified for one in certificate.measured}
    assert set(plans) == {"null-fp32-t1", "null-fp32-rounded8-t1"}
    lossy = plans["null-fp32-rounded8-t1"]
    assert lossy.candidate.plan == Plan("null", compression="rounded8", lossy=True)
    assert not lossy.parity.equivalent
    assert lossy.score is not None and lossy.score.bound <= 0.05
    assert not plans["null-fp32-t1"].candidate.plan.lossy
    page = (linear / "bundle" / "report.html").read_text()
    assert "null fp32, lossy, rounded8, 1 thread" in page and "lossy, so the budget decides" in page


def test_rounded_weights_fail_beyond_the_budget(linear: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate = deployed(linear, 2, monkeypatch)
    (rejected,) = certificate.rejected
    assert rejected.plan == Plan("null", compression="rounded2", lossy=True)
    assert "top1 drops by" in rejected.reason and "5.00% is allowed" in rejected.reason


def test_what_is_not_lossy_must_be_the_same_function(linear: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same files without the statement that they are meant to differ."""
    monkeypatch.setattr(Plan, "made_from", lambda plan, graph: replace(plan, compression=graph.compression))
    (rejected,) = deployed(linear, 8, monkeypatch).rejected
    assert rejected.reason.startswith("not the same function: its error is")


@pytest.mark.parametrize(
    ("plan", "graph", "lossy"),
    [
        (Plan("a"), {}, False),
        (Plan("a", "bf16"), {}, True),
        (Plan("a", "int8"), {}, True),
        (Plan("a", "int8"), {"precision": "int8"}, False),
        (Plan("a"), {"derived_from": "pt2", "compression": "pruned50"}, True),
    ],
)
def test_a_plan_is_lossy_by_what_it_is_made_from(plan: Plan, graph: dict[str, str], lossy: bool) -> None:
    made = plan.made_from(replace(Graph("onnx", Path("m.onnx"), SIGNATURE, "exported"), **graph))
    assert made.lossy is lossy
    assert made.artefact == "-".join(part for part in ("a", plan.precision, graph.get("compression", "")) if part)


def test_each_compression_of_a_graph_is_planned_and_none_without_data() -> None:
    original = Graph("npz", Path("m.npz"), SIGNATURE, "as it came")
    pruned = replace(original, path=Path("p.npz"), derived_from="as it came", compression="pruned50")
    narrow = {"runtimes": ("null",), "precisions": (), "calibrated": True}
    planned = lower.plans_for((pruned, original), this_host(), **narrow)
    assert [(plan.name, graph) for plan, graph in planned.plans] == [("null-fp32-t1", original), ("null-fp32-pruned50-t1", pruned)]
    blind = lower.plans_for((pruned, original), this_host(), **narrow, unproven="they need --data to be proven on")
    assert [graph for _, graph in blind.plans] == [original]
    assert blind.unavailable == ("pruned50: they need --data to be proven on",)

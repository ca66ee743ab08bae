"""What is not worth its time: plans that take long to make, and may not be chosen, are tried only where the user names them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from roadworthy.build import graphs, lower, supplied
from roadworthy.build.capture import CaptureRequest
from roadworthy.build.certificate import Data
from roadworthy.build.job import Job
from roadworthy.build.workspace import Workspace, open_workspace
from roadworthy.core.errors import StepFailed
from roadworthy.core.samples import SampleSet
from roadworthy.core.stages import Graph, Plan
from roadworthy.core.types import BATCH, Signature, TensorSpec

SIGNATURE = Signature((TensorSpec("input", "float32", (BATCH, 12)),), (TensorSpec("output", "float32", (BATCH, 4)),))
COMPILED, EAGER, FREE = Plan("aotinductor", threads=2), Plan("torchscript", threads=2, flavour="frozen"), Plan("onnxruntime", threads=2)


@pytest.mark.parametrize(
    ("told", "tried"),
    [
        ({}, {EAGER, FREE}),
        ({"allow_framework": True}, {COMPILED, EAGER, FREE}),
        ({"runtimes": ("aotinductor", "onnxruntime", "torchscript")}, {COMPILED, EAGER, FREE}),
        ({"plans": (COMPILED.name,)}, {COMPILED}),
    ],
)
def test_what_takes_long_to_make_and_may_not_be_chosen_is_tried_where_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: dict[str, Any], tried: set[Plan]
) -> None:
    graph = Graph("npz", tmp_path / "model.npz", SIGNATURE, "as it is")
    planned = lower.Planned(tuple((plan, graph) for plan in (COMPILED, EAGER, FREE)), ())
    monkeypatch.setattr(lower, "plans_for", lambda *given, **named: planned)
    job = Job(tmp_path / "model.npz", tmp_path / "bundle", **told)
    data = Data(supplied.GENERATED, SampleSet(tmp_path, ("input",), 1), None, ())
    with open_workspace(seconds=600, step_seconds=300, memory_mb=0, notify=lambda progress: None) as workspace:
        plans, unavailable = graphs.plans_to_try((graph,), SIGNATURE, data, job, workspace)
    assert {plan for plan, _ in plans} == tried
    assert bool(unavailable) == (COMPILED not in tried) and all("--allow-framework-at-serve" in reason for reason in unavailable)


@pytest.mark.parametrize(
    ("runtimes", "captured"),
    [((), ["pt2", "onnx", "jit"]), (("onnxruntime",), ["pt2", "onnx"]), (("torchscript",), ["pt2", "jit"]), (("aotinductor",), ["pt2"])],
)
def test_the_model_is_captured_only_in_formats_that_a_named_runtime_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runtimes: tuple[str, ...], captured: list[str]
) -> None:
    """The first format is captured in any case: the others start from what it gives."""
    asked: list[str] = []

    def refused(self: Workspace, function: object, request: CaptureRequest, *names: object) -> None:
        asked.append(request.format)
        raise StepFailed("not in this test")

    monkeypatch.setattr(Workspace, "reusable", refused)
    original = Graph("module", tmp_path / "model.pt", SIGNATURE, "as it is")
    with open_workspace(seconds=600, step_seconds=300, memory_mb=0, notify=lambda progress: None) as workspace:
        found, routes = graphs.capture_all(original, SampleSet(tmp_path, ("input",), 1), workspace, runtimes=runtimes)
    assert (found, sorted(asked), [route.format for route in routes]) == ((original,), sorted(captured), captured)

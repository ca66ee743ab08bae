"""A second deployment of the same model: what it uses again, what it never does, and what its certificate says of that."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from roadworthy.build import capture, deploy, lower, sources, verify
from roadworthy.build.capture import CaptureRequest
from roadworthy.build.job import Job
from roadworthy.build.original import identify
from roadworthy.build.reuse import store
from roadworthy.build.search import SearchResult, Trial, search
from roadworthy.build.workspace import open_workspace, workspace_for
from roadworthy.bundle import store as bundles
from roadworthy.bundle.certificate import StepTime
from roadworthy.core.samples import write
from roadworthy.core.stages import Graph, Plan
from roadworthy.core.types import BATCH, Signature, TensorSpec
from support import warm_children

SIGNATURE = Signature((TensorSpec("input", "float32", (BATCH, 12)),), (TensorSpec("output", "float32", (BATCH, 4)),))
NOTED = "made by earlier deployments on this host"


def searched(linear: Path, *plans: Plan) -> tuple[SearchResult, dict[str, StepTime]]:
    """What becomes of ``plans`` in a deployment of its own, and its steps."""
    with open_workspace(seconds=60, step_seconds=30, memory_mb=0, notify=lambda progress: None, cache=True) as workspace:
        folder = workspace.folder("original")
        folder.mkdir()
        (folder / "model.npz").write_bytes((linear / "model.npz").read_bytes())
        graph = Graph("npz", folder / "model.npz", SIGNATURE, "as it is")
        with np.load(linear / "data.npz") as data:
            samples = write(workspace.folder("samples"), {"input": data["x"]}, data["y"])
        reference = workspace.step(verify.establish, verify.ReferenceRequest(graph, samples, 1, workspace.folder("reference")), "reference")
        trial = Trial(None, samples, reference, SIGNATURE, "top1", 0.01, 0.0)
        found = search([(plan, graph) for plan in plans], (graph,), trial, workspace)
        return found, {step.name: step for stage in workspace.clock.read() for step in stage.steps}


def test_files_are_used_again_and_verified_anew(linear: Path, warm_steps: None) -> None:
    plan = Plan("null", threads=1)
    _, first = searched(linear, plan)
    again, second = searched(linear, plan)
    assert not first["lower-npz-null-fp32"].reused and second["lower-npz-null-fp32"].reused
    assert not second["verify-null-fp32-t1"].reused and not second["reference"].reused
    (verified,) = again.verified
    assert verified.parity.equivalent and verified.candidate.path.parent.name == "npz"

    with np.load(linear / "model.npz") as model:
        np.savez(linear / "model.npz", weight=model["weight"] * 2, bias=model["bias"])
    other, third = searched(linear, plan)
    assert not third["lower-npz-null-fp32"].reused
    assert other.verified[0].parity.equivalent


def test_a_fault_of_a_runtime_from_another_package_is_found_each_time(linear: Path, planted_here: None, warm_steps: None) -> None:
    plan = Plan("planted", flavour="errs by=0.5")
    for _ in range(2):
        outcome, _ = searched(linear, plan)
        assert [one.plan for one in outcome.rejected] == [plan]


def test_what_was_damaged_meanwhile_is_made_again(linear: Path, warm_steps: None) -> None:
    plan = Plan("null", threads=1)
    searched(linear, plan)
    (kept,) = store.places()[0].glob("*/files/model.npz")
    kept.write_bytes(kept.read_bytes()[:-10])
    outcome, steps = searched(linear, plan)
    assert not steps["lower-npz-null-fp32"].reused and outcome.verified
    assert searched(linear, plan)[1]["lower-npz-null-fp32"].reused


def test_the_originals_answers_are_used_again_only_where_it_still_gives_them(linear: Path, warm_steps: None) -> None:
    with (
        open_workspace(seconds=60, step_seconds=30, memory_mb=0, notify=lambda progress: None) as workspace,
        np.load(linear / "data.npz") as data,
    ):
        samples = write(workspace.folder("samples"), {"input": data["x"]}, data["y"])
        graph = Graph("npz", linear / "model.npz", SIGNATURE, "as it is")
        asked = verify.ReferenceRequest(graph, samples, 1, workspace.folder("reference"))
        earlier = workspace.step(verify.establish, asked, "reference")
        assert workspace.step(verify.repeat, verify.RepeatRequest(asked, earlier), "repeated").same
        with np.load(linear / "model.npz") as model:
            np.savez(linear / "model.npz", weight=np.nextafter(model["weight"], 9, dtype=np.float32), bias=model["bias"])
        assert not workspace.step(verify.repeat, verify.RepeatRequest(asked, earlier), "repeated").same


def test_what_does_not_hold_any_more_is_made_anew(linear: Path, warm_steps: None) -> None:
    for holds, reused in ((True, False), (False, False), (True, True)):
        with open_workspace(seconds=60, step_seconds=30, memory_mb=0, notify=lambda progress: None, cache=True) as workspace:
            folder = workspace.folder("original")
            folder.mkdir()
            (folder / "model.npz").write_bytes((linear / "model.npz").read_bytes())
            graph = Graph("npz", folder / "model.npz", SIGNATURE, "as it is")
            asked = lower.LowerRequest(graph, Plan("null"), None, workspace.folder("candidates/one"))
            made = workspace.reusable(lower.lower, asked, "lower", holds=lambda found, answer=holds: answer)
            assert (made.path / "model.npz").is_file()
            (stage,) = workspace.clock.read()
            assert [bool(step.reused) for step in stage.steps] == [reused]


@pytest.mark.slow
def test_the_certificate_of_a_second_deployment_says_what_was_made_before(linear: Path, warm_steps: None) -> None:
    job = Job(linear / "model.npz", linear / "bundle", data=str(linear / "data.npz"), runtimes=("null",), seconds=120)
    first = deploy.deploy(job).certificate
    assert not any(NOTED in note.text for note in first.notes)
    second = deploy.deploy(job)
    steps = {step.name: step for stage in second.certificate.stages for step in stage.steps}
    assert {name for name, step in steps.items() if step.reused} == {"reference", "lower-npz-null-fp32"}
    assert {"load", "reference-repeated", "score", "verify-null-fp32-t1", "accept"} <= steps.keys()
    (note,) = (note for note in second.certificate.notes if NOTED in note.text)
    assert "lower-npz-null-fp32" in note.text and "verified and timed anew, the original gave its first answers again" in note.text
    assert f"the oldest at {steps['reference'].reused}" in note.text
    assert bundles.read_certificate(second.bundle).notes == second.certificate.notes
    assert f"made {steps['lower-npz-null-fp32'].reused}" in (job.output / "report.html").read_text()
    third = deploy.deploy(replace(job, cache=False)).certificate
    assert not any(step.reused for stage in third.stages for step in stage.steps)


NET = """
import torch, helper
SCALE = float(open({scale!r}).read())
class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.fc, self.words = torch.nn.Linear(4, 3), {{"a", "b", "c", "d"}}
        self.scale = SCALE
        torch.nn.init.constant_(self.fc.weight, 0.5)
        torch.nn.init.constant_(self.fc.bias, 0.5)
    def forward(self, x):
        return helper.shifted(self.fc(x)) * self.scale
"""
HELPER = "def shifted(x):\n    return x + {shift}\n"


@pytest.mark.slow
def test_an_architecture_counts_with_all_that_it_imports_and_reads(
    tmp_path: Path, torch_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The key is of the network as it is in memory, after the user's code has run."""
    import torch

    warm_children.install(torch_server, monkeypatch.setattr)
    (tmp_path / "net.py").write_text(NET.format(scale=str(tmp_path / "scale.txt")))
    torch.save({"fc.weight": torch.full((3, 4), 0.25), "fc.bias": torch.zeros(3)}, tmp_path / "net.pt")
    job = Job(
        tmp_path / "net.pt", tmp_path / "bundle", arch=f"{tmp_path / 'net.py'}:Net", inputs=sources.parse_inputs(("x:float32[batch,4]",))[0]
    )

    def key(scale: str = "2.0", shift: str = "1.0") -> str | None:
        (tmp_path / "scale.txt").write_text(scale)
        (tmp_path / "helper.py").write_text(HELPER.format(shift=shift))
        with workspace_for((job,), lambda progress: None) as workspace:
            making = sources.Making(16, (), workspace.folder("made"))
            source = identify(job, workspace)
            request = sources.LoadRequest(source, job.inputs, None, workspace.folder("original"), making=making)
            loaded = workspace.step(sources.load, request, "load")
            assert loaded.samples is not None
            asked = CaptureRequest(loaded.graph, "pt2", loaded.samples, workspace.folder("graphs/pt2"))
            return workspace.reuse.key(capture.capture, asked)

    first = key()
    assert first is not None and key() == first
    assert key(scale="3.0") != first
    assert key(shift="2.0") != first

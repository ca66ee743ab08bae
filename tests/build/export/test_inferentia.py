"""The export for Inferentia: what it refuses, what lies in it, and its scripts run as far as they run without a Neuron device."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from roadworthy.bundle import export_evidence
from roadworthy.core.errors import StepFailed, UsageError
from roadworthy.core.stages import Graph, Plan
from roadworthy.core.types import BATCH, Signature, SizeRange, TensorSpec
from roadworthy.runtimes.exported._on_target import inferentia_model as neuron
from support import exporting
from support.models import torch_models as models

FAKE = Path(__file__).parents[2] / "support" / "fake_neuron"
PLAN = Plan("inferentia", batch=1)
NAMES = ("neuron", "torch_neuronx")


@pytest.fixture(params=["pt2", "jit"])
def graph(request: pytest.FixtureRequest, tmp_path: Path) -> Graph:
    make = models.as_program if request.param == "pt2" else models.as_script
    return make(models.colour(), tmp_path)


@pytest.fixture
def forgotten() -> Iterator[None]:
    """Modules of an export's folder are imported anew by the next test."""
    yield
    for name in NAMES:
        sys.modules.pop(name, None)


def test_the_same_file_answers_on_the_cpu_and_says_that_it_is_not_the_target(graph: Graph, tmp_path: Path) -> None:
    images = models.images(3)
    wanted = models.by_hand(models.colour(), images)
    out = exporting.lowered(graph, PLAN, tmp_path / "out")
    session = exporting.opened(graph, PLAN, out)
    (got,) = session.run({"image": images}).values()
    np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-5)
    assert session.inner.on_target is False  # type: ignore[attr-defined]
    exporting.finished(graph, PLAN, {"image": images}, {graph.signature.outputs[0].name: wanted}, out)
    assert {path.name for path in out.iterdir()} == {"model.pt", "tensors.json", "neuron.py", "verify.py", "golden.npz", "evidence.json"}
    # Weights that are constants of the graph would stay on the CPU.
    with models.quiet_script():
        assert list(torch.jit.load(out / "model.pt").state_dict())


class Branch(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x if bool(x.sum() > 0) else -x


class Found(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.nonzero(x).float()


class Until(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        while bool(x.sum() > 1):
            x = x / 2
        return x


class Thrice(nn.Module):
    """A loop of a fixed number of steps, and a branch on the mode alone."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(3)

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(3):
            x = self.norm(x)
        if self.training:
            x = x * 0
        return x


@pytest.mark.parametrize(
    ("module", "words"),
    [
        (Branch(), "a branch on a value that depends on the input (node '"),
        (Found(), "aten::nonzero (node '"),
        (Until(), "a loop whose end depends on the input (node '"),
    ],
)
def test_what_cannot_be_compiled_is_named_with_its_node_and_nothing_is_written(tmp_path: Path, module: nn.Module, words: str) -> None:
    with pytest.raises(StepFailed) as refused:
        exporting.lowered(models.as_script(module.eval(), tmp_path), PLAN, tmp_path / "out")
    assert words in refused.value.message and "choose another target" in refused.value.message
    assert not any((tmp_path / "out").iterdir())


def test_a_fixed_loop_and_a_branch_on_the_mode_are_taken(tmp_path: Path) -> None:
    images = models.images(1)
    module = Thrice().eval()
    graph = models.as_script(module, tmp_path)
    out = exporting.lowered(graph, PLAN, tmp_path / "out")
    (got,) = exporting.opened(graph, PLAN, out).run({"image": images}).values()
    np.testing.assert_allclose(got, models.by_hand(module, images), atol=1e-6)


def test_free_sizes_other_dtypes_and_other_plans_are_refused(tmp_path: Path) -> None:
    graph = models.as_script(models.colour(), tmp_path)
    x, y = TensorSpec("x", "float32", (BATCH, "time")), TensorSpec("y", "float64", (BATCH, 2))
    free = Signature((x,), (replace(y, dtype="float32"),), sizes=(SizeRange("time", (4, 5)),))
    for number, (signature, words) in enumerate(
        [(free, r"x:float32\[batch,time\]"), (Signature((replace(x, shape=(BATCH, 4)),), (y,)), "y:float64")]
    ):
        with pytest.raises(StepFailed, match=words):
            exporting.lowered(replace(graph, signature=signature), PLAN, tmp_path / str(number))
    with pytest.raises(UsageError, match="inferentia-bf16-b1-t1"):
        exporting.lowered(graph, replace(PLAN, precision="bf16"), tmp_path / "bf16")


def test_without_the_device_verify_says_what_is_missing(graph: Graph, tmp_path: Path) -> None:
    out = finished(graph, tmp_path)
    done = subprocess.run([sys.executable, str(out / "verify.py")], capture_output=True, text=True)
    assert done.returncode == 2 and "the package torch-neuronx is not installed here" in done.stderr
    assert "pip install --extra-index-url" in done.stderr and "Traceback" not in done.stderr
    assert not (out / "evidence-target.json").exists()


def test_the_placeholders_of_the_public_index_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They raise an ImportError when they are imported, and say so in their metadata; so no import is needed to tell."""
    words = "WRONG PACKAGE. Please install the package from Neuron Repository"
    for name, kind in (("torch_neuronx-1.0", "torch-neuronx"), ("neuronx_cc-1.0", "neuronx-cc")):
        (tmp_path / f"{name}.dist-info").mkdir()
        (tmp_path / f"{name}.dist-info" / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {kind}\nVersion: 1.0\n\n{words}\n")
    (tmp_path / "torch_neuronx.py").write_text(f"raise ImportError({words!r})\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert neuron.lacking().startswith("the package torch-neuronx that is installed here is a placeholder (WRONG PACKAGE)")
    assert neuron.INSTALL in neuron.lacking()
    assert "torch_neuronx" not in sys.modules


def finished(graph: Graph, tmp_path: Path) -> Path:
    """An export whose device is one that there is."""
    images = models.images(3)
    out = exporting.lowered(graph, PLAN, tmp_path / "out")
    answers = {graph.signature.outputs[0].name: models.by_hand(models.colour(), images)}
    exporting.finished(graph, PLAN, {"image": images}, answers, out)
    (out / "neuron.py").write_text((out / "neuron.py").read_text().replace('"/dev/neuron0"', '"/dev/null"'))
    exporting.seal(out, PLAN, 3)
    return out


def test_verify_compiles_and_asks_the_model_in_a_dry_run(
    graph: Graph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forgotten: None
) -> None:
    """With a stand-in for torch_neuronx that records what it is asked."""
    out = finished(graph, tmp_path)
    for folder in (FAKE, out):
        monkeypatch.syspath_prepend(folder)
    monkeypatch.setattr(sys, "argv", ["verify.py"])
    stated = export_evidence.read(out / "evidence.json")
    with models.quiet_script():
        assert runpy.run_path(str(out / "verify.py"), run_name="verify")["main"]() == 0
    recorded = sys.modules["torch_neuronx"].asked
    assert recorded == [{"shapes": [[1, 3, 8, 8]], "arguments": ["--auto-cast", "none"], "training": False}]
    evidence = export_evidence.read(out / "evidence-target.json")
    assert (evidence.on_target, evidence.files, evidence.golden) == (True, stated.files, stated.golden)
    assert {tool.name: tool.version for tool in evidence.tools}.items() >= {"torch-neuronx": "2.9.0", "neuronx-cc": "2.22.0"}.items()
    assert evidence.device == "AWS Neuron, 0 devices" and (out / "built" / "model.neuron.pt").is_file()


def test_a_torch_neuronx_that_cannot_compile_for_inferentia_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forgotten: None, capsys: pytest.CaptureFixture[str]
) -> None:
    """Later packages of the same name are for Trainium and have no trace()."""
    out = finished(models.as_script(models.colour(), tmp_path), tmp_path)
    monkeypatch.syspath_prepend(FAKE)
    monkeypatch.syspath_prepend(out)
    import torch_neuronx  # type: ignore[import-not-found]

    monkeypatch.delattr(torch_neuronx, "trace")
    monkeypatch.setattr(sys, "argv", ["verify.py"])
    assert runpy.run_path(str(out / "verify.py"), run_name="verify")["main"]() == 2
    assert "it has no trace()" in capsys.readouterr().err and not (out / "built" / "model.neuron.pt").exists()


def test_where_there_is_a_device_the_session_is_the_compiled_model(
    graph: Graph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forgotten: None
) -> None:
    monkeypatch.syspath_prepend(FAKE)
    monkeypatch.setattr(neuron, "DEVICE", "/dev/null")
    out = exporting.lowered(graph, PLAN, tmp_path / "out")
    images = models.images(3)
    with models.quiet_script(), exporting.opened(graph, PLAN, out) as session:
        inner: Any = session.inner
        assert inner.on_target is True and {tool.name for tool in inner.tools} == {"torch-neuronx", "neuronx-cc"}
        (got,) = session.run({"image": images}).values()
    np.testing.assert_allclose(got, models.by_hand(models.colour(), images), rtol=1e-4, atol=1e-5)


def test_the_tensors_are_those_of_the_signature(graph: Graph, tmp_path: Path) -> None:
    out = exporting.lowered(graph, PLAN, tmp_path / "out")
    assert json.loads((out / "tensors.json").read_text()) == {
        "inputs": [{"name": "image", "dtype": "float32", "shape": [1, 3, 8, 8]}],
        "outputs": [spec.name for spec in graph.signature.outputs],
    }

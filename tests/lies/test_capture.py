"""Silent wrong results of the capture routes: each is provoked with bare torch, then refused, avoided or named here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

from roadworthy.build.capture import onnx_file as onnx_format
from roadworthy.build.capture import parity
from roadworthy.build.capture.exporter_errors import Refused
from roadworthy.build.capture.torch import onnx as torch_onnx
from roadworthy.build.capture.torch import program as torch_program
from roadworthy.build.capture.torch.original import open_subject
from roadworthy.core.errors import CaptureFailed
from roadworthy.core.stages import Plan
from roadworthy.core.types import BATCH, Signature, TensorSpec
from roadworthy.runtimes import open_session
from support.models.originals import images, original, output, quietly

pytestmark = pytest.mark.slow


class Flat(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stack = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.BatchNorm1d(16), nn.Dropout(0.5), nn.Linear(16, 4))

    def forward(self, image: Tensor) -> Tensor:
        return self.stack(image)


class Branching(nn.Module):
    """Two sides; dark images are rare."""

    def forward(self, image: Tensor) -> Tensor:
        flat = image.flatten(1)
        if flat.mean() > 0:
            return 2 * flat
        return flat - 1


class BakedScale(nn.Module):
    """Divides by the batch size as a Python number what was just summed over the batch; it cannot be scripted."""

    def forward(self, image: Tensor) -> Tensor:
        flat = image.flatten(1)
        size = int(next(iter(image.shape)))
        return flat * (torch.ones_like(flat).sum(0) / size)


# 2: an example batch of 1 with Dim.AUTO is silently static.


def test_an_automatic_dimension_at_batch_one_is_static_without_a_word() -> None:
    program = torch.export.export(Flat().eval(), (torch.ones(1, 1, 8, 8),), dynamic_shapes=({0: torch.export.Dim.AUTO},))
    assert not program.range_constraints
    with pytest.raises(AssertionError, match="Guard failed"):
        program.module()(torch.ones(2, 1, 8, 8))

    promised = Signature((TensorSpec("image", "float32", (BATCH, 1, 8, 8)),), output(4))
    with pytest.raises(Refused, match="batch became the constant 1 in image"):
        torch_program.checked(program, promised)


def test_our_program_takes_any_batch(tmp_path: Path) -> None:
    model = original(tmp_path, Flat().eval(), images(), output(4))
    graph = model.capture("pt2", tmp_path).graph
    assert graph is not None and graph.signature.batched and graph.signature.max_batch is None
    assert torch.export.load(graph.path).module()(torch.ones(9, 1, 8, 8))[0].shape == (9, 4)


# 3: a model exported in training mode keeps dropout and batch statistics live.


def test_a_model_in_training_mode_exports_without_a_word_and_drops() -> None:
    # Samples that differ: of equal ones, what batch normalisation leaves to be dropped is zero, or a CPU's own rounding.
    batch = torch.rand(3, 1, 8, 8)
    program = torch.export.export(Flat().train(), (batch,), dynamic_shapes=({0: torch.export.Dim("batch")},))
    assert not torch.equal(program.module()(batch), program.module()(batch))


def test_a_model_in_training_mode_is_refused(tmp_path: Path) -> None:
    half = Flat().eval()
    half.stack[3].train()
    (tmp_path / "module").mkdir()
    model = original(tmp_path / "module", half, images(), output(4))
    with pytest.raises(CaptureFailed, match=r"training mode \(module\.stack\.3\)"):
        model.capture("onnx", tmp_path)


@pytest.mark.parametrize(("layer", "says"), [(nn.Dropout(0.5), "dropout is live"), (nn.BatchNorm2d(1), "batch normalisation trains")])
def test_a_program_that_was_exported_in_training_mode_is_refused(tmp_path: Path, layer: nn.Module, says: str) -> None:
    model = original(tmp_path, nn.Sequential(layer, nn.Flatten()).train(), images(), output(64), form="program")
    captured = model.capture("pt2", tmp_path)
    assert captured.graph is None
    assert all(says in route.outcome for route in captured.routes)


# 4: asked for opset 13, the dynamo exporter writes 18.


def test_an_opset_that_was_not_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(72, 4), nn.Dropout(0.5)).eval()
    quietly(
        torch.onnx.export, network, (torch.ones(3, 1, 8, 8),), str(tmp_path / "bare.onnx"), dynamo=True, opset_version=13, verbose=False
    )
    assert onnx_format.opset(onnx.load(str(tmp_path / "bare.onnx"))) == 18

    monkeypatch.setattr(torch_onnx, "OPSET", 13)
    graph = original(tmp_path, network, images(), output(4)).capture("onnx", tmp_path).graph
    assert graph is not None
    assert "opset 13 was asked for and the exporter wrote opset 18" in graph.notes


# 16: a trace records one side of a data-dependent branch.


def test_a_trace_records_one_side() -> None:
    bright, dark = torch.rand(3, 1, 8, 8), -torch.rand(3, 1, 8, 8)
    traced = quietly(torch.jit.trace, Branching(), (bright,))
    assert torch.equal(traced(bright), Branching()(bright))
    assert not torch.equal(traced(dark), Branching()(dark))


def test_a_trace_is_not_used_where_export_met_a_branch(tmp_path: Path) -> None:
    # Every sample takes the same side: no comparison of answers could tell.
    model = original(tmp_path, Branching().eval(), images(centre=1.0), output(64))
    exported = model.capture("pt2", tmp_path)
    assert exported.graph is None
    assert any("torch.export found" in doubt and "test_capture.py" in doubt for doubt in exported.doubts)

    for format in ("onnx", "jit"):
        captured = model.capture(format, tmp_path, exported.doubts)
        assert captured.graph is not None and captured.graph.route.endswith("scripted")
        runtime = {"onnx": "onnxruntime", "jit": "torchscript"}[format]
        with open_session(captured.graph.path, captured.graph.signature, Plan(runtime)) as session:
            for shade in (1.0, -1.0):
                feed = images(centre=shade)["image"][:4]
                found = session.run({"image": feed})["output"]
                np.testing.assert_allclose(found, Branching()(torch.from_numpy(feed)).numpy(), rtol=1e-5, atol=1e-6)


def test_without_a_script_a_branch_leaves_no_graph_and_the_doubt_is_found_by_each_format_alone(tmp_path: Path) -> None:
    class Unscriptable(Branching):
        def forward(self, image: Tensor) -> Tensor:
            return next(iter((super().forward(image),)))

    model = original(tmp_path, Unscriptable().eval(), images(centre=1.0), output(64))
    for format in ("onnx", "jit"):
        captured = model.capture(format, tmp_path)
        assert captured.graph is None
        traced = next(route for route in captured.routes if route.route.endswith("traced"))
        assert not traced.ok
        assert "a trace records only what its example led to" in traced.outcome
        assert "if flat.mean() > 0:" in traced.outcome


# 17: a batch size baked in.


def test_a_baked_batch_size_is_right_where_it_was_traced_and_wrong_elsewhere() -> None:
    traced = quietly(torch.jit.trace, BakedScale(), (torch.rand(3, 1, 8, 8),))
    other = torch.rand(6, 1, 8, 8)
    assert torch.equal(BakedScale()(other), other.flatten(1))
    assert torch.equal(traced(other), 2 * other.flatten(1))


def test_a_baked_batch_size_is_refused_and_what_is_left_promises_one_sample(tmp_path: Path) -> None:
    captured = original(tmp_path, BakedScale().eval(), images(), output(64)).capture("jit", tmp_path)
    refused = next(route for route in captured.routes if route.route == "traced")
    assert "right at 3 samples, as captured, and wrong at 1: the batch size was baked in" in refused.outcome
    assert captured.graph is not None
    assert captured.graph.route == "traced, one sample a call"
    assert captured.graph.signature.inputs[0].shape == (1, 1, 8, 8)
    assert captured.graph.signature.max_batch == 1


def test_the_older_exporter_bakes_it_in_too_and_is_refused(tmp_path: Path) -> None:
    model = original(tmp_path, BakedScale().eval(), images(), output(64))
    subject = open_subject(model.graph, model.samples, (), None)
    route = next(route for route in onnx_format.routes(subject) if route.name == "older exporter, traced")
    written = quietly(route.write, subject, tmp_path)
    with pytest.raises(Refused, match="the batch size was baked in"):
        parity.prove(written, "onnx", subject)

"""Routes that PyTorch models once lost without need, and what a route that is lost says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

from roadworthy.build import lower
from roadworthy.build.capture import exporter_errors, parity
from roadworthy.build.lower import LowerRequest
from roadworthy.core import registry
from roadworthy.core.errors import StepFailed
from roadworthy.core.host import this_host
from roadworthy.core.stages import Graph, Plan
from roadworthy.core.types import BATCH, Array, TensorSpec
from roadworthy.runtimes import open_session
from support.models.originals import COUNT, Original, images, original, output

pytestmark = pytest.mark.slow
OPENVINO = Plan("openvino")


class Ranker(nn.Module):
    """Gives the ids back beside the scores, and the same scores under two names."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.head = nn.Embedding(50, 8), nn.Linear(8, 4)

    def forward(self, ids: Tensor) -> dict[str, Tensor]:
        scores = self.head(self.words(ids).mean(1))
        return {"scores": scores, "ids": ids, "logits": scores, "sure": scores[:, 0] > 0}


RANKED = (
    TensorSpec("scores", "float32", (BATCH, 4)),
    TensorSpec("ids", "int64", (BATCH, 5)),
    TensorSpec("logits", "float32", (BATCH, 4)),
    TensorSpec("sure", "bool", (BATCH,)),
)


class UnderAutocast(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(1, 4, 3), nn.Linear(4, 3)

    def forward(self, image: Tensor) -> Tensor:
        with torch.autocast("cpu"):
            return self.head(self.conv(image).relu().mean((2, 3))).float()


class UnevenMaximum(nn.Module):
    """ONNX has no maximum over regions of different sizes; the image is handed through as well."""

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        return {"peaks": nn.functional.adaptive_max_pool2d(image, (3, 5)), "image": image}


PEAKS = (TensorSpec("peaks", "float32", (BATCH, 1, 3, 5)), TensorSpec("image", "float32", (BATCH, 1, 8, 8)))


def answers(graph: Graph, feeds: dict[str, Array], path: Path | None = None, plan: Plan | None = None) -> dict[str, Array]:
    with open_session(path or graph.path, graph.signature, plan or Plan(registry.runtime_for(graph.format))) as session:
        return dict(session.run(feeds))


def same(model: Original, feeds: dict[str, Array], found: dict[str, Array]) -> None:
    """``found`` is what the live module answers."""
    wanted: Any = model.module(*(torch.from_numpy(array) for array in feeds.values()))
    for name, array in found.items():
        expected = (wanted[name] if isinstance(wanted, dict) else wanted).detach().numpy()
        assert array.dtype == expected.dtype
        np.testing.assert_allclose(array, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("format", ["pt2", "onnx", "jit"])
def test_an_input_handed_through_and_one_tensor_under_two_names(format: str, tmp_path: Path) -> None:
    ids = {"ids": np.arange(COUNT * 5).reshape(COUNT, 5) % 50}
    model = original(tmp_path, Ranker().eval(), ids, RANKED)
    graph = model.capture(format, tmp_path).graph
    assert graph is not None and graph.signature == model.graph.signature
    feeds = {"ids": ids["ids"][4:7]}
    found = answers(graph, feeds)
    assert list(found) == ["scores", "ids", "logits", "sure"]
    same(model, feeds, found)
    if format == "onnx":
        lower.lower(LowerRequest(graph, OPENVINO, None, tmp_path / "openvino"))
        same(model, feeds, answers(graph, feeds, tmp_path / "openvino", OPENVINO))


def test_a_forward_under_autocast_keeps_its_onnx_routes(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = original(tmp_path, UnderAutocast().eval(), images(), output(3))
    graph = model.capture("onnx", tmp_path).graph
    assert graph is not None and graph.route == "dynamo exporter"
    assert any("computes partly in bfloat16" in note for note in graph.notes) and any(
        "is computed in float32 here" in note for note in graph.notes
    )
    file = onnx.load(str(graph.path))
    assert onnx.TensorProto.BFLOAT16 not in {tensor.data_type for tensor in file.graph.initializer}
    feeds = {"image": images()["image"][:4]}
    found = answers(graph, feeds)["output"]
    own = model.module(torch.from_numpy(feeds["image"])).detach().numpy()
    exact = model.module.double()(torch.from_numpy(feeds["image"]).double()).detach().numpy()
    scale = np.abs(exact).max()
    assert 1e-6 < np.abs(own - exact).max() / scale < parity.NARROW_GATE
    assert np.abs(found - own).max() / scale < parity.NARROW_GATE


def test_an_operator_that_onnx_lacks_is_named_and_openvino_reads_the_models_own_graph(tmp_path: Path) -> None:
    model = original(tmp_path, UnevenMaximum().eval(), images(), PEAKS)
    exported, script = model.capture("pt2", tmp_path).graph, model.capture("jit", tmp_path).graph
    failed = model.capture("onnx", tmp_path, exported=exported.path if exported else None)
    assert failed.graph is None and exported is not None and script is not None
    assert [route.outcome for route in failed.routes[:2]] == [
        "the operator aten.adaptive_max_pool2d has no counterpart in ONNX",
        "the operator adaptive_max_pool2d cannot be converted: output size that are not factor of input size",
    ]
    planned = lower.plans_for((exported, script, model.graph), this_host(), runtimes=("openvino",), precisions=("fp32",), calibrated=False)
    assert {graph.format for _, graph in planned.plans} == {"pt2"}
    feeds = {"image": images()["image"][:3]}
    lower.lower(LowerRequest(exported, OPENVINO, None, tmp_path / "openvino"))
    same(model, feeds, answers(exported, feeds, tmp_path / "openvino", OPENVINO))


def test_openvino_reads_a_traced_archive(tmp_path: Path) -> None:
    model = original(tmp_path, nn.AdaptiveMaxPool2d((3, 5)).eval(), images(), output(1, 3, 5))
    script = model.capture("jit", tmp_path).graph
    assert script is not None
    lower.lower(LowerRequest(script, OPENVINO, None, tmp_path / "openvino"))
    for count in (1, 4):
        feeds = {"image": images()["image"][:count]}
        same(model, feeds, answers(script, feeds, tmp_path / "openvino", OPENVINO))


def test_an_operator_that_only_the_framework_has_is_named_by_openvino(tmp_path: Path) -> None:
    class Bessel(nn.Module):
        def forward(self, image: Tensor) -> Tensor:
            return torch.special.bessel_j0(image)

    exported = original(tmp_path, Bessel().eval(), images(), output(1, 8, 8)).capture("pt2", tmp_path).graph
    assert exported is not None
    with pytest.raises(StepFailed, match=r"No conversion rule found for operations: aten\.special_bessel_j0"):
        lower.lower(LowerRequest(exported, OPENVINO, None, tmp_path / "openvino"))


def test_a_pool_whose_last_window_is_padding_alone_is_not_thrown_away(tmp_path: Path) -> None:
    class Ceiling(nn.Module):
        def forward(self, image: Tensor) -> Tensor:
            return nn.functional.avg_pool2d(image[:, :, :2, :2], 3, 3, 1, ceil_mode=True)

    graph = original(tmp_path, Ceiling().eval(), images(), output(1, 1, 1)).capture("onnx", tmp_path).graph
    assert graph is not None
    with pytest.raises(Exception, match="Inferred shape and existing shape differ"):
        onnx.checker.check_model(str(graph.path), full_check=True)


def test_a_module_that_holds_a_script_is_captured(tmp_path: Path) -> None:
    with pytest.warns(DeprecationWarning):
        model = nn.Sequential(torch.jit.script(nn.Flatten()), nn.Linear(64, 3)).eval()
    captured = original(tmp_path, model, images(), output(3)).capture("onnx", tmp_path)
    assert captured.graph is not None, captured.routes


def test_the_models_own_line_is_found_in_a_folder_that_is_called_like_a_framework() -> None:
    problem = RuntimeError('data-dependent branch\n  File "/home/me/torch/net.py", line 7, in forward\n    if x.sum() > 0:')
    assert exporter_errors.reason(problem) == "a branch or a size in the model depends on the data (net.py:7)"

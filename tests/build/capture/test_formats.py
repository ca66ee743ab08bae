"""Every format from every form of original: names, order, dtypes, limits, and what a failing route says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

from roadworthy.build import capture
from roadworthy.build.capture import FORMATS, parity, try_routes
from roadworthy.build.capture import onnx_file as onnx_format
from roadworthy.build.capture.route import Written
from roadworthy.build.capture.torch import onnx as torch_onnx
from roadworthy.core import registry
from roadworthy.core.errors import BackendMissing, CaptureFailed, UsageError
from roadworthy.core.isolation import isolate
from roadworthy.core.stages import Graph, Plan
from roadworthy.core.types import BATCH, Signature, TensorSpec
from roadworthy.runtimes import open_session
from support.models.networks import SmallCNN
from support.models.originals import COUNT, Original, images, original, output

pytestmark = pytest.mark.slow


class Several(nn.Module):
    """Two inputs of two dtypes; a dict of three outputs, whose names are in no alphabetical order."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(50, 8)
        self.map = nn.Linear(8, 4)

    def forward(self, tokens: Tensor, image: Tensor) -> dict[str, Tensor]:
        hidden = self.words(tokens).mean(1) + image.mean((1, 2, 3)).unsqueeze(1)
        logits = self.map(hidden)
        return {"logits": logits, "best": logits.argmax(-1), "hidden": hidden}


SEVERAL = (
    TensorSpec("logits", "float32", (BATCH, 4)),
    TensorSpec("best", "int64", (BATCH,)),
    TensorSpec("hidden", "float32", (BATCH, 8)),
)


class NineInputs(nn.Module):
    """More inputs than anyone would spell out one by one; each weighs differently, so that none can take another's place."""

    def forward(self, *columns: Tensor) -> dict[str, Tensor]:
        return {"total": sum((place + 1) * column for place, column in enumerate(columns))}


class Rows(nn.Module):
    """Takes at most 16 samples: its buffer has no more rows."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("rows", torch.ones(16, 64))

    def forward(self, image: Tensor) -> Tensor:
        return image.flatten(1) * self.rows[: image.shape[0]]


class OneByOne(nn.Module):
    """A Python loop over the samples."""

    def forward(self, image: Tensor) -> Tensor:
        return torch.stack([2 * sample.flatten() for sample in image])


class Attention(nn.Module):
    def forward(self, image: Tensor) -> Tensor:
        tokens = image.flatten(1, 2)
        return nn.functional.scaled_dot_product_attention(tokens, tokens, tokens)


def answers(graph: Graph, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    with open_session(graph.path, graph.signature, Plan(registry.runtime_for(graph.format))) as session:
        return dict(session.run(feeds))


@pytest.fixture(scope="module")
def cnn(tmp_path_factory: pytest.TempPathFactory) -> Original:
    return original(tmp_path_factory.mktemp("cnn"), SmallCNN().eval(), images(), output(10))


def test_a_module_is_captured_in_every_format_and_others_are_used_as_they_are(cnn: Original) -> None:
    assert capture.formats(cnn.graph) == FORMATS["module"]
    ready = Graph("npz", Path("model.npz"), cnn.graph.signature, "as loaded")
    assert capture.formats(ready) == ()
    with pytest.raises(UsageError, match="a npz graph cannot be captured as onnx"):
        try_routes.capture(capture.CaptureRequest(ready, "onnx", cnn.samples, Path("nowhere")))


def test_the_step_runs_in_a_child_and_its_answer_crosses_as_data(cnn: Original, tmp_path: Path) -> None:
    captured = isolate.call(capture.capture, cnn.request("jit", tmp_path))
    assert captured.graph is not None and captured.graph.route == "scripted"
    assert [(route.route, route.outcome, route.ok) for route in captured.routes] == [("scripted", "used", True)]


@pytest.mark.parametrize("form", ["module", "script", "program"])
@pytest.mark.parametrize("format", FORMATS["module"])
def test_names_order_and_dtypes_survive(tmp_path: Path, form: str, format: str) -> None:
    inputs = {"tokens": np.arange(COUNT * 6).reshape(COUNT, 6) % 50, **images()}
    model = original(tmp_path, Several().eval(), inputs, SEVERAL, form=form)
    graph = model.capture(format, tmp_path).graph
    assert graph is not None
    assert graph.signature == model.graph.signature
    feeds = {"tokens": inputs["tokens"][5:9], "image": inputs["image"][5:9]}
    found = answers(graph, feeds)
    wanted = model.module(*(torch.from_numpy(array) for array in feeds.values()))
    assert list(found) == ["logits", "best", "hidden"]
    for name, tensor in wanted.items():
        assert found[name].dtype == tensor.detach().numpy().dtype
        np.testing.assert_allclose(found[name], tensor.detach().numpy(), rtol=1e-4, atol=1e-5)


def test_the_onnx_file_is_what_was_asked_for(cnn: Original, tmp_path: Path) -> None:
    graph = cnn.capture("onnx", tmp_path).graph
    assert graph is not None and graph.route == "dynamo exporter"
    assert [path.name for path in graph.path.parent.iterdir()] == ["model.onnx"]
    model = onnx.load(str(graph.path))
    assert onnx_format.opset(model) == torch_onnx.OPSET
    for value, name, sizes in ((model.graph.input[0], "image", [1, 8, 8]), (model.graph.output[0], "output", [10])):
        assert value.name == name
        first, *others = value.type.tensor_type.shape.dim
        assert first.dim_param == BATCH
        assert [size.dim_value for size in others] == sizes


def test_where_the_dynamo_exporter_fails_the_older_one_is_tried(tmp_path: Path) -> None:
    model = original(tmp_path, Attention().eval(), images(), output(8, 8))
    captured = model.capture("onnx", tmp_path)
    assert [route.ok for route in captured.routes] == [False, True]
    assert captured.routes[0].outcome.startswith("the operator aten.scaled_dot_product_attention cannot be converted: ")
    assert captured.graph is not None and captured.graph.route == "older exporter, traced"


@pytest.mark.parametrize("format", FORMATS["module"])
def test_a_limit_of_the_original_is_in_the_signature(tmp_path: Path, format: str) -> None:
    model = original(tmp_path, Rows().eval(), images(), output(64))
    exported = model.capture("pt2", tmp_path).graph
    assert exported is not None
    graph = exported if format == "pt2" else model.capture(format, tmp_path, exported=exported.path).graph
    assert graph is not None
    assert graph.signature.max_batch == 16
    assert answers(graph, {"image": np.concatenate([images()["image"]] * 2)})["output"].shape == (2 * COUNT, 64)


def test_a_loop_over_the_samples_is_exported_for_one_and_scripted_for_any(tmp_path: Path) -> None:
    model = original(tmp_path, OneByOne().eval(), images(), output(64))
    exported, scripted = model.capture("pt2", tmp_path), model.capture("jit", tmp_path)
    assert "fixes batch to 3" in exported.routes[0].outcome
    assert exported.graph is not None and exported.graph.signature == model.graph.signature.fixed(1)
    assert scripted.graph is not None and scripted.graph.signature.max_batch is None


def test_an_original_of_a_fixed_size_stays_one(tmp_path: Path) -> None:
    model = original(tmp_path, SmallCNN().eval(), images(), output(10), batch=4)
    graph = model.capture("onnx", tmp_path).graph
    assert graph is not None
    assert graph.signature == model.graph.signature
    assert onnx.load(str(graph.path)).graph.input[0].type.tensor_type.shape.dim[0].dim_value == 4


def test_without_a_runtime_the_graph_says_that_it_is_unchecked(cnn: Original, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none_installed(format: str) -> str:
        raise BackendMissing("install one")

    monkeypatch.setattr(registry, "runtime_for", none_installed)
    graph = cnn.capture("jit", tmp_path).graph
    assert graph is not None and "unchecked at capture: install one" in graph.notes


def test_an_original_that_fails_on_the_samples_is_no_matter_of_routes(tmp_path: Path) -> None:
    model = original(tmp_path, nn.Sequential(nn.Flatten(), nn.Linear(63, 4)).eval(), images(), output(4))
    with pytest.raises(CaptureFailed, match=r"the original fails on 1 of the samples: RuntimeError: .*mat1 and mat2"):
        model.capture("pt2", tmp_path)


def test_another_models_graph_is_refused(cnn: Original, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "foreign").mkdir()
    foreign = original(tmp_path / "foreign", SmallCNN().eval(), images(), output(10)).capture("jit", tmp_path / "other").graph
    assert foreign is not None
    prove = parity.prove
    monkeypatch.setattr(parity, "prove", lambda written, *rest: prove(Written(foreign.path, written.signature), *rest))
    captured = cnn.capture("jit", tmp_path)
    assert captured.graph is None
    assert all("differs from the original by" in route.outcome for route in captured.routes)
    assert not (tmp_path / "jit").exists()


@pytest.mark.parametrize(
    ("found", "wanted", "says"),
    [
        (np.float32([1, 2]), np.float32([1, 2.0001]), None),
        (np.float32([1, 2]), np.float32([1, 2.1]), "differs from the original by 0.048 of its scale"),
        (np.float32([1, np.nan]), np.float32([1, 2]), "is not finite"),
        (np.float32([1, -np.inf]), np.float32([1, -np.inf]), None),
        (np.zeros((1, 4), np.float32), np.zeros((2, 4), np.float32), r"has shape [1, 4] where the original gives [2, 4]"),
        (np.zeros(2, np.float32), np.zeros(2, np.float32), None),
        (np.ones(2, np.float32), np.zeros(2, np.float32), "differs from the original by 1 of its scale"),
        (np.int64([1, 2]), np.int64([1, 3]), "differs from the original in 50.0% of its values"),
        (np.int32([1]), np.int64([1]), "is int32 where the original gives int64"),
    ],
)
def test_differences_in_words(found: np.ndarray, wanted: np.ndarray, says: str | None) -> None:
    text = parity.difference(found, wanted)
    assert text == says if says is None else text is not None and text.startswith(says)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda model: setattr(model.graph.input[0].type.tensor_type.shape.dim[0], "dim_value", 3), "batch became the constant 3 in image"),
        (lambda model: setattr(model.graph.output[0], "name", "y"), "the file's outputs are not the model's"),
        (lambda model: model.graph.input.append(onnx.helper.make_tensor_value_info("more", 1, [1])), "has more: more"),
        (lambda model: setattr(model.graph.input[0].type.tensor_type, "elem_type", 11), "has image as float64"),
        (lambda model: setattr(model.graph.node[0], "domain", "someone.else"), "operators that are not ONNX's own"),
    ],
)
def test_a_file_that_is_not_of_the_signature_is_refused(tmp_path: Path, spoil, says: str) -> None:  # type: ignore[no-untyped-def]
    helper = onnx.helper
    value = helper.make_tensor_value_info("image", 1, ["n", 4]), helper.make_tensor_value_info("output", 1, ["n", 4])
    graph = helper.make_graph([helper.make_node("Relu", ["image"], ["output"])], "g", [value[0]], [value[1]])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])
    signature = Signature((TensorSpec("image", "float32", (BATCH, 4)),), (TensorSpec("output", "float32", (BATCH, 4)),))
    path = tmp_path / "model.onnx"
    onnx.save(model, str(path))
    assert onnx_format.check_file(path, signature, 20) == ("opset 20",)
    spoil(model)
    onnx.save(model, str(path))
    with pytest.raises(Exception, match=says):
        onnx_format.check_file(path, signature, 20)


def test_what_a_file_says_of_its_inner_and_outer_shapes_is_no_reason_to_refuse_it(tmp_path: Path) -> None:
    """ONNX's checker refuses the file, and the runtime answers rightly."""
    helper, path = onnx.helper, tmp_path / "model.onnx"
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("Relu", ["image"], ["inner"]), helper.make_node("Gelu", ["inner"], ["output"], domain="com.microsoft")], "g",
        [value("image", 1, ["n", 4])], [value("output", 1, [7, 4])], value_info=[value("inner", 1, ["n", 9])],
    )  # fmt: skip
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("com.microsoft", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets), str(path))
    signature = Signature((TensorSpec("image", "float32", (BATCH, 4)),), (TensorSpec("output", "float32", (BATCH, 4)),))
    notes = onnx_format.check_file(path, signature, 20)
    assert notes[0] == "opset 20"
    assert "ONNX's own checker complains, and the answers of the runtime decide: " in notes[1]
    x = np.float32([[-1, 0, 1, 2], [3, 4, -5, 6]])
    with open_session(path, signature, Plan("onnxruntime")) as session:
        assert np.allclose(session.run({"image": x})["output"], [[0, 0, 0.8413, 1.9545], [3, 4, 0, 6]], atol=1e-2)


@pytest.mark.parametrize("format", FORMATS["module"])
def test_a_model_may_take_nine_inputs(tmp_path: Path, format: str) -> None:
    generator = np.random.default_rng(0)
    columns = {f"column_{number}": generator.standard_normal((COUNT, 3)).astype(np.float32) for number in range(9)}
    nine = original(tmp_path, NineInputs().eval(), columns, (TensorSpec("total", "float32", (BATCH, 3)),))
    captured = nine.capture(format, tmp_path)
    assert captured.graph is not None
    assert [spec.name for spec in captured.graph.signature.inputs] == list(columns)
    feeds = {name: array[:4] for name, array in columns.items()}
    wanted = sum((place + 1) * array for place, array in enumerate(feeds.values()))
    np.testing.assert_allclose(answers(captured.graph, feeds)["total"], wanted, rtol=1e-5, atol=1e-5)

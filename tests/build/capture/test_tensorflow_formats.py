"""Every format from every form that TensorFlow and Keras models come in: names, order, dtypes, each route, and why one fails."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from roadworthy.build.capture import FORMATS, Captured
from roadworthy.build.capture import onnx_file as onnx_format
from roadworthy.core import codec
from roadworthy.core.isolation.worker import Worker
from roadworthy.core.stages import Graph, Plan
from roadworthy.core.types import BATCH, Quantization
from roadworthy.frameworks.tensorflow.entry import ENTRY, GraphEntry, Port
from roadworthy.runtimes import open_session
from support.models.tensorflow_captures import Original, Trial, each_route, operators

pytestmark = pytest.mark.slow

Made = Callable[[str], Original]
Capture = Callable[..., Captured]


def used(captured: Captured) -> Graph:
    assert captured.graph is not None, captured.routes
    return captured.graph


@pytest.mark.parametrize("format", FORMATS["keras"])
def test_names_order_and_dtypes_survive(made: Made, captured: Capture, format: str) -> None:
    original = made("several")
    graph = used(captured(original, format))
    assert graph.signature == original.graph.signature


def test_a_frozen_graph_bears_the_users_names_where_tensorflow_allows(made: Made, captured: Capture, tensorflow: Worker) -> None:
    graph = used(captured(made("several"), "graphdef"))
    entry = codec.from_json(GraphEntry, (graph.path / ENTRY).read_bytes())
    assert entry.inputs == (Port("tokens", "tokens:0"), Port("the picture", "the_picture:0"))
    # "hidden" is also the concatenation's own name, which keeps it.
    assert [port.name for port in entry.outputs] == ["logits", "best", "hidden"]
    nodes = tensorflow.ask(operators, graph).routes
    assert {"tokens: Placeholder", "the_picture: Placeholder", "logits: Identity", "best: Identity"} <= set(nodes)
    assert len([node for node in nodes if node.endswith(": Placeholder")]) == 2


def test_a_frozen_graph_has_no_calls_left(made: Made, captured: Capture, tensorflow: Worker) -> None:
    found = {node.partition(": ")[2] for node in tensorflow.ask(operators, used(captured(made("modern"), "graphdef"))).routes}
    assert "Conv2D" in found
    assert not {op for op in found if "PartitionedCall" in op or "Variable" in op}


def test_the_onnx_file_is_what_was_asked_for(made: Made, captured: Capture) -> None:
    original = made("several")
    graph = used(captured(original, "onnx"))
    assert graph.route == "tf2onnx, from the frozen graph" and graph.notes == ("opset 17",)
    model = onnx.load(str(graph.path))
    assert onnx_format.opset(model) == 17
    picture = model.graph.input[1]
    assert picture.name == "the picture"
    first, *others = picture.type.tensor_type.shape.dim
    assert first.dim_param == BATCH and [size.dim_value for size in others] == [8, 8, 3]
    with open_session(graph.path, graph.signature, Plan("onnxruntime")) as session:
        for batch in (1, 3, 7):
            assert session.run(original.samples.feeds(0, batch))["best"].shape == (batch,)


def test_an_optimiser_that_stumbles_costs_no_route(made: Made, captured: Capture) -> None:
    assert used(captured(made("shifted"), "onnx")).route == "tf2onnx, from the frozen graph"


@pytest.mark.parametrize("fixed", [False, True])
@pytest.mark.parametrize(
    ("format", "routes"),
    [
        ("graphdef", ["the model's call, frozen", "exported, then frozen"]),
        ("onnx", ["tf2onnx, from the frozen graph", "tf2onnx, from the model", "Keras's export"]),
        ("saved_model", ["Keras's export", "saved as a module"]),
    ],
)
def test_every_route_of_a_keras_model_is_right(
    made: Made, tensorflow: Worker, tmp_path: Path, format: str, routes: list[str], fixed: bool
) -> None:
    tried = tensorflow.ask(each_route, Trial(made("plain keras"), format, tmp_path / "routes", fixed)).routes
    assert tried == tuple(f"{route}: proven" for route in routes)


def test_both_ways_to_freeze_a_signature_are_right(made: Made, tensorflow: Worker, tmp_path: Path) -> None:
    tried = tensorflow.ask(each_route, Trial(made("plain"), "graphdef", tmp_path / "routes")).routes
    assert tried == ("the signature, frozen: proven", "the signature, frozen in a session: proven")


def test_a_graph_of_tensorflow_1_keeps_no_switch(made: Made, captured: Capture) -> None:
    graph = used(captured(made("old graph"), "onnx"))
    found = {node.op_type for node in onnx.load(str(graph.path)).graph.node}
    assert not found & {"If", "Dropout", "RandomUniform"}
    assert [value.name for value in onnx.load(str(graph.path)).graph.input] == ["image"]


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("branch", r"a branch or a size in the model depends on the data \(planted_layers.py:\d+: if ops.sum\(x\) > 0:\)"),
        ("reads", r"a branch or a size in the model depends on the data \(planted_layers.py:\d+: return x \* float"),
        ("loop", r"the model goes over a tensor in a Python loop, which no graph records \(planted_layers.py:\d+: return ops.stack"),
    ],
)
def test_what_only_runs_eagerly_is_refused_with_its_line(made: Made, captured: Capture, name: str, says: str) -> None:
    for format in FORMATS["keras"]:
        outcome = captured(made(name), format)
        assert outcome.graph is None
        assert re.match(says, outcome.routes[0].outcome), outcome.routes[0]
        assert any(doubt.startswith("tf.function found that") for doubt in outcome.doubts) == (name != "loop")


def test_a_choice_that_the_graph_makes_is_kept_with_both_sides(made: Made, captured: Capture) -> None:
    graph = used(captured(made("choice"), "onnx"))
    with open_session(graph.path, graph.signature, Plan("onnxruntime")) as session:
        for shade in (1, -1):
            x = np.full((2, 4), shade, np.float32)
            np.testing.assert_array_equal(session.run({"x": x})["y"], 2 * x if shade > 0 else x - 1)


def test_a_size_that_python_reads_leaves_one_sample_a_call(made: Made, captured: Capture) -> None:
    outcome = captured(made("baked"), "graphdef")
    assert "NoneType" in outcome.routes[0].outcome
    assert used(outcome).signature == made("baked").graph.signature.fixed(1)
    assert used(outcome).route == "the model's call, frozen, one sample a call"


@pytest.mark.parametrize(
    ("name", "says"),
    [("random", "differs from the original by"), ("table", "it looks values up in a table")],
)
def test_what_cannot_be_frozen_is_refused(made: Made, captured: Capture, name: str, says: str) -> None:
    outcome = captured(made(name), "graphdef")
    assert outcome.graph is None
    assert all(says in route.outcome for route in outcome.routes), outcome.routes


def test_the_graph_of_another_model_is_refused(made: Made, captured: Capture, tmp_path: Path) -> None:
    foreign = used(captured(made("double"), "graphdef"))
    outcome = captured(made("plain"), "onnx", foreign.path)
    assert outcome.graph is None
    assert "differs from the original by" in outcome.routes[0].outcome


def test_a_batch_size_that_an_exporter_baked_in_is_refused(made: Made, captured: Capture) -> None:
    outcome = captured(made("double"), "onnx", made("baked graph").graph.path)
    assert "the batch size was baked in" in outcome.routes[0].outcome or "batch became the constant 3" in outcome.routes[0].outcome
    assert used(outcome).signature.max_batch == 1


def test_a_quantised_file_becomes_onnx_that_is_as_right_as_eight_bits_can_be(captured: Capture, real: Path, tmp_path: Path) -> None:
    from roadworthy.core import samples
    from roadworthy.core.types import Signature, TensorSpec

    signature = Signature(
        (TensorSpec("input", "uint8", (1, 128, 128, 3), Quantization(0.0078125, 128)),),
        (TensorSpec("MobilenetV1/Predictions/Reshape_1", "uint8", (1, 1001), Quantization(0.00390625, 0)),),
        1,
    )
    graph = Graph("tflite", real / "models" / "imagenet_mobilenet_v1_025_128_uint8.tflite", signature, "the original", precision="int8")
    pictures = np.random.default_rng(0).integers(0, 256, (6, 128, 128, 3), np.uint8)
    onnx_graph = used(captured(Original(graph, samples.write(tmp_path / "samples", {"input": pictures})), "onnx"))
    assert onnx_graph.precision == "int8" and onnx_graph.signature == signature
    assert {node.op_type for node in onnx.load(str(onnx_graph.path)).graph.node} >= {"QuantizeLinear", "DequantizeLinear"}

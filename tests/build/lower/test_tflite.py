"""ONNX graphs written as files for LiteRT: each operator, both orders of axes, paddings, and what is refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

from roadworthy.build import lower
from roadworthy.build.lower import _tflite
from roadworthy.build.lower import litert as lowering
from roadworthy.build.lower._tflite import file
from roadworthy.build.nhwc.program import NhwcProgram
from roadworthy.core.errors import StepFailed, UsageError
from roadworthy.core.host import this_host
from roadworthy.core.stages import Graph, Plan
from roadworthy.core.types import Signature, SizeRange, TensorSpec
from roadworthy.runtimes import open_session
from support import hosts
from support.files.onnx_cases import CASES, INTO, KERNEL, Case, node, weights, whole, written


@pytest.mark.parametrize("batch", [None, 1])
@pytest.mark.parametrize("name", CASES)
def test_an_operator_answers_as_onnx_defines_it(tmp_path: Path, name: str, batch: int | None) -> None:
    case = CASES[name]
    if batch and case.batch != "batch":
        pytest.skip("it has its own number of samples")
    model, graph = written(case, tmp_path)
    plan = Plan("litert", batch=batch)
    candidate = lower.lower(lower.LowerRequest(graph, plan, None, tmp_path / "out"))
    with open_session(candidate.path, graph.signature, plan) as session:
        for samples in (1, 3, 2) if case.batch == "batch" else (3,):
            feeds = case.feeds(samples)
            (wanted,) = ReferenceEvaluator(model).run(None, feeds)
            found = session.run(feeds)["y"]
            assert found.shape == wanted.shape and found.dtype == wanted.dtype
            assert np.abs(found - wanted).max() <= 1e-5 * max(1.0, float(np.abs(wanted).max()))


REFUSED = {
    "an operator without a translation": (
        Case([node("Mod", "x n", fmod=1)], constants={"n": np.float32(2)}),
        "Mod: operators of ONNX that",
    ),
    "another domain's operator": (Case([helper.make_node("Relu", ["x"], ["y"], domain="com.example")]), "com.example.Relu"),
    "another domain's operator of a constant": (
        Case([helper.make_node("Relu", ["c"], ["d"], domain="com.example"), node("Add", "x d")], constants={"c": np.float32(2)}),
        "com.example.Relu",
    ),
    "a mean over what is not there": (
        Case([node("AveragePool", kernel_shape=[2, 2], strides=[2, 2], count_include_pad=1, ceil_mode=1)], (4, 7, 5)),
        "AveragePool: an average over windows that reach beyond",
    ),
    "a convolution over three axes": (
        Case([node("Conv", "x w")], (4, 6, 6, 6), {"w": weights(8, 4, 3, 3, 3)}),
        "Conv: a convolution over 3 axes",
    ),
    "weights that are computed": (
        Case([node("ReduceMean", "x a", "m"), node("Conv", "x m")], (1, 5, 5), {"a": whole(0)}),
        "Conv: its operand 'm' has to be a constant",
    ),
    "a mean over no axis": (Case([node("ReduceMean", noop_with_empty_axes=1)]), "ReduceMean: it reduces no axis"),
    "a part of the samples": (
        Case([node("Slice", "x from to axes")], constants={"from": whole(1), "to": whole(9), "axes": whole(0)}),
        "a part of the samples",
    ),
    "a type that LiteRT lacks": (Case([node("Cast", to=TensorProto.DOUBLE, output="d"), node("Neg", "d")]), "from float32 to float64"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_litert_lacks_is_refused_by_name(tmp_path: Path, name: str) -> None:
    case, words = REFUSED[name]
    path = tmp_path / "model.onnx"
    onnx.save(case.model(), path)
    signature = Signature((TensorSpec("x", "float32", ("batch", *case.shape)),), (TensorSpec("y", "float32", ("batch",)),))
    out = tmp_path / "out"
    with pytest.raises(StepFailed) as caught:
        lower.lower(lower.LowerRequest(Graph("onnx", path, signature, "test"), Plan("litert"), None, out))
    assert f"LiteRT's file could not be written from model.onnx: {words}" in caught.value.message or words in caught.value.message
    assert "\n" not in caught.value.message and not list(out.iterdir())


def test_an_input_whose_shape_the_file_does_not_state_has_that_of_the_signature(tmp_path: Path) -> None:
    model, graph = written(Case([node("Relu")]), tmp_path)
    model.graph.input[0].type.tensor_type.ClearField("shape")
    onnx.save(model, graph.path)
    x = weights(2, 4, 6, 5)
    candidate = lower.lower(lower.LowerRequest(graph, Plan("litert"), None, tmp_path / "out"))
    with open_session(candidate.path, graph.signature, Plan("litert")) as session:
        assert np.array_equal(session.run({"x": x})["y"], np.maximum(x, 0))


def test_names_of_the_signature_are_kept(tmp_path: Path) -> None:
    """An input that is an output as well, an output that is like an input, two outputs that are one value."""
    same = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3])
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 3]) for name in ("x_out", "second", "third")]
    nodes = [node("Identity", "x", "x_out"), node("Neg", "x", "second"), node("Identity", "second", "third")]
    path = tmp_path / "model.onnx"
    onnx.save(
        helper.make_model(helper.make_graph(nodes, "names", [same], outputs), opset_imports=[helper.make_opsetid("", 20)], ir_version=10),
        path,
    )
    specs = [TensorSpec(name, "float32", ("batch", 3)) for name in ("x", "second", "third")]
    graph = Graph("onnx", path, Signature((specs[0],), tuple(specs)), "test")
    candidate = lower.lower(lower.LowerRequest(graph, Plan("litert"), None, tmp_path / "out"))
    x = weights(2, 3)
    with open_session(candidate.path, graph.signature, Plan("litert")) as session:
        found = session.run({"x": x})
    assert list(found) == ["x", "second", "third"]
    assert np.array_equal(found["x"], x) and np.array_equal(found["second"], -x) and np.array_equal(found["third"], -x)


def test_a_convolution_does_what_follows_it_by_itself(tmp_path: Path) -> None:
    """Normalisation and ReLU in the convolution, no turning of axes behind the first: what makes the file fast."""
    from ai_edge_litert.interpreter import Interpreter

    constants = KERNEL | {
        "s": weights(8),
        "o": weights(8),
        "m": weights(8),
        "v": np.abs(weights(8)),
        "w2": weights(8, 8, 3, 3),
        "d": weights(3, 8),
    }
    nodes = [
        INTO,
        node("BatchNormalization", "c s o m v", "n"),
        node("Relu", "n", "r"),
        node("Conv", "r w2", "c2", pads=[1, 1, 1, 1]),
        node("Add", "c2 r", "a"),
        node("Relu", "a", "a2"),
        node("GlobalAveragePool", "a2", "g"),
        node("Flatten", "g", "f"),
        node("Gemm", "f d", transB=1),
    ]
    _, graph = written(Case(nodes, (4, 8, 8), constants), tmp_path)
    (tmp_path / "model.tflite").write_bytes(_tflite.translate(graph.path, graph.signature))
    operators = [operator["op_name"] for operator in Interpreter(str(tmp_path / "model.tflite"))._get_ops_details()]
    assert operators[:7] == ["TRANSPOSE", "CONV_2D", "CONV_2D", "ADD", "MEAN", "RESHAPE", "RESHAPE"]
    assert operators[7:] in (["FULLY_CONNECTED"], ["FULLY_CONNECTED", "DELEGATE"])


def test_plans_of_an_onnx_graph_are_what_the_cpu_may_gain_from_and_other_sizes_have_none(tmp_path: Path) -> None:
    _, graph = written(CASES["conv, no padding"], tmp_path)

    def offered(features: str) -> set[tuple[str, str, int | None]]:
        return {(plan.precision, plan.flavour, plan.batch) for plan in lowering.plans(graph, hosts.pretended(features, 2))}

    floats = {("fp32", "", None), ("fp32", "", 1)}
    assert offered("avx2") == floats
    assert offered("arm64") == floats | {("int8", lowering.DYNAMIC, None), ("int8", lowering.DYNAMIC, 1)}
    free = TensorSpec("x", "float32", ("batch", 4, "rows", 5))
    signature = Signature((free,), graph.signature.outputs, sizes=(SizeRange("rows", (6, 8)),))
    assert not list(lowering.plans(Graph("onnx", graph.path, signature, "test"), this_host()))
    assert not list(lowering.plans(Graph("onnx", graph.path, graph.signature, "test", precision="int8"), this_host()))
    with pytest.raises(UsageError, match="in fp32 or with int8 weights"):
        lower.lower(lower.LowerRequest(graph, Plan("litert", "int8"), None, tmp_path / "out"))


@pytest.mark.parametrize("batch", [None, 1])
def test_int8_weights_stay_close_to_the_model(tmp_path: Path, batch: int | None) -> None:
    """A convolution, one for each channel and a dense layer; the file is a quarter as large, and nothing saturates."""
    constants = {"w": weights(32, 8, 3, 3), "e": weights(128, 1, 3, 3), "m": weights(10, 128 * 16)}
    nodes = [node("Conv", "x w", "c"), node("Relu", "c", "r"), node("Concat", "r r r r", "k", axis=1), node("Conv", "k e", "d", group=128)]
    model, graph = written(Case([*nodes, node("Flatten", "d", "f"), node("Gemm", "f m", transB=1)], (8, 8, 8), constants), tmp_path)
    plan = Plan("litert", "int8", batch=batch, flavour=lowering.DYNAMIC)
    exact, narrow = _tflite.translate(graph.path, graph.signature), _tflite.translate(graph.path, graph.signature, narrow=True)
    assert len(narrow) < 0.3 * len(exact)
    candidate = lower.lower(lower.LowerRequest(graph, plan, None, tmp_path / "out"))
    x = np.random.default_rng(0).standard_normal((5, 8, 8, 8), dtype=np.float32)
    (wanted,) = ReferenceEvaluator(model).run(None, {"x": x})
    with open_session(candidate.path, graph.signature, plan) as session:
        found = session.run({"x": x})["y"]
    assert 1e-4 < np.abs(found - wanted).max() / np.abs(wanted).max() < 0.03


@pytest.mark.parametrize("before", [INTO, node("Identity", "x", "c")])
def test_a_constant_for_each_sample_is_for_a_file_of_one_sample(tmp_path: Path, before: Any) -> None:
    """As a transformer's class token is: one constant, repeated as often as there are samples; in either order of axes."""
    nodes = [before, node("Shape", "x", "n", end=1), node("Concat", "n rest", "to", axis=0), node("Expand", "k to", "e")]
    channels = 8 if before is INTO else 4
    constants = KERNEL | {"rest": whole(channels, 6, 5), "k": weights(channels, 6, 5)}
    model, graph = written(Case([*nodes, node("Concat", "e c", axis=1)], constants=constants), tmp_path)
    with pytest.raises(StepFailed, match="the constant 'e' depends on the number of samples"):
        lower.lower(lower.LowerRequest(graph, Plan("litert"), None, tmp_path / "any"))
    plan = Plan("litert", batch=1)
    candidate = lower.lower(lower.LowerRequest(graph, plan, None, tmp_path / "one"))
    x = weights(3, 4, 6, 5)
    with open_session(candidate.path, graph.signature, plan) as session:
        assert np.allclose(session.run({"x": x})["y"], ReferenceEvaluator(model).run(None, {"x": x})[0], atol=1e-4)


def test_int8_without_weights_to_round_is_refused(tmp_path: Path) -> None:
    _, graph = written(CASES["conv, no padding"], tmp_path)
    with pytest.raises(StepFailed, match="int8 found no weights of 1024 numbers or more to round"):
        lower.lower(lower.LowerRequest(graph, Plan("litert", "int8", flavour=lowering.DYNAMIC), None, tmp_path / "out"))


def test_litert_ignores_the_activation_of_joined_channels(tmp_path: Path) -> None:
    """The option is in the file's schema, and no number is kept above 0: a ReLU behind Concat has an operator of its own."""
    program = NhwcProgram()
    x, y = program.tensor((1, 2), "float32"), program.tensor((1, 4), "float32")
    program.operator("CONCATENATION", (x, x), (y,), axis=1)
    program.operators[0].clamp = "RELU"
    program.inputs["x"], program.outputs["y"] = x, y
    (tmp_path / "model.tflite").write_bytes(file.content(program, {}))
    signature = Signature((TensorSpec("x", "float32", (1, 2)),), (TensorSpec("y", "float32", (1, 4)),))
    with open_session(tmp_path, signature, Plan("litert")) as session:
        assert session.run({"x": np.array([[-1.0, 2.0]], np.float32)})["y"].tolist() == [[-1.0, 2.0, -1.0, 2.0]]

"""ONNX files on their way to ONNX Runtime: older operator sets for int8, cleaning, recipes of int8, and layers left in float32."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper, version_converter

from roadworthy.build.lower import LowerRequest, lower
from roadworthy.build.lower._onnxruntime import answers, clean, int8, opset, sensitivity
from roadworthy.core import samples
from roadworthy.core.errors import StepFailed, UsageError
from roadworthy.core.stages import Graph, Plan
from roadworthy.core.types import BATCH, Array, Signature, TensorSpec
from roadworthy.runtimes import open_session
from support.files.onnx_files import node, written

RANDOM = np.random.default_rng(0)
IMAGE = [BATCH, 3, 8, 8]


def weights(*shape: int) -> Array:
    return RANDOM.standard_normal(shape).astype(np.float32)


CONV = {"w": weights(4, 3, 3, 3), "b": weights(4)}
LAYERS: dict[str, tuple[range, list[Any], list[Any], dict[str, Array]]] = {
    "norm": (
        range(8, 13),
        [node("BatchNormalization", "h s t m v", "y")],
        [BATCH, 4, 8, 8],
        {"s": weights(4), "t": weights(4), "m": weights(4), "v": np.abs(weights(4)) + 1},
    ),
    "softmax": (range(8, 13), [node("Softmax", "h", "y")], [BATCH, 4, 8, 8], {}),
    "squeeze": (range(8, 13), [node("GlobalAveragePool", "h", "p"), node("Squeeze", "p", "y", axes=[2, 3])], [BATCH, 4], {}),
    "unsqueeze": (range(8, 13), [node("Unsqueeze", "h", "y", axes=[0])], [1, BATCH, 4, 8, 8], {}),
    "sum": (range(8, 13), [node("ReduceSum", "h", "y", axes=[2, 3], keepdims=0)], [BATCH, 4], {}),
    "dropout": (range(8, 12), [node("Dropout", "h", "y", ratio=0.5)], [BATCH, 4, 8, 8], {}),
    "upsample": (
        range(9, 10),
        [node("Upsample", "h k", "y", mode="linear")],
        [BATCH, 4, 16, 16],
        {"k": np.array([1, 1, 2, 2], np.float32)},
    ),
    "resize": (range(10, 11), [node("Resize", "h k", "y", mode="linear")], [BATCH, 4, 16, 16], {"k": np.array([1, 1, 2, 2], np.float32)}),
}


def older(path: Path, kind: str, version: int) -> Path:
    """A convolution and a layer of ``kind`` in the operator set ``version``."""
    _, nodes, shape, more = LAYERS[kind]
    conv = node("Conv", "x w b", "h", pads=[1] * 4)
    return written(path, [conv, *nodes], [("x", 1, IMAGE)], [("y", 1, shape)], {**CONV, **more}, opset=version)


@pytest.mark.parametrize(("kind", "version"), [(kind, version) for kind, (versions, *_) in LAYERS.items() for version in versions])
def test_a_file_of_an_older_operator_set_is_converted_and_answers_as_before(tmp_path: Path, kind: str, version: int) -> None:
    path, feeds = older(tmp_path / "model.onnx", kind, version), {"x": weights(2, 3, 8, 8)}
    copy = opset.raised(path, [feeds], tmp_path)
    assert next(entry.version for entry in onnx.load(copy).opset_import) == opset.LEAST
    assert answers.other_answer(path, copy, [feeds]) is None
    assert opset.raised(copy, [feeds], tmp_path) == copy


def test_a_conversion_that_answers_otherwise_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The converter alone moves the sampling points of a Resize."""
    path = older(tmp_path / "model.onnx", "resize", 10)
    monkeypatch.setattr(opset, "_resize_as_before", lambda model: None)
    with pytest.raises(StepFailed, match=r"operator set 10, int8 needs 13, .* otherwise in 'y'; export it with opset_version=13"):
        opset.raised(path, [{"x": weights(2, 3, 8, 8)}], tmp_path)


def test_what_cannot_be_converted_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(model: Any, version: int) -> Any:
        raise RuntimeError("No Adapter for Any")

    monkeypatch.setattr(version_converter, "convert_version", fails)
    with pytest.raises(StepFailed, match=r"set 9, int8 needs 13, .*cannot convert it: .*No Adapter for Any; export it with"):
        opset.raised(older(tmp_path / "model.onnx", "sum", 9), [{"x": weights(2, 3, 8, 8)}], tmp_path)


SIGNATURE = Signature((TensorSpec("x", "float32", (BATCH, 3, 8, 8)),), (TensorSpec("y", "float32", (BATCH, 256)),))


def with_shapes(path: Path, version: int = 17) -> Path:
    """A convolution whose result is flattened by arithmetic on its shape; an Identity before, a branch for nothing beside."""
    nodes = [node("Identity", "x", "i"), node("Conv", "i w b", "h", pads=[1] * 4), node("Relu", "h", "unused"), node("Shape", "h", "s")]
    nodes += [node("Gather", "s zero", "n"), node("Unsqueeze", "n axis", "u"), node("Concat", "u rest", "to", axis=0)]
    nodes.append(node("Reshape", "h to", "y"))
    constants = {"zero": np.array(0), "axis": np.array([0]), "rest": np.array([256])}
    return written(path, nodes, [("x", 1, IMAGE)], [("y", 1, [BATCH, 256])], {**CONV, **constants}, opset=version)


def test_cleaning_leaves_the_layers_and_any_batch(tmp_path: Path) -> None:
    graph = Graph("onnx", with_shapes(tmp_path / "graph.onnx"), SIGNATURE, "by hand")
    path = lower(LowerRequest(graph, Plan("onnxruntime"), None, tmp_path / "out")).path / "model.onnx"
    assert [one.op_type for one in onnx.load(path).graph.node] == ["Conv", "Reshape"]
    assert all(answers.other_answer(graph.path, path, [{"x": weights(batch, 3, 8, 8)}]) is None for batch in (1, 2, 5))


@pytest.mark.parametrize("fault", ["raises", "answers", "renames"])
def test_what_cleaning_would_change_or_cannot_do_stays_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    import onnxslim

    def slim(model: Any) -> Any:
        if fault == "raises":
            raise RuntimeError("planted")
        if fault == "answers":
            model.graph.initializer[0].raw_data = bytes(len(model.graph.initializer[0].raw_data))
        else:
            model.graph.output[0].type.tensor_type.shape.dim[0].dim_value = 1
        return model

    monkeypatch.setattr(onnxslim, "slim", slim)
    path = with_shapes(tmp_path / "graph.onnx")
    assert clean.cleaned(path, [{"x": weights(2, 3, 8, 8)}], tmp_path) == path


def test_a_squeeze_that_matters_for_one_sample_alone_is_kept(tmp_path: Path) -> None:
    """All axes of one are squeezed, the batch with them where it is one, and a Reshape brings it back: at two samples that does nothing."""
    nodes = [
        helper.make_node("Squeeze", ["x"], ["flat"]),
        helper.make_node("Exp", ["flat"], ["raised"]),
        helper.make_node("Reshape", ["raised", "shape"], ["y"]),
    ]
    shape = numpy_helper.from_array(np.array([-1, 5]), "shape")
    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, sizes) for name, sizes in (("x", ["batch", 1, 5]), ("y", ["batch", 5]))]
    graph = helper.make_graph(nodes, "squeeze", ports[:1], ports[1:], [shape])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "squeeze.onnx")
    signature = Signature((TensorSpec("x", "float32", ("batch", 1, 5)),), (TensorSpec("y", "float32", ("batch", 5)),))
    lower(LowerRequest(Graph("onnx", tmp_path / "squeeze.onnx", signature, "test"), Plan("onnxruntime"), None, tmp_path / "out"))
    with open_session(tmp_path / "out", signature, Plan("onnxruntime")) as session:
        assert [session.run({"x": weights(count, 1, 5)})["y"].shape for count in (1, 2, 3)] == [(1, 5), (2, 5), (3, 5)]


@pytest.mark.parametrize("flavour", ["", "7bit", "signed", "7bit-percentile", "7bit-percentile-mixed"])
def test_every_recipe_makes_int8_whatever_the_last_call_holds(tmp_path: Path, flavour: str) -> None:
    """101 samples are no multiple of any size of a call."""
    path = older(tmp_path / "graph.onnx", "norm", 12)
    signature = Signature(SIGNATURE.inputs, (TensorSpec("y", "float32", (BATCH, 4, 8, 8)),))
    data = samples.write(tmp_path / "s", {"x": weights(101, 3, 8, 8)})
    (tmp_path / "out").mkdir()
    int8.quantise(path, signature, int8.Recipe.of(flavour), data, tmp_path / "out")
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["model.onnx"]
    made = onnx.load(tmp_path / "out" / "model.onnx").graph
    assert any(one.op_type == "QuantizeLinear" for one in made.node)
    assert not any(one.op_type == "BatchNormalization" for one in made.node)


def test_an_unknown_recipe_is_refused() -> None:
    with pytest.raises(UsageError, match="no int8 recipe 'best'; it has 7bit, signed, percentile, mixed"):
        int8.Recipe.of("7bit-best")


def test_the_layer_with_the_coarsest_scale_stays_in_float(tmp_path: Path) -> None:
    """In each channel of the second layer one weight is several times as large as the others, which share its scale."""
    coarse = weights(4, 4, 3, 3)
    coarse[:, 0, 0, 0] = 10
    nodes = [node("Conv", "x w b", "h", pads=[1] * 4), node("Relu", "h", "r"), node("Conv", "r w2 b", "c", pads=[1] * 4)]
    nodes += [node("Relu", "c", "d"), node("Conv", "d w3 b", "y", pads=[1] * 4)]
    constants = {"w2": coarse, "w3": weights(4, 4, 3, 3)}
    path = written(tmp_path / "graph.onnx", nodes, [("x", 1, IMAGE)], [("y", 1, [BATCH, 4, 8, 8])], {**CONV, **constants})
    feeds, draft = {"x": weights(16, 3, 8, 8)}, tmp_path / "draft.onnx"
    int8._write(path, draft, int8.Recipe.of("7bit"), int8._Reader(iter([feeds]), 1), [])
    assert sensitivity.most_sensitive(path, draft, feeds) == ["the c"]

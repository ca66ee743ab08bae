"""int8 by NNCF: what each flavour makes of a model, and which layers it quantises."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import openvino
import pytest
from onnx import TensorProto

from roadworthy.build import lower, verify
from roadworthy.build.lower import _openvino_int8
from roadworthy.build.verify import ReferenceRequest
from roadworthy.build.verify.reference import establish
from roadworthy.core import samples
from roadworthy.core.errors import StepFailed
from roadworthy.core.stages import Graph, Plan
from roadworthy.core.types import BATCH, Signature, TensorSpec
from roadworthy.runtimes import open_session
from support.files import onnx_files

SIGNATURE = Signature((TensorSpec("x", "float32", (BATCH, 8)),), (TensorSpec("y", "float32", (BATCH, 4)),))
X = np.random.default_rng(1).random((64, 8), np.float32)
FLAVOURS = ("7bit", "mixed-7bit")
"""With weights of 7 bits: these run on every CPU without products that saturate."""


def layers(path: Path, *, large: float = 1.0) -> Graph:
    """Four matrix products with a ReLU between; before the third, one value of 16 is ``large`` times as large and weighs as little."""
    random, sizes = np.random.default_rng(0), (8, 16, 16, 16, 4)
    weights = {f"w{i}": random.standard_normal(size).astype(np.float32) for i, size in enumerate(pairwise(sizes))}
    weights["w1"][:, 3] *= large
    weights["w2"][3] /= large
    nodes, value = [], "x"
    for name in weights:
        last = name == "w3"
        nodes.append(onnx_files.node("MatMul", f"{value} {name}", "y" if last else f"{name}.product"))
        if not last:
            nodes.append(onnx_files.node("Relu", f"{name}.product", f"{name}.relu"))
        value = f"{name}.relu"
    file = onnx_files.written(path, nodes, [("x", TensorProto.FLOAT, [BATCH, 8])], [("y", TensorProto.FLOAT, [BATCH, 4])], weights)
    return Graph("onnx", file, SIGNATURE, "by hand")


def lowered(graph: Graph, flavour: str, folder: Path) -> tuple[float, list[str]]:
    """The error of the int8 artefact relative to the mean output, and the products in it whose weights are int8."""
    data = samples.write(folder / "data", {"x": X})
    plan = Plan("openvino", "int8", flavour=flavour)
    candidate = lower.lower(lower.LowerRequest(graph, plan, data, folder / "out"))
    with open_session(candidate.path, SIGNATURE, plan) as session, open_session(graph.path, SIGNATURE, Plan("onnxruntime")) as original:
        found, wanted = session.run({"x": X})["y"], original.run({"x": X})["y"]
    return float(np.abs(found - wanted).mean() / np.abs(wanted).mean()), quantised(candidate.path / "model.xml")


def test_a_product_whose_weights_change_shape_in_the_graph_is_quantised_as_any_other(tmp_path: Path) -> None:
    """Weights through a Reshape, as in files that CNTK wrote: the quantiser looks for constants alone."""
    weights = {"w": np.random.default_rng(0).standard_normal((2, 2, 2, 4)).astype(np.float32), "shape": np.array([8, 4])}
    nodes = [onnx_files.node("Reshape", "w shape", "flat"), onnx_files.node("MatMul", "x flat", "y")]
    path = tmp_path / "graph.onnx"
    onnx_files.written(path, nodes, [("x", TensorProto.FLOAT, [BATCH, 8])], [("y", TensorProto.FLOAT, [BATCH, 4])], weights)
    error, products = lowered(Graph("onnx", path, SIGNATURE, "by hand"), "7bit", tmp_path)
    assert products == ["y"] and error < 0.05


def test_the_same_samples_make_the_same_files(tmp_path: Path) -> None:
    graph = layers(tmp_path / "graph.onnx")
    files = []
    for folder in (tmp_path / "one", tmp_path / "other"):
        folder.mkdir()
        lowered(graph, "7bit", folder)
        files.append((folder / "out" / "model.bin").read_bytes())
    assert files[0] == files[1]


def quantised(file: Path) -> list[str]:
    """The names of the matrix products of which both sides come through a FakeQuantize."""
    products = [node for node in openvino.Core().read_model(file).get_ops() if node.get_type_name() == "MatMul"]
    return sorted(node.get_friendly_name() for node in products if all(_through_int8(node.input_value(i).get_node()) for i in (0, 1)))


def _through_int8(node: openvino.Node) -> bool:
    """Weights are stored as int8 and multiplied by their scale."""
    return node.get_type_name() in ("FakeQuantize", "Multiply")


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_each_preset_quantises_all_layers_and_stays_close(tmp_path: Path, flavour: str) -> None:
    error, products = lowered(layers(tmp_path / "graph.onnx"), flavour, tmp_path)
    assert len(products) == 4
    assert error < 0.05


def test_int8_that_loses_a_channel_is_rejected_on_every_number_of_threads_and_passes_with_its_sensitive_layer_in_float(
    tmp_path: Path,
) -> None:
    """One channel sets the scale of all: the others are lost, on any CPU."""
    graph = layers(tmp_path / "graph.onnx", large=100)
    given = samples.write(tmp_path / "given", {"x": X})
    reference = establish(ReferenceRequest(graph, given, 1, tmp_path / "reference"))
    products = {}
    for flavour, passes in (("7bit", False), ("sensitive-7bit", True)):
        plan = Plan("openvino", "int8", flavour=flavour, lossy=True)
        candidate = lower.lower(lower.LowerRequest(graph, plan, given, tmp_path / flavour))
        products[flavour] = quantised(candidate.path / "model.xml")
        for threads in (1, 2):
            served = replace(candidate, plan=replace(plan, threads=threads))
            outcome = verify.verify(verify.VerifyRequest(served, given, reference, "error", 0.05))
            assert (outcome.verified is not None) == passes, outcome
    assert len(products["7bit"]) == 4
    assert set(products["7bit"]) - set(products["sensitive-7bit"]) == {"the w2.product"}


def test_smoothing_is_for_transformers_alone(tmp_path: Path) -> None:
    """A softmax that weighs values of a product, through other shapes too, and not one that is the answer."""
    nodes = [
        onnx_files.node("MatMul", "x k", "scores"),
        onnx_files.node("Softmax", "scores", "shares"),
        onnx_files.node("Reshape", "shares shape", "same"),
        onnx_files.node("MatMul", "same v", "y"),
    ]
    tensors = ([("x", TensorProto.FLOAT, [BATCH, 8])], [("y", TensorProto.FLOAT, [BATCH, 4])])
    weights = {"k": np.ones((8, 6), np.float32), "shape": np.array([-1, 6]), "v": np.ones((6, 4), np.float32)}
    core = openvino.Core()
    assert _openvino_int8.has_attention(core.read_model(onnx_files.written(tmp_path / "attention.onnx", nodes, *tensors, weights)))
    nodes = [onnx_files.node("MatMul", "x w", "scores"), onnx_files.node("Softmax", "scores", "y")]
    weights = {"w": np.ones((8, 4), np.float32)}
    assert not _openvino_int8.has_attention(core.read_model(onnx_files.written(tmp_path / "classifier.onnx", nodes, *tensors, weights)))


def test_where_no_layer_is_sensitive_there_is_no_such_candidate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_openvino_int8, "SMALL_ERROR", 0.2)
    with pytest.raises(
        StepFailed, match=r"int8 changes the outputs by \d+\.\d+% on the calibration samples: no layer has to stay in float"
    ):
        lowered(layers(tmp_path / "graph.onnx"), "sensitive-7bit", tmp_path)

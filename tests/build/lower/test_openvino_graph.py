"""What OpenVINO compiles from a graph: nothing is left of how a framework lays out its images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from onnx import TensorProto

from roadworthy.build import lower
from roadworthy.core.stages import Graph, Plan
from roadworthy.core.types import BATCH, Signature, TensorSpec
from roadworthy.runtimes import openvino
from support.files import onnx_files

SIGNATURE = Signature((TensorSpec("x", "float32", (BATCH, 8, 8, 3)),), (TensorSpec("y", "float32", (BATCH, 4)),))


def keras_like(path: Path) -> Graph:
    """Two convolutions over images whose channels come last, as converters write them: transposed before and after each."""
    random = np.random.default_rng(0)
    weights = {"w0": random.standard_normal((4, 3, 3, 3)).astype(np.float32), "w1": random.standard_normal((4, 4, 3, 3)).astype(np.float32)}
    nodes, value = [], "x"
    for name in weights:
        nodes += [
            onnx_files.node("Transpose", value, f"{name}.first", perm=[0, 3, 1, 2]),
            onnx_files.node("Conv", f"{name}.first {name}", f"{name}.conv", pads=[1, 1, 1, 1]),
            onnx_files.node("Relu", f"{name}.conv", f"{name}.relu"),
            onnx_files.node("Transpose", f"{name}.relu", f"{name}.last", perm=[0, 2, 3, 1]),
        ]
        value = f"{name}.last"
    nodes.append(onnx_files.node("ReduceMean", value, "y", axes=[1, 2], keepdims=0))
    tensors = ([("x", TensorProto.FLOAT, [BATCH, 8, 8, 3])], [("y", TensorProto.FLOAT, [BATCH, 4])])
    return Graph("onnx", onnx_files.written(path, nodes, *tensors, weights), SIGNATURE, "by hand")


def test_images_whose_channels_come_last_are_not_transposed_between_layers(tmp_path: Path) -> None:
    plan = Plan("openvino", batch=1)
    candidate = lower.lower(lower.LowerRequest(keras_like(tmp_path / "graph.onnx"), plan, None, tmp_path / "out"))
    session = openvino.load(candidate.path, SIGNATURE.fixed(1), plan)
    compiled = session._request.get_compiled_model().get_runtime_model().get_ops()
    kinds = [str(node.get_rt_info()["layerType"].value) for node in compiled]
    assert kinds.count("Convolution") == 2
    assert kinds.count("Transpose") == 0

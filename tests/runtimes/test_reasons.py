"""The useful line in the messages of runtimes: as the runtimes raise them for models that fail, and quoted where that is slow."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import openvino
import pytest
from onnx import TensorProto

from roadworthy.core.text import LONGEST
from roadworthy.runtimes import _reasons
from support.files.onnx_files import node, written

FLOAT = TensorProto.FLOAT
IMAGE = [("x", FLOAT, ["N", 3, 8, 8])]
VECTOR = [("x", FLOAT, ["N", 4])]
X = np.ones((2, 4), np.float32)


def by_onnxruntime(path: Path, feeds: dict[str, Any]) -> None:
    options = ort.SessionOptions()
    options.log_severity_level = 4
    # Which nodes are rewritten depends on the CPU.
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    ort.InferenceSession(path, options, providers=["CPUExecutionProvider"]).run(None, feeds)


def by_openvino(path: Path, feeds: dict[str, Any]) -> None:
    core = openvino.Core()
    request = core.compile_model(core.read_model(path), "CPU").create_infer_request()
    for name, array in feeds.items():
        request.set_tensor(name, openvino.Tensor(array))
    request.infer()


KERNEL = {"k": np.ones((4, 5, 3, 3), np.float32)}
CASES: dict[str, tuple[dict[str, Any], dict[str, Any], str, str]] = {
    "unknown": (
        {"nodes": [node("Shuffle", "x", "y")], "inputs": VECTOR}, {"x": X},
        "Shuffle 'the y': No Op registered for Shuffle", "No conversion rule found for operations: Shuffle-17",
    ),
    "attribute": (
        {"nodes": [node("Concat", "x x", "y")], "inputs": VECTOR}, {"x": X},
        "Concat 'the y': Required attribute 'axis' is missing", "Concat-17: ",
    ),
    "shapes": (
        {"nodes": [node("MatMul", "x w", "y")], "inputs": VECTOR, "weights": {"w": np.ones((8, 4), np.float32)}}, {"x": X},
        "MatMul 'the y': Incompatible dimensions", "MatMul-17: Incompatible MatMul matrix dimension",
    ),
    "channels": (
        {"nodes": [node("Conv", "x k", "y")], "inputs": IMAGE, "weights": KERNEL}, {"x": np.ones((2, 3, 8, 8), np.float32)},
        "Conv 'the y': Input channels C is not equal", "Conv-17: Data batch channel count (3) does not match",
    ),
    "a call": (
        {"nodes": [node("Reshape", "x s", "y")], "inputs": VECTOR, "weights": {"s": np.array([3, 5])}}, {"x": X},
        "Reshape 'the y': input_shape_size == requested_shape_size was false", "Reshape 'y': [cpu]reshape: the shape of input data",
    ),
    "a kernel": (
        {"nodes": [node("MatMul", "x x", "y")], "inputs": [("x", TensorProto.BFLOAT16, [4, 4])], "kind": TensorProto.BFLOAT16}, {},
        "MatMul(13) 'the y': the runtime has no kernel for it", "",
    ),
    "an operator set to come": (
        {"nodes": [node("Relu", "x", "y")], "inputs": VECTOR, "opset": 99}, {},
        "operator set 99 of ai.onnx is newer than this runtime, which ends at ", "",
    ),
    "versions": (
        {"nodes": [node("Relu", "x", "y")], "inputs": VECTOR, "ir": 99}, {},
        "Unsupported model IR version: 99, max supported", "",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", list(CASES))
def test_operator_node_and_cause_are_said_without_places_in_the_source(case: str, tmp_path: Path) -> None:
    made, feeds, first, second = CASES[case]
    kind = made.get("kind", FLOAT)
    path = written(tmp_path / "m.onnx", outputs=[("y", kind, None)], **{key: value for key, value in made.items() if key != "kind"})
    runs: list[tuple[Callable[[Path, dict[str, Any]], None], str]] = [(by_onnxruntime, first), (by_openvino, second)]
    for run, wanted in runs:
        if not wanted:
            continue
        with pytest.raises(Exception, match=r"\S") as caught:
            run(path, feeds)
        said = _reasons.reason(caught.value)
        assert said.startswith(wanted), said
        assert "\n" not in said and len(said) <= LONGEST
        assert not any(part in said for part in (".cc:", ".cpp:", ".hpp:", "with a message", "[ONNXRuntimeError]", "::"))


@pytest.mark.parametrize(
    ("message", "wanted"),
    [
        (
            "tensorflow/lite/kernels/reshape.cc:92 num_input_elements != num_output_elements (8 != 24)"
            "Node number 3 (RESHAPE) failed to prepare.",
            "RESHAPE (node 3) failed to prepare: num_input_elements != num_output_elements (8 != 24)",
        ),
        (
            "Encountered unresolved custom op: AcmeShuffle.\nSee instructions: https://example.org/ops Node number 0 (AcmeShuffle) "
            "failed to prepare.",
            "AcmeShuffle (node 0) failed to prepare: Encountered unresolved custom op: AcmeShuffle",
        ),
        (
            "<unknown>:0: error: failed while converting: 'main':\nSome ops are not supported by the native TFLite runtime\n"
            "TF Select ops: MatrixInverse, Lgamma\nDetails:\n\ttf.Lgamma(tensor<?xf32>)",
            "LiteRT has no kernel for MatrixInverse, Lgamma",
        ),
        ("ValueError of one line", "ValueError of one line"),
        ("", "RuntimeError"),
    ],
)
def test_messages_of_litert_and_its_converter(message: str, wanted: str) -> None:
    assert _reasons.reason(RuntimeError(message)) == wanted

"""ONNX files written by hand: no framework, ready in milliseconds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from roadworthy.core.types import BATCH, Array, Signature, TensorSpec

SIGNATURE = Signature((TensorSpec("x", "float32", (BATCH, 8)),), (TensorSpec("y", "float32", (BATCH, 4)),))


def linear(path: Path, *, batch: str | int = BATCH, weights: str | None = None, width: int = 4, ones: bool = False) -> Path:
    """``y = x @ w``; ``weights`` names a file for ``w`` outside the model, wherever it may be."""
    values = np.ones((8, width), np.float32) if ones else np.random.default_rng(0).standard_normal((8, width), dtype=np.float32)
    weight = numpy_helper.from_array(values, "w")
    if weights is not None:
        weight.data_location = TensorProto.EXTERNAL
        for key, value in (("location", weights), ("offset", "0"), ("length", str(len(weight.raw_data)))):
            weight.external_data.add(key=key, value=value)
        weight.ClearField("raw_data")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "linear",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [batch, width])],
        [weight],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


def weight(path: Path) -> np.ndarray:
    """The matrix in a file that ``linear`` wrote."""
    return numpy_helper.to_array(onnx.load(path).graph.initializer[0])


def passed_on(path: Path, dtype: str) -> Path:
    """``y = x - 0`` for a dtype of NumPy's, computed and not only copied."""
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    graph = helper.make_graph(
        [helper.make_node("Sub", ["x", "zero"], ["y"])],
        "passed_on",
        [helper.make_tensor_value_info("x", kind, [BATCH])],
        [helper.make_tensor_value_info("y", kind, [BATCH])],
        [numpy_helper.from_array(np.zeros(1, dtype), "zero")],
    )
    path.write_bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString())
    return path


def written(
    path: Path,
    nodes: list[Any],
    inputs: list[tuple[str, int, list[Any] | None]],
    outputs: list[Any],
    weights: dict[str, Array] | None = None,
    *,
    opset: int = 17,
    ir: int = 8,
    functions: tuple[Any, ...] = (),
    domains: tuple[str, ...] = (),
) -> Path:
    """A model of ``nodes`` at ``path``; inputs are (name, type, shape), outputs the same or of any type; a domain
    is ``name`` or ``name:version``."""
    graph = helper.make_graph(
        nodes,
        "made",
        [helper.make_tensor_value_info(*value) for value in inputs],
        [helper.make_tensor_value_info(*value) if isinstance(value, tuple) else value for value in outputs],
        [numpy_helper.from_array(array, name) for name, array in (weights or {}).items()],
    )
    opsets = [
        helper.make_opsetid("", opset),
        *(helper.make_opsetid(name, int(version or 1)) for name, _, version in (domain.partition(":") for domain in domains)),
    ]
    path.write_bytes(helper.make_model(graph, opset_imports=opsets, ir_version=ir, functions=functions).SerializeToString())
    return path


def node(op: str, inputs: str, output: str, **options: Any) -> Any:
    """``output = op(inputs)``, named after its output; names are separated by blanks."""
    return helper.make_node(op, inputs.split(), [output], **{"name": f"the {output}", **options})

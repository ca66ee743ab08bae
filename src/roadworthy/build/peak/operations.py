"""The multiplications and additions of a model, counted in its captured ONNX graph after ONNX's own shape inference."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from roadworthy.core.types import BATCH, Signature

UNCOUNTED = frozenset((
    "LSTM", "GRU", "RNN", "Einsum", "Loop", "If", "Scan", "Attention", "DeformConv", "QLinearConv", "QLinearMatMul", "ConvInteger",
    "MatMulInteger", "QGemm",
))  # fmt: skip
"""Operators that multiply matrices and whose work is not counted here."""
COUNTED = ("Conv", "ConvTranspose", "MatMul", "Gemm")

Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class CountedOperations:
    """``count`` for one call, two for each multiplication with its addition; ``uncounted`` names what it leaves out."""

    count: int
    uncounted: tuple[str, ...]


def count(file: Path, signature: Signature) -> CountedOperations:
    """The operations that the ``.onnx`` file takes for one call of the fewest samples, open axes at the sizes of the samples."""
    import onnx
    from onnx import inliner, shape_inference

    model = onnx.load(file, load_external_data=False)
    if model.functions:
        model = inliner.inline_local_functions(model)
    _fix(model, signature)
    graph = shape_inference.infer_shapes(model, data_prop=True).graph
    shapes: Shapes = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    for value in (*graph.input, *graph.value_info, *graph.output):
        shape = tuple(size.dim_value for size in value.type.tensor_type.shape.dim)
        if value.type.tensor_type.HasField("shape") and all(shape):
            shapes[value.name] = shape
    total, uncounted = 0, []
    for node in graph.node:
        work = _work(node, shapes) if node.op_type in COUNTED else 0
        total += work or 0
        if work is None or node.op_type in UNCOUNTED:
            uncounted.append(node.op_type)
    return CountedOperations(2 * total, tuple(dict.fromkeys(uncounted)))


def _fix(model: Any, signature: Signature) -> None:
    """Give every input the sizes of one call, and forget what the exporter said of the shapes behind it."""
    sizes = {BATCH: signature.call_size(1)} | {one.symbol: one.sizes[0] for one in signature.sizes}
    specs = {spec.name: spec.at(sizes) for spec in signature.inputs}
    for value in model.graph.input:
        if value.name in specs:
            for axis, size in zip(value.type.tensor_type.shape.dim, specs[value.name].shape, strict=False):
                if isinstance(size, int):
                    axis.dim_value = size
    for value in model.graph.output:
        value.type.tensor_type.ClearField("shape")
    del model.graph.value_info[:]


def _work(node: Any, shapes: Shapes) -> int | None:
    """The multiplications of one node; ``None`` where a shape is not known."""
    names = (*node.input[:2], node.output[0])
    if any(name not in shapes for name in names):
        return None
    first, second, result = (shapes[name] for name in names)
    match node.op_type:
        case "Conv":
            return math.prod(result) * math.prod(second[1:])
        case "ConvTranspose":
            return math.prod(first) * math.prod(second[1:])
        case "Gemm":
            return math.prod(result) * first[0 if _transposed(node) else 1]
    return math.prod(result) * first[-1]


def _transposed(node: Any) -> bool:
    return any(attribute.name == "transA" and attribute.i for attribute in node.attribute)

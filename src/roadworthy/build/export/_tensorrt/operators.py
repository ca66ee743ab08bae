"""Which operators of an ONNX file TensorRT's parser lacks, each by the name of its node."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
from onnx import helper, numpy_helper

from roadworthy.build.export._onnx_file import OWN


def lacking(model: Any) -> tuple[str, ...]:
    """Every node that the parser refuses, in words; empty where it takes all of them. Nodes inside nodes and functions count too."""
    functions = {(function.domain, function.name) for function in model.functions}
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    bodies = (model.graph.node, *(function.node for function in model.functions))
    return tuple(
        f"{fault} (node {node.name or ', '.join(node.output)!r})"
        for nodes in bodies
        for node in _all(nodes)
        if (node.domain, node.op_type) not in functions and (fault := _fault(node, weights))
    )


@cache
def taken() -> frozenset[str]:
    """The names of the operators that the parser takes, in some form at least."""
    text = files("roadworthy.build.export._tensorrt").joinpath("operators.txt").read_text(encoding="utf-8")
    return frozenset(word for line in text.splitlines() if not line.startswith("#") for word in line.split())


def _all(nodes: Any) -> Iterator[Any]:
    for node in nodes:
        yield node
        for attribute in node.attribute:
            for graph in (attribute.g, *attribute.graphs):
                yield from _all(graph.node)


def _fault(node: Any, weights: Mapping[str, Any]) -> str:
    if node.domain not in OWN:
        return f"{node.domain}.{node.op_type}"
    if node.op_type not in taken():
        return str(node.op_type)
    words = LIMITS[node.op_type](_Node(node, weights)) if node.op_type in LIMITS else ""
    return f"{node.op_type} with {words}" if words else ""


class _Node:
    """A node's attributes by name, and those of its inputs that are constants of the file."""

    def __init__(self, node: Any, weights: Mapping[str, Any]) -> None:
        self._attributes = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
        self._inputs = list(node.input)
        self._weights = weights
        self.outputs = [name for name in node.output if name]

    def __call__(self, name: str, default: Any) -> Any:
        value = self._attributes.get(name, default)
        return value.decode() if isinstance(value, bytes) else value

    def constant(self, index: int) -> Any | None:
        """The input ``index`` as an array, where it is a constant."""
        tensor = self._weights.get(self._inputs[index]) if index < len(self._inputs) else None
        return None if tensor is None else numpy_helper.to_array(tensor)


def _pool(node: _Node) -> str:
    if len(node.outputs) > 1:
        return "indices as an output"
    if any(size != 1 for size in node("dilations", ())):
        return "dilations"
    return "" if len(node("kernel_shape", (1, 1))) in (2, 3) else "one axis, where it pools two or three"


def _resize(node: _Node) -> str:
    if node("antialias", 0):
        return "antialias"
    if (mode := node("mode", "nearest")) not in ("nearest", "linear"):
        return f"mode {mode}"
    if (policy := node("keep_aspect_ratio_policy", "stretch")) != "stretch":
        return f"keep_aspect_ratio_policy {policy}"
    return "tf_crop_and_resize" if node("coordinate_transformation_mode", "half_pixel") == "tf_crop_and_resize" else ""


def _recurrent(node: _Node) -> str:
    return next((name for name in ("layout", "input_forget") if node(name, 0)), "")


def _zero_point(node: _Node) -> str:
    found = node.constant(2)
    return "a zero point that is not 0" if found is not None and np.any(found.astype(np.int64)) else ""


def _scatter(node: _Node) -> str:
    reduction = node("reduction", "none")
    return f"reduction {reduction}" if reduction != "none" else ""


LIMITS: Mapping[str, Callable[[_Node], str]] = {
    "MaxPool": _pool,
    "AveragePool": _pool,
    "LpPool": _pool,
    "Resize": _resize,
    "LSTM": _recurrent,
    "QuantizeLinear": _zero_point,
    "DequantizeLinear": _zero_point,
    "ScatterND": _scatter,
    "TopK": lambda node: "" if node("sorted", 1) else "sorted = 0",
    "LayerNormalization": lambda node: "more outputs than one" if len(node.outputs) > 1 else "",
}
"""What the parser refuses of operators that it has, as far as the node itself shows it."""

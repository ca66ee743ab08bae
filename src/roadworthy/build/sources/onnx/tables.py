"""The tables of an ONNX graph that its inputs choose rows of: where a ``Gather`` or a ``OneHot`` is fed an input, nearly as it came."""

from __future__ import annotations

from typing import Any

PASSING = frozenset({
    "Cast", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Identity", "Transpose", "Clip", "Expand", "Slice", "Min", "Max", "Split", "Tile",
})  # fmt: skip
"""Operators whose first input goes on as the same numbers, whatever their order and shape; a clipped number was one of the table too."""
WEIGHTS = frozenset({"Cast", "DequantizeLinear", "Identity"})
"""Operators that a table may come through."""


def rows(graph: Any) -> dict[str, int]:
    """How many rows the smallest table has that each input of the GraphProto ``graph`` chooses from, by the input's name."""
    shapes = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    numbers = {tensor.name: tensor for tensor in graph.initializer}
    origin = {value.name: value.name for value in graph.input if value.name not in shapes}
    found: dict[str, int] = {}
    for node in graph.node:
        if node.op_type == "Constant" and len(node.attribute) == 1 and node.attribute[0].HasField("t"):
            shapes[node.output[0]] = tuple(node.attribute[0].t.dims)
            numbers[node.output[0]] = node.attribute[0].t
        elif node.op_type in WEIGHTS and node.input[0] in shapes:
            shapes[node.output[0]] = shapes[node.input[0]]
        elif node.op_type in PASSING and node.input and node.input[0] in origin:
            origin |= dict.fromkeys(node.output, origin[node.input[0]])
        elif (count := _count(node, shapes, numbers)) and (name := origin.get(node.input[_identifiers(node)])) is not None:
            found[name] = min(count, found.get(name, count))
    return found


def _identifiers(node: Any) -> int:
    return 1 if node.op_type == "Gather" else 0


def _count(node: Any, shapes: dict[str, tuple[int, ...]], numbers: dict[str, Any]) -> int:
    """The rows that the node chooses from; 0 where it is another node, or the file does not say."""
    if node.op_type == "Gather" and (shape := shapes.get(node.input[0])):
        axis = next((attribute.i for attribute in node.attribute if attribute.name == "axis"), 0)
        return shape[axis] if -len(shape) <= axis < len(shape) else 0
    if node.op_type == "OneHot" and node.input[1] in numbers:
        return _number(numbers[node.input[1]])
    return 0


def _number(tensor: Any) -> int:
    from onnx import numpy_helper

    values = numpy_helper.to_array(tensor).reshape(-1)
    return int(values[0]) if len(values) == 1 else 0

"""The operators between uint8 pixels and a model's first layer: layout, cast and normalisation, which stay in float32 in an int8 graph."""

from __future__ import annotations

from pathlib import Path

ELEMENTWISE = ("Cast", "Transpose", "Gather", "Mul", "Div", "Sub", "Add")


def first_nodes(path: Path) -> list[str]:
    """The names of these nodes in the graph at ``path``; empty where no input is uint8.

    Each of them quantised would round the pixels once more, and take longer: what they give is quantised where the first layer reads it.
    """
    import onnx

    graph = onnx.load(path, load_external_data=False).graph
    constants = {tensor.name for tensor in graph.initializer}
    pixels = {value.name for value in graph.input if value.type.tensor_type.elem_type == onnx.TensorProto.UINT8} - constants
    found = []
    for node in graph.node:
        if node.op_type in ELEMENTWISE and pixels & {*node.input} and {*node.input} <= pixels | constants:
            found.append(node.name)
            pixels.update(node.output)
    # The quantiser leaves nodes out by their names.
    return [name for name in found if name]

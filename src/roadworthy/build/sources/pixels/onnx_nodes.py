"""The first nodes of an ONNX graph that scale pixels."""

from __future__ import annotations

import struct
from typing import Any

from roadworthy.build.sources.pixels.graph_nodes import TensorNode, first_layers
from roadworthy.core.stages import InnerLayer
from roadworthy.core.types import Signature

SIGNS = {"Add": "+", "Sub": "-", "Mul": "*", "Div": "/", "Cast": "=", "Identity": "=", "Transpose": "="}
FLOAT = 1
CHANNELS = (1, 3)


def read(graph: Any, signature: Signature) -> tuple[InnerLayer, ...]:
    """What ``graph`` (a GraphProto of our description) does to its only input, where that is a picture."""
    if len(signature.inputs) != 1 or len(signature.inputs[0].shape) != 4:
        return ()
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant" and node.output and (value := next((one for one in node.attribute if one.name == "value"), None)):
            tensors[node.output[0]] = value.t
    nodes = (TensorNode(node.name, SIGNS.get(node.op_type, ""), tuple(node.input), tuple(node.output)) for node in graph.node)
    return first_layers(signature.inputs[0].name, nodes, lambda name: _values(tensors.get(name)), grey=1 in signature.inputs[0].shape[1:])


def _values(tensor: Any) -> tuple[float, ...]:
    """One number, or one for each channel, of a float32 tensor; empty for all others, and for values that lie in another file."""
    if tensor is None or tensor.data_type != FLOAT:
        return ()
    count = len(tensor.raw_data) / 4 if tensor.raw_data else len(tensor.float_data)
    if count not in CHANNELS or any(size not in CHANNELS for size in tensor.dims):
        return ()
    return struct.unpack(f"<{int(count)}f", tensor.raw_data) if tensor.raw_data else tuple(tensor.float_data)

"""An ONNX file read for translation: constants computed, and the size of every axis known, or known to depend on the batch.

The file is read at two numbers of samples. Whatever is computed from constants and shapes alone is computed; a size that differs between
the two depends on the batch, and is None.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, inliner, numpy_helper, shape_inference
from onnx.reference import ReferenceEvaluator

from roadworthy.core.errors import StepFailed
from roadworthy.core.types import Array, Signature

TRIED = (2, 3)
"""Two numbers of samples, neither of which an exporter takes for a size to be broadcast."""
OWN_DOMAINS = ("", "ai.onnx")
RANDOM = ("RandomNormal", "RandomUniform")
ROUNDING = ("QuantizeLinear", "DequantizeLinear")
ROUNDING_SET = 19
"""The first operator set of which ONNX's evaluator has these; what they do to whole numbers of 8 and 32 bits is the same since set 10."""
LARGEST = 2**31 - 2**24
"""Bytes of weights: the offsets of a ``.tflite`` file, and of code in an executable, have 31 bits."""

Sizes = tuple[int | None, ...]


@dataclass(frozen=True)
class Node:
    """One operator. An input that was left out has the empty name."""

    op: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.op} {self.name!r}" if self.name else self.op

    def input(self, number: int) -> str:
        """The name of that input, empty where there is none."""
        return self.inputs[number] if number < len(self.inputs) else ""


@dataclass(frozen=True)
class OnnxGraph:
    """The operators that are left to run, in order.

    ``outputs`` are the file's own names. ``varying`` are constants that depend on the number of samples, at the second number tried.
    ``computed`` are the operators whose outputs are constants, by the names of these.
    """

    nodes: tuple[Node, ...]
    outputs: tuple[str, ...]
    constants: dict[str, Array]
    varying: dict[str, Array]
    shapes: dict[str, Sizes]
    dtypes: dict[str, str]
    computed: dict[str, Node]

    def refuse_unknown(self) -> None:
        """Raise StepFailed for a tensor whose shape could not be inferred."""
        if unknown := next((name for node in self.nodes for name in node.outputs if name and name not in self.shapes), ""):
            raise StepFailed(f"the shape of {unknown!r} depends on values")

    def sizes(self, name: str) -> Sizes:
        """The whole numbers of the constant ``name``, None for those that depend on the batch; StepFailed where it is no constant."""
        if name not in self.constants:
            raise StepFailed(f"{name!r} is computed from the input's values, where a constant is needed")
        varying = self.varying.get(name)
        numbers = [int(number) for number in self.constants[name].reshape(-1)]
        if varying is None:
            return tuple(numbers)
        others = [int(number) for number in varying.reshape(-1)]
        return tuple(number if number == other else None for number, other in zip(numbers, others, strict=True))


def read(path: Path, signature: Signature) -> OnnxGraph:
    """The graph of the file at ``path``. Raises StepFailed where other axes than the batch are free, or the file is too large."""
    if free := sorted({size for spec in signature.inputs for size in spec.open_sizes}):
        raise StepFailed(f"the sizes of {', '.join(free)} are free, and what is made of the graph would be for one of them")
    model = onnx.load(path)
    if sum(len(tensor.raw_data) for tensor in model.graph.initializer) > LARGEST:
        raise StepFailed("the weights are above 2 GB, which is more than one file can hold here")
    if model.functions:
        model = inliner.inline_local_functions(model)
    first, *others = (_at(model, signature.fixed(count)) for count in (TRIED if signature.dynamic else TRIED[:1]))
    for other in others:
        varying = {
            name: other.constants[name] for name, array in first.constants.items() if not np.array_equal(array, other.constants[name])
        }
        shapes = {name: _common(shape, other.shapes[name]) for name, shape in first.shapes.items() if name in other.shapes}
        first = OnnxGraph(first.nodes, first.outputs, first.constants, varying, shapes, first.dtypes, first.computed)
    return first


def _common(shape: Sizes, other: Sizes) -> Sizes:
    if len(shape) != len(other):
        raise StepFailed("the number of axes of a tensor depends on the number of samples")
    return tuple(size if size == again else None for size, again in zip(shape, other, strict=True))


def _at(model: Any, signature: Signature) -> OnnxGraph:
    """The graph with the sizes of ``signature`` at its inputs: shapes are inferred and constants computed until nothing is new."""
    model = onnx.ModelProto.FromString(model.SerializeToString())
    graph, specs = model.graph, {spec.name: spec for spec in signature.inputs}
    # In older files every weight is an input as well, with its value for a default.
    initial = {tensor.name for tensor in graph.initializer}
    for port in list(graph.input):
        if port.name in initial:
            graph.input.remove(port)
            continue
        sizes = [int(size) for size in specs[port.name].shape]
        port.CopyFrom(helper.make_tensor_value_info(port.name, port.type.tensor_type.elem_type, sizes))
    for port in graph.output:
        port.type.tensor_type.ClearField("shape")
    del graph.value_info[:]
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    done: dict[str, Node] = {}
    while True:
        shapes, dtypes = _inferred(model)
        found = {node.output[0]: _computed(node, constants, shapes, model.opset_import) for node in graph.node}
        computed = {name: array for name, array in found.items() if array is not None}
        if not computed:
            break
        constants |= computed
        done |= {node.output[0]: _node(node) for node in graph.node if node.output[0] in computed}
        graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in computed.items())
        left = [node for node in graph.node if node.output[0] not in computed]
        del graph.node[:]
        graph.node.extend(left)
    return OnnxGraph(
        tuple(_node(node) for node in graph.node),
        tuple(port.name for port in graph.output),
        constants,
        {},
        shapes | {name: array.shape for name, array in constants.items()},
        dtypes | {name: array.dtype.name for name, array in constants.items()},
        done,
    )


def _inferred(model: Any) -> tuple[dict[str, Sizes], dict[str, str]]:
    """The shape and the dtype of every tensor whose shape is known."""
    graph = shape_inference.infer_shapes(model, data_prop=True).graph
    shapes, dtypes = {}, {}
    for value in (*graph.input, *graph.value_info, *graph.output):
        tensor = value.type.tensor_type
        if tensor.HasField("shape") and all(axis.HasField("dim_value") for axis in tensor.shape.dim):
            shapes[value.name] = tuple(axis.dim_value for axis in tensor.shape.dim)
            dtypes[value.name] = helper.tensor_dtype_to_np_dtype(tensor.elem_type).name
    return shapes, dtypes


def _computed(node: Any, constants: dict[str, Array], shapes: dict[str, Sizes], opsets: Any) -> Array | None:
    """The output of an operator that depends on constants and shapes alone; None for any other."""
    if len(node.output) != 1 or node.op_type in RANDOM or any(one.type == one.GRAPH for one in node.attribute):
        return None
    if node.domain not in OWN_DOMAINS:
        return None  # the evaluator does not know it
    if node.op_type == "Shape" and node.input[0] in shapes:
        start, end = (next((one.i for one in node.attribute if one.name == name), None) for name in ("start", "end"))
        return np.array(shapes[node.input[0]][start:end], np.int64)
    if not all(name in constants for name in node.input if name):
        return None
    given = {name: constants[name] for name in node.input if name}
    ports = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape) for name, array in given.items()
    ]
    if node.op_type in ROUNDING:
        opsets = [helper.make_opsetid("", max(ROUNDING_SET, *(one.version for one in opsets if one.domain in OWN_DOMAINS)))]
    alone = helper.make_graph([node], "constant", ports, [onnx.ValueInfoProto(name=node.output[0])])
    return np.asarray(ReferenceEvaluator(helper.make_model(alone, opset_imports=opsets)).run(None, given)[0])


def _node(node: Any) -> Node:
    attributes = {one.name: helper.get_attribute_value(one) for one in node.attribute}
    words = {name: value.decode() if isinstance(value, bytes) else value for name, value in attributes.items()}
    op = node.op_type if node.domain in OWN_DOMAINS else f"{node.domain}.{node.op_type}"
    return Node(op, node.name, tuple(node.input), tuple(node.output), words)

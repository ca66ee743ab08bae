"""ONNX operators in front of an ONNX graph."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from roadworthy.build.capture.exporter_errors import Refused
from roadworthy.build.capture.front import Folding
from roadworthy.build.capture.front.operations import Operation, operations
from roadworthy.build.capture.onnx_file import check_file, opset
from roadworthy.build.capture.route import Written
from roadworthy.preprocess.front import NAME

PREFIX = "pixels_in"
"""What the names of the new tensors begin with."""
OPERATORS = {"multiply": "Mul", "divide": "Div", "subtract": "Sub", "add": "Add"}
OLDEST_ROUND = 11

Constant = Callable[[Any], str]


def write(folding: Folding, out: Path) -> Written:
    """The file with the operators in front, its weights beside it where they were; raises Refused for an operator set that is too old."""
    shutil.copytree(folding.model.parent, out, ignore=shutil.ignore_patterns(NAME), dirs_exist_ok=True)
    path = out / folding.model.name
    model = onnx.load(str(path), load_external_data=False)
    graph, version = model.graph, opset(model)
    (spec,) = folding.subject.signature.inputs
    todo = operations(folding.front)
    if version < OLDEST_ROUND and any(one.name == "whole" for one in todo):
        raise Refused(f"opset {version} has no operator that rounds")
    channels = spec.shape[-1]
    if not isinstance(channels, int):
        raise Refused(f"the number of channels of {spec} is open")
    prefix = next(name for number in range(99) if not any(_starts(graph, name := f"{PREFIX}{number or ''}/")))

    def constant(value: Any) -> str:
        name = f"{prefix}constant_{len(graph.initializer)}"
        graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    nodes: list[Any] = []
    before = spec.name
    for operation in todo:
        for kind, operands, settings in _nodes(operation, channels, constant):
            after = f"{prefix}{len(nodes)}"
            nodes.append(helper.make_node(kind, [before, *operands], [after], name=f"{after}/{kind}", **settings))
            before = after
    _rename(graph, spec.name, before)
    for node in reversed(nodes):
        graph.node.insert(0, node)
    dtype = helper.np_dtype_to_tensor_dtype(np.dtype(np.uint8))
    value = next(one for one in graph.input if one.name == spec.name)
    value.type.CopyFrom(helper.make_tensor_type_proto(dtype, spec.shape))
    onnx.save(model, str(path))
    return Written(path, folding.subject.signature, check_file(path, folding.subject.signature, version))


def _nodes(operation: Operation, channels: int, constant: Constant) -> Iterator[tuple[str, list[str], dict[str, Any]]]:
    if operation.name == "transpose":
        yield "Transpose", [], {"perm": [0, 3, 1, 2]}
    elif operation.name == "reverse":
        yield "Gather", [constant(np.arange(channels, dtype=np.int64)[::-1])], {"axis": operation.axis}
    elif operation.name == "cast":
        yield "Cast", [], {"to": helper.np_dtype_to_tensor_dtype(np.dtype(operation.dtype))}
    elif operation.name == "whole":
        yield "Round", [], {}
        yield "Max", [constant(np.float32(-128))], {}
        yield "Min", [constant(np.float32(127))], {}
    else:
        yield OPERATORS[operation.name], [constant(operation.value)], {}


def _starts(graph: Any, name: str) -> Iterator[str]:
    """The names in ``graph`` that begin with ``name``."""
    for node in graph.node:
        yield from (one for one in (*node.input, *node.output) if one.startswith(name))


def _rename(graph: Any, old: str, new: str) -> None:
    """Let the nodes of ``graph``, and of the graphs inside them, read ``new`` in place of ``old``."""
    for node in graph.node:
        node.input[:] = [new if name == old else name for name in node.input]
        for attribute in node.attribute:
            for inner in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])):
                _rename(inner, old, new)

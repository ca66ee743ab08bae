"""An ONNX file without bfloat16: ONNX Runtime has no kernels for it on a CPU, so what is bfloat16 in the file becomes float32."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

NOTE = "what the original computes in bfloat16 is computed in float32 here, for which ONNX Runtime has kernels"


def widen(path: Path) -> tuple[str, ...]:
    """Rewrite the file at ``path`` where it holds bfloat16; returns a note where it did."""
    model = onnx.load(str(path), load_external_data=False)
    changed = [_widened(graph, str(path.parent)) for graph in _graphs(model)]
    if not any(changed):
        return ()
    onnx.save(model, str(path))
    return (NOTE,)


def _graphs(model: Any) -> Iterator[Any]:
    waiting = [model.graph, *model.functions]
    while waiting:
        graph = waiting.pop()
        yield graph
        waiting += [
            inner for node in graph.node for attribute in node.attribute for inner in (attribute.g, *attribute.graphs) if inner.node
        ]


def _widened(graph: Any, folder: str) -> bool:
    """Whether there was bfloat16 in the graph or function; large tensors lie in ``folder``."""
    found = False
    for tensor in (*getattr(graph, "initializer", ()), *(attribute.t for node in graph.node for attribute in node.attribute)):
        if tensor.data_type == TensorProto.BFLOAT16:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor, folder).astype(np.float32), tensor.name))
            found = True
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.name in ("to", "dtype") and attribute.i == TensorProto.BFLOAT16:
                attribute.i = TensorProto.FLOAT
                found = True
    for value in (*getattr(graph, "value_info", ()), *(graph.output if isinstance(graph, onnx.GraphProto) else ())):
        if value.type.tensor_type.elem_type == TensorProto.BFLOAT16:
            value.type.tensor_type.elem_type = TensorProto.FLOAT
            found = True
    return found

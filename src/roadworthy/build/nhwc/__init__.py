"""An ONNX graph as operators of TensorFlow's family, channels last: what files for LiteRT and TensorFlow.js are written from.

No framework is imported. The operators and their options have the names of LiteRT's schema.
"""

from __future__ import annotations

from pathlib import Path

from roadworthy.build.nhwc import layers, pointwise, shapes
from roadworthy.build.nhwc.program import NhwcProgram
from roadworthy.build.nhwc.translation import Handler, OnnxTranslation
from roadworthy.build.onnx_graph import read
from roadworthy.core.errors import StepFailed
from roadworthy.core.types import Signature, output_names

HANDLERS: dict[str, Handler] = {**layers.HANDLERS, **pointwise.HANDLERS, **shapes.HANDLERS}
"""What can be translated, by the operator's name in ONNX."""


def translate(path: Path, signature: Signature) -> NhwcProgram:
    """The program of the ONNX graph at ``path``; its inputs and outputs keep the names, layouts and dtypes of ``signature``.

    The number of samples in a call is free where it is free in ``signature``. Raises StepFailed, which names the operators and nodes,
    where it has no translation.
    """
    graph = read(path, signature)
    lacking = {node.op: str(node) for node in reversed(graph.nodes) if node.op not in HANDLERS}
    if lacking:
        raise StepFailed(f"{', '.join(sorted(lacking.values()))}: operators of ONNX that have no translation")
    graph.refuse_unknown()
    translation = OnnxTranslation(graph)
    for spec in signature.inputs:
        translation.add_input(spec.name)
    for node in graph.nodes:
        translation.program.origin = str(node)
        HANDLERS[node.op](translation, node)
    names = output_names(signature, graph.outputs)
    return translation.finished({name: spec.name for name, spec in zip(names, signature.outputs, strict=True)})

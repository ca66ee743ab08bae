"""An ONNX graph written as a ``.tflite`` file, without TensorFlow: operators that LiteRT has, channels last, weights as they are."""

from __future__ import annotations

from pathlib import Path

from roadworthy.build.lower._tflite import layers, pointwise, shapes, weights
from roadworthy.build.lower._tflite.onnx_graph import read
from roadworthy.build.lower._tflite.translation import Handler, OnnxTranslation
from roadworthy.core.errors import StepFailed
from roadworthy.core.types import Signature, output_names

HANDLERS: dict[str, Handler] = {**layers.HANDLERS, **pointwise.HANDLERS, **shapes.HANDLERS}
"""What can be translated, by the operator's name in ONNX."""


def translate(path: Path, signature: Signature, *, narrow: bool = False) -> bytes:
    """The file's content for the ONNX graph at ``path``; its inputs and outputs keep the names, layouts and dtypes of ``signature``.

    The number of samples in a call is free where it is free in ``signature``. ``narrow`` rounds weights to int8. Raises StepFailed,
    which names the operators, where LiteRT has none of that function, or where there is nothing to round.
    """
    graph = read(path, signature)
    if lacking := sorted({node.op for node in graph.nodes if node.op not in HANDLERS}):
        raise StepFailed(f"{', '.join(lacking)}: operators of ONNX that are not translated for LiteRT")
    graph.refuse_unknown()
    translation = OnnxTranslation(graph)
    for spec in signature.inputs:
        translation.add_input(spec.name)
    for node in graph.nodes:
        HANDLERS[node.op](translation, node)
    if narrow and not weights.narrow(translation.file):
        raise StepFailed(f"int8 found no weights of {weights.SMALLEST} numbers or more to round")
    names = output_names(signature, graph.outputs)
    return translation.finished({name: spec.name for name, spec in zip(names, signature.outputs, strict=True)})

"""An ONNX graph written as a TensorFlow.js graph model, without TensorFlow and its converter: ``model.json`` and files of weights."""

from __future__ import annotations

from pathlib import Path

from roadworthy.build import nhwc
from roadworthy.build.export._browser.tfjs.graph_model import MODEL
from roadworthy.build.export._browser.tfjs.operators import TfjsTranslation
from roadworthy.core.types import Signature

__all__ = ["MODEL", "write"]


def write(path: Path, signature: Signature, out: Path) -> None:
    """Write the graph model of the ONNX graph at ``path`` into ``out``; names, layouts and the order of axes are those of ``signature``.

    Whole numbers are int32 in it, whatever their width in ``signature``. The number of samples in a call is free where it is free there.
    Raises StepFailed, which names operators and nodes, where TensorFlow.js has none of that function.
    """
    program = nhwc.translate(path, signature)
    translation = TfjsTranslation(program)
    for operator in program.operators:
        translation.carry_out(operator)
    inputs = {name: (translation.value(number), program.tensors[number]) for name, number in program.inputs.items()}
    outputs = {name: (translation.value(number), program.tensors[number]) for name, number in program.outputs.items()}
    translation.model.write(out, inputs, outputs)

"""An ONNX graph written as a ``.tflite`` file, without TensorFlow: operators that LiteRT has, channels last, weights as they are."""

from __future__ import annotations

from pathlib import Path

from roadworthy.build import nhwc
from roadworthy.build.lower._tflite import file, weights
from roadworthy.core.errors import StepFailed
from roadworthy.core.types import Signature


def translate(path: Path, signature: Signature, *, narrow: bool = False) -> bytes:
    """The file's content for the ONNX graph at ``path``; its inputs and outputs keep the names, layouts and dtypes of ``signature``.

    The number of samples in a call is free where it is free in ``signature``. ``narrow`` rounds weights to int8. Raises StepFailed,
    which names the operators, where LiteRT has none of that function, or where there is nothing to round.
    """
    program = nhwc.translate(path, signature)
    rounded = weights.narrowed(program) if narrow else {}
    if narrow and not rounded:
        raise StepFailed(f"int8 found no weights of {weights.SMALLEST} numbers or more to round")
    return file.content(program, rounded)

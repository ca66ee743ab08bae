"""An ONNX graph without what it computes for nothing: shape arithmetic, constants, unused branches, what cancels out (onnxslim)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from roadworthy.build.lower._onnxruntime import answers
from roadworthy.core.types import Arrays, Signature

LARGEST = 2**30
"""Bytes of weights: a larger model does not fit into one message of protobuf while it is rewritten."""


def for_batches(path: Path, signature: Signature, calls: Sequence[Arrays], out: Path) -> Path:
    """``cleaned``, unless an axis beside the batch is open: ``calls`` of one size of it would not show what is lost at others."""
    return path if signature.sizes else cleaned(path, calls, out)


def cleaned(path: Path, calls: Sequence[Arrays], out: Path) -> Path:
    """``path`` cleaned, as a file in the existing directory ``out``; ``path`` itself where that fails or changes anything.

    Such changes are: ONNX's checker complains of what it did not complain of, another input or output, another answer in one of ``calls``.
    """
    import onnx
    import onnxslim

    model = onnx.load(path)
    if weights_bytes(model) >= LARGEST:
        return path
    interface = _interface(model)
    target = out / "cleaned.onnx"
    try:
        onnx.save(onnxslim.slim(model), target)
        onnx.checker.check_model(str(target))
        if _interface(onnx.load(target, load_external_data=False)) == interface and not answers.other_answer(path, target, calls):
            return target
    except Exception:
        # The graph as it came is as right as before; what the tool cannot rewrite is no fault of the model.
        return path
    return path


def weights_bytes(model: Any) -> int:
    """Bytes of the model's weights, which protobuf itself cannot say of a model beyond 2 GiB."""
    return sum(len(tensor.raw_data) for tensor in model.graph.initializer)


def _interface(model: Any) -> tuple[bytes, ...]:
    """Names, dtypes and sizes of the inputs and outputs."""
    return tuple(value.SerializeToString() for value in (*model.graph.input, *model.graph.output))

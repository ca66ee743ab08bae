"""An ONNX model as the file of an export: saved, and what it says of itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

LARGEST = 2**30
"""Bytes of weights above which they lie in a file beside the model: one file of protobuf may have 2 GiB."""
OWN = ("", "ai.onnx")
"""The names of ONNX's own operator set."""


def save(model: Any, to: Path) -> None:
    """Write ``model`` to ``to``; large weights go into a file beside it."""
    import onnx

    large = sum(len(tensor.raw_data) for tensor in model.graph.initializer) >= LARGEST
    onnx.save(model, to, save_as_external_data=large, location=f"{to.name}.data" if large else None)


def opset(model: Any) -> int:
    """The version of ONNX's own operator set that ``model`` states."""
    return next((int(entry.version) for entry in model.opset_import if entry.domain in OWN), 1)


def opset_of(path: Path) -> int:
    """The operator set that the file at ``path`` states."""
    import onnx

    return opset(onnx.load(path, load_external_data=False))

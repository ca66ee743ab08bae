"""An ONNX file of an older operator set, converted to the first one in which int8 has a scale for each output channel."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from roadworthy.build.lower._onnxruntime import answers
from roadworthy.core.errors import StepFailed
from roadworthy.core.types import Arrays
from roadworthy.runtimes._reasons import reason

LEAST = 13
"""DequantizeLinear has the attribute ``axis`` from here on."""


def raised(path: Path, calls: Sequence[Arrays], out: Path) -> Path:
    """``path`` where its operator set is new enough, else a converted copy in the existing directory ``out``.

    ``calls`` are feeds that the original and the copy both answer. Raises StepFailed where the file cannot be converted, and where
    the copy answers otherwise.
    """
    import onnx
    from onnx import version_converter

    model = onnx.load(path)
    version = next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), LEAST)
    if version >= LEAST:
        return path
    way_out = f"export it with opset_version={LEAST} or above"
    try:
        converted = version_converter.convert_version(model, LEAST)
        if version <= 10:
            _resize_as_before(converted)
        copy = out / f"opset{LEAST}.onnx"
        onnx.save(converted, copy)
        other = answers.other_answer(path, copy, calls)
    except Exception as problem:
        raise StepFailed(
            f"{path.name} is of ONNX's operator set {version}, int8 needs {LEAST}, and ONNX's converter cannot convert it: "
            f"{reason(problem)}; {way_out}",
            detail=str(problem),
        ) from problem
    if other is not None:
        raise StepFailed(
            f"{path.name} is of ONNX's operator set {version}, int8 needs {LEAST}, and what ONNX's converter makes of it answers "
            f"otherwise in {other!r}; {way_out}"
        )
    return copy


def _resize_as_before(model: Any) -> None:
    """Up to set 10 a Resize, or Upsample, measured from a pixel's corner; the converter leaves the later default, the centre."""
    import onnx

    for node in model.graph.node:
        if node.op_type == "Resize":
            node.attribute.append(onnx.helper.make_attribute("coordinate_transformation_mode", "asymmetric"))
            node.attribute.append(onnx.helper.make_attribute("nearest_mode", "floor"))

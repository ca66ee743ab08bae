"""The ONNX file of the export: of an operator set that TensorRT takes, read back after writing, in float32 or float16."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from roadworthy.build.export import _onnx_file
from roadworthy.build.export._tensorrt import operators
from roadworthy.core.errors import StepFailed
from roadworthy.core.text import first_line

LEAST, MOST = 9, 20
"""The operator sets that every TensorRT from 10.0 on takes."""
FORMAT = 10
"""The version of the file's own form that the parser of 10.0 reads."""


def write(path: Path, out: Path, *, half: bool) -> int:
    """Write ``path`` as ``out`` and return its operator set, which was read back. ``half``: what is inside is float16.

    Raises StepFailed where TensorRT lacks an operator of it, and where it cannot be converted.
    """
    import onnx

    model = onnx.load(path)
    _refuse_operators(model)
    version = _onnx_file.opset(model)
    wanted = min(max(version, LEAST), MOST)
    if version != wanted:
        model = _converted(model, wanted, path.name)
        _refuse_operators(model)
    if half:
        model = _halved(model, path.name)
    model.ir_version = min(model.ir_version, FORMAT)
    _onnx_file.save(model, out)
    # An exporter that was asked for a version may write another one and report success.
    if (written := _onnx_file.opset_of(out)) != wanted:
        raise StepFailed(f"{path.name} was to have ONNX's operator set {wanted} for TensorRT, and {written} was written")
    return wanted


def _refuse_operators(model: Any) -> None:
    if lacking := operators.lacking(model):
        raise StepFailed(
            f"TensorRT's ONNX parser lacks {', '.join(lacking)}: replace it in the model, or choose another target than tensorrt",
            detail="\n".join(lacking),
        )


def _converted(model: Any, wanted: int, name: str) -> Any:
    from onnx import version_converter

    try:
        return version_converter.convert_version(model, wanted)
    except Exception as problem:
        raise StepFailed(
            f"{name} is of ONNX's operator set {_onnx_file.opset(model)}, TensorRT takes {LEAST} to {MOST}, and ONNX's converter cannot "
            f"convert it: {first_line(problem)}; export the model with opset_version={wanted}",
            detail=str(problem),
        ) from problem


def _halved(model: Any, name: str) -> Any:
    """Weights and operators in float16, inputs and outputs as they were.

    TensorRT 11 has no flag for float16 any more: it obeys the types in the file, and so does 10 with strong typing.
    """
    from onnxruntime.transformers.float16 import convert_float_to_float16

    try:
        return convert_float_to_float16(model, keep_io_types=True)
    except Exception as problem:
        raise StepFailed(f"{name} cannot be converted to float16: {first_line(problem)}", detail=str(problem)) from problem

"""The original as ONNX, by the routes of its framework.

The written file is read back and compared with the request: names, dtypes, shapes, opset, and no input beyond the signature's.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from roadworthy.build.capture.exporter_errors import Refused
from roadworthy.build.capture.original import Subject
from roadworthy.build.capture.route import CaptureRoute
from roadworthy.core.types import BATCH, Signature, TensorSpec, output_names

NAME = "model.onnx"


def routes(subject: Subject) -> Iterable[CaptureRoute]:
    """The routes that the subject's framework has."""
    found: Iterable[CaptureRoute] = importlib.import_module(f"{__package__}.{subject.FRAMEWORK}.onnx").routes(subject)
    return found


def check_file(path: Path, signature: Signature, asked: int) -> tuple[str, ...]:
    """Hold the file at ``path`` against ``signature``, name its dimensions as the signature does, and run ONNX's checker.

    Returns notes; raises Refused where the file is not what was asked for.
    """
    model = onnx.load(str(path), load_external_data=False)
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in weights]
    _refuse_other_names("input", [value.name for value in inputs], [spec.name for spec in signature.inputs])
    _refuse_other_names("output", [value.name for value in model.graph.output], list(output_names(signature)))
    if foreign := {node.domain for node in model.graph.node} - {"", "ai.onnx"} - {function.domain for function in model.functions}:
        raise Refused(f"the file needs operators that are not ONNX's own ({', '.join(sorted(foreign))})")
    if unknown := dict.fromkeys(_unknown_operators(model.graph, {(function.domain, function.name) for function in model.functions})):
        raise Refused(f"ONNX has no counterpart of {', '.join(unknown)}, and the converter wrote it into the file anyway")
    renamed: dict[str, str] = {}
    for value, spec in zip(inputs, signature.inputs, strict=True):
        _check_shape(value, spec, renamed)
    for value in model.graph.value_info:
        for size in value.type.tensor_type.shape.dim:
            if size.dim_param:
                size.dim_param = _rename(size.dim_param, renamed)
    for value, spec in zip(model.graph.output, signature.outputs, strict=True):
        _check_shape(value, spec, {})
    onnx.save(model, str(path))
    # Its full check infers shapes as well, and wrongly for some pools; the answers are compared next.
    onnx.checker.check_model(str(path))
    written = opset(model)
    if written != asked:
        return (f"opset {asked} was asked for and the exporter wrote opset {written}",)
    return (f"opset {written}",)


def opset(model: Any) -> int:
    """The version of ONNX's own operator set that the file states."""
    return next(int(entry.version) for entry in model.opset_import if entry.domain in ("", "ai.onnx"))


def _refuse_other_names(what: str, found: list[str], names: list[str]) -> None:
    if found != names:
        extra, missing = [n for n in found if n not in names], [n for n in names if n not in found]
        how = f"has more: {', '.join(extra)}" if extra else f"lacks {', '.join(missing)}" if missing else "has another order"
        raise Refused(f"the file's {what}s are not the model's: it {how}")


def _unknown_operators(graph: Any, functions: set[tuple[str, str]]) -> Iterator[str]:
    """Operators that ONNX does not have: a converter may write them and report success."""
    for node in graph.node:
        if (node.domain, node.op_type) not in functions and not onnx.defs.has(node.op_type, node.domain):
            yield node.op_type
        for attribute in node.attribute:
            for inner in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])):
                yield from _unknown_operators(inner, functions)


def _check_shape(value: Any, spec: TensorSpec, renamed: dict[str, str]) -> None:
    """Write the signature's symbols and sizes into ``value``; raises Refused where the file contradicts them."""
    tensor = value.type.tensor_type
    dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)).name
    sizes = tensor.shape.dim
    if dtype != spec.dtype or len(sizes) != len(spec.shape):
        raise Refused(f"the file has {spec.name} as {dtype} with {len(sizes)} dimensions where the model has {spec}")
    for size, wanted in zip(sizes, spec.shape, strict=True):
        if isinstance(wanted, str):
            if size.HasField("dim_value"):
                raise Refused(f"{wanted} became the constant {size.dim_value} in {spec.name}", batch=wanted == BATCH)
            if size.dim_param:
                renamed[size.dim_param] = wanted
            size.dim_param = wanted
        elif size.HasField("dim_value") and size.dim_value != wanted:
            raise Refused(f"the file has a size of {size.dim_value} in {spec.name} where the model has {spec}")
        else:
            size.dim_value = wanted


def _rename(expression: str, renamed: dict[str, str]) -> str:
    """``2*s6`` becomes ``2*batch``."""
    return re.sub(r"[A-Za-z_]\w*", lambda match: renamed.get(match[0], match[0]), expression)

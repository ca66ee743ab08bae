"""The original as ONNX, by the routes of its framework.

The written file is read back and compared with the request: names, dtypes, what its inputs take, opset, and no input beyond the
signature's. Whether its answers are right is for the runtime to show: what a checker, or the file itself, says of its inner and outer
shapes is kept as a note and no reason to refuse it.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from roadworthy.build.capture import exporter_errors
from roadworthy.build.capture.exporter_errors import Refused
from roadworthy.build.capture.original import Subject
from roadworthy.build.capture.route import CaptureRoute
from roadworthy.core.types import BATCH, BYTES, Signature, TensorSpec, output_names

NAME = "model.onnx"
OWN = frozenset({"", "ai.onnx"})
KNOWN = OWN | {"ai.onnx.ml", "com.microsoft"}
"""The domains whose operators a runtime may bring; the runtime itself says which of them it has."""


def routes(subject: Subject) -> Iterable[CaptureRoute]:
    """The routes that the subject's framework has."""
    found: Iterable[CaptureRoute] = importlib.import_module(f"{__package__}.{subject.FRAMEWORK}.onnx").routes(subject)
    return found


def check_file(path: Path, signature: Signature, asked: int) -> tuple[str, ...]:
    """Hold the file at ``path`` against ``signature``, name its dimensions as the signature does, and run ONNX's checker.

    Returns notes, the checker's complaint among them; raises Refused where the file is not what was asked for.
    """
    model = onnx.load(str(path), load_external_data=False)
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in weights]
    _refuse_other_names("input", [value.name for value in inputs], [spec.name for spec in signature.inputs])
    _refuse_other_names("output", [value.name for value in model.graph.output], list(output_names(signature)))
    if foreign := {node.domain for node in model.graph.node} - KNOWN - {function.domain for function in model.functions}:
        raise Refused(f"the file needs operators that are not ONNX's own ({', '.join(sorted(foreign))})")
    if unknown := dict.fromkeys(_unknown_operators(model.graph, {(function.domain, function.name) for function in model.functions})):
        raise Refused(f"ONNX has no counterpart of {', '.join(unknown)}, and the converter wrote it into the file anyway")
    renamed: dict[str, str] = {}
    for value, spec in zip(inputs, signature.inputs, strict=True):
        _refuse_other_dtype(value, spec)
        _check_shape(value, spec, renamed)
    for value in model.graph.value_info:
        for size in value.type.tensor_type.shape.dim:
            if size.dim_param:
                size.dim_param = _rename(size.dim_param, renamed)
    for value, spec in zip(model.graph.output, signature.outputs, strict=True):
        _refuse_other_dtype(value, spec)
        _state_shape(value, spec)
    onnx.save(model, str(path))
    written = opset(model)
    asked_for = f"opset {asked} was asked for and the exporter wrote opset {written}" if written != asked else f"opset {written}"
    return (asked_for, *_complaints(path))


def _complaints(path: Path) -> Iterator[str]:
    """What ONNX's checker has against the file. It may be wrong where a runtime is right, on the windows of a pool for example."""
    try:
        onnx.checker.check_model(str(path), full_check=True)
    except Exception as problem:
        yield f"ONNX's own checker complains, and the answers of the runtime decide: {exporter_errors.one_line(str(problem))}"


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
        if node.domain in OWN and (node.domain, node.op_type) not in functions and not onnx.defs.has(node.op_type, node.domain):
            yield node.op_type
        for attribute in node.attribute:
            for inner in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])):
                yield from _unknown_operators(inner, functions)


def _refuse_other_dtype(value: Any, spec: TensorSpec) -> None:
    tensor = value.type.tensor_type
    dtype = BYTES if tensor.elem_type == onnx.TensorProto.STRING else np.dtype(onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)).name
    if dtype != spec.dtype:
        raise Refused(f"the file has {spec.name} as {dtype} where the model has {spec}")


def _check_shape(value: Any, spec: TensorSpec, renamed: dict[str, str]) -> None:
    """Write the signature's symbols and sizes into the input ``value``; raises Refused where the file contradicts them."""
    sizes = value.type.tensor_type.shape.dim
    if len(sizes) != len(spec.shape):
        raise Refused(f"the file has {spec.name} with {len(sizes)} dimensions where the model has {spec}")
    for size, wanted in zip(sizes, spec.shape, strict=True):
        if isinstance(wanted, str):
            if size.HasField("dim_value"):
                raise Refused(f"{wanted} became the constant {size.dim_value} in {spec.name}", batch=wanted == BATCH)
            if size.dim_param:
                renamed[size.dim_param] = wanted
        elif size.HasField("dim_value") and size.dim_value != wanted:
            raise Refused(f"the file has a size of {size.dim_value} in {spec.name} where the model has {spec}")
    _state_shape(value, spec)


def _state_shape(value: Any, spec: TensorSpec) -> None:
    """Write the signature's symbols and sizes into ``value``, whatever the exporter wrote."""
    value.type.CopyFrom(onnx.helper.make_tensor_type_proto(value.type.tensor_type.elem_type, spec.shape))


def _rename(expression: str, renamed: dict[str, str]) -> str:
    """``2*s6`` becomes ``2*batch``."""
    return re.sub(r"[A-Za-z_]\w*", lambda match: renamed.get(match[0], match[0]), expression)

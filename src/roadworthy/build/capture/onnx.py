"""The original as ONNX: by the dynamo exporter from an ExportedProgram, then by the older exporter, traced or scripted.

Whatever the exporter was asked for, the file is read back: names, dtypes, shapes, opset, and no input beyond the signature's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch

from roadworthy.build.capture import jit, pt2
from roadworthy.build.capture.routes import Route, Written
from roadworthy.build.capture.subject import Subject
from roadworthy.build.capture.words import Refused
from roadworthy.core.types import BATCH, Signature, TensorSpec

OPSET = 20
OLDER_OPSET = 17
NAME = "model.onnx"


def routes(subject: Subject) -> Iterator[Route]:
    """The dynamo exporter first; the older one does some operators that it lacks, and scripts keep their branches there."""
    yield Route("dynamo exporter", _dynamo)
    if subject.kind == "script":
        yield Route("older exporter, from the script", lambda subject, out: _older(jit.script(subject), subject, out))
        return
    yield Route("older exporter, traced", lambda subject, out: _older(_traceable(subject), subject, out))
    if subject.kind == "module":
        yield Route("older exporter, scripted", lambda subject, out: _older(jit.script(subject), subject, out))


def _dynamo(subject: Subject, out: Path) -> Written:
    start = pt2.program(subject)
    made = torch.onnx.export(
        start.exported,
        (),
        dynamo=True,
        opset_version=OPSET,
        input_names=subject.inputs,
        output_names=subject.outputs,
        optimize=True,
        verbose=False,
    )
    made.save(out / NAME)  # weights stay inside the file unless they pass protobuf's 2 GB
    return Written(out / NAME, start.signature, settle(out / NAME, start.signature, OPSET))


def _older(source: Any, subject: Subject, out: Path) -> Written:
    named = {spec.name: {i: size for i, size in enumerate(spec.shape) if isinstance(size, str)} for spec in _tensors(subject.signature)}
    torch.onnx.export(
        source,
        subject.example(),
        str(out / NAME),
        dynamo=False,
        opset_version=OLDER_OPSET,
        input_names=subject.inputs,
        output_names=subject.outputs,
        dynamic_axes={name: axes for name, axes in named.items() if axes},
    )
    return Written(out / NAME, subject.signature, settle(out / NAME, subject.signature, OLDER_OPSET))


def _traceable(subject: Subject) -> Any:
    """The older exporter traces a module itself, but cannot handle what torch.export gives back."""
    jit.refuse_if_in_doubt(subject)
    return subject.module if subject.kind == "module" else jit.trace(subject)


def settle(path: Path, signature: Signature, asked: int) -> tuple[str, ...]:
    """Hold the file at ``path`` against ``signature``, name its dimensions as the signature does, and run ONNX's checker.

    Returns notes; raises Refused where the file is not what was asked for.
    """
    model = onnx.load(str(path), load_external_data=False)
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in weights]
    _refuse_other_names("input", [value.name for value in inputs], signature.inputs)
    _refuse_other_names("output", [value.name for value in model.graph.output], signature.outputs)
    if strange := {node.domain for node in model.graph.node} - {"", "ai.onnx"} - {function.domain for function in model.functions}:
        raise Refused(f"the file needs operators that are not ONNX's own ({', '.join(sorted(strange))})")
    renamed: dict[str, str] = {}
    for value, spec in zip(inputs, signature.inputs, strict=True):
        _settle_shape(value, spec, renamed)
    for value in model.graph.value_info:
        for size in value.type.tensor_type.shape.dim:
            if size.dim_param:
                size.dim_param = _rename(size.dim_param, renamed)
    for value, spec in zip(model.graph.output, signature.outputs, strict=True):
        _settle_shape(value, spec, {})
    onnx.save(model, str(path))
    onnx.checker.check_model(str(path), full_check=True)
    written = opset(model)
    if written != asked:
        return (f"opset {asked} was asked for and the exporter wrote opset {written}",)
    return (f"opset {written}",)


def opset(model: Any) -> int:
    """The version of ONNX's own operator set that the file states."""
    return next(int(entry.version) for entry in model.opset_import if entry.domain in ("", "ai.onnx"))


def _refuse_other_names(what: str, found: list[str], wanted: tuple[TensorSpec, ...]) -> None:
    names = [spec.name for spec in wanted]
    if found != names:
        extra, missing = [n for n in found if n not in names], [n for n in names if n not in found]
        how = f"has more: {', '.join(extra)}" if extra else f"lacks {', '.join(missing)}" if missing else "has another order"
        raise Refused(f"the file's {what}s are not the model's: it {how}")


def _settle_shape(value: Any, spec: TensorSpec, renamed: dict[str, str]) -> None:
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


def _tensors(signature: Signature) -> Iterable[TensorSpec]:
    return signature.inputs + signature.outputs

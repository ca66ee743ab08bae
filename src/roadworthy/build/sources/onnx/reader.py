"""An ONNX file as a source: run by the runtime that reads such files, and kept as one file with its weights inside."""

from __future__ import annotations

import math
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from roadworthy.build.sources import inputs
from roadworthy.build.sources.model import Model
from roadworthy.build.sources.parsers import onnx as parsers_onnx
from roadworthy.build.sources.parsers.onnx import OnnxFile
from roadworthy.build.sources.parsers.untrusted import shown
from roadworthy.core import registry
from roadworthy.core.errors import BackendMissing, RoadworthyError, SourceError, SourceUnreadable
from roadworthy.core.stages import Graph, Plan, Precision, Source
from roadworthy.core.text import first_line
from roadworthy.core.types import BYTES, UNKNOWN, Arrays, BoundInput, Signature, TensorSpec

FORMAT = "onnx"
FILE = "model.onnx"
LARGEST = 2**30
"""Bytes of weights. A protobuf message has at most twice as many, so a larger model keeps its weights in a file beside it."""
OLDEST, RECENT = 7, 17
"""The first operator set of ONNX whose operators the runtime has, and one that all tools have had for years."""
ON_THE_FLY = "DynamicQuantizeLinear"
PROOF = "an ONNX graph has no modes: what it does was tested"


def read(source: Source) -> Model:
    """The model of ``source``, live in its runtime.

    Raises SourceError where the runtime does not take it or no output is a tensor, SourceUnreadable where it is damaged, UsageError
    for outputs that it does not have.
    """
    found = parsers_onnx.read(source.path)
    if found.foreign:
        raise SourceError(
            f"{source.path} calls operators of a library of its own ({', '.join(found.foreign[:4])}), which no runtime here has; "
            "export it with standard operators"
        )
    model = _parsed(source.path)
    from roadworthy.build.sources.onnx import modes, rewrite, tables

    notes = rewrite.rewrite(model, source.outputs)
    signature = parsers_onnx.signature(model.graph)
    if not signature.inputs:
        raise SourceError(f"{source.path} takes no input: every one of them is filled by the file itself")
    for spec, value in zip((*signature.inputs, *signature.outputs), (*model.graph.input, *model.graph.output), strict=True):
        _check(spec, rewrite.kind_of(value), source.path)
    precision: Precision = "int8" if found.quantised else "fp32"
    with tempfile.TemporaryDirectory() as folder:
        # The file as it came answers, unless something had to change. An open session needs the file no longer.
        file = _written(model, source.path, Path(folder)) if notes else source.path
        session = _open(source.path, file, found, signature, precision)
        if notes:
            _load_again(model, Path(folder))

    def call(feeds: Arrays) -> dict[str, Any]:
        return dict(session.run(feeds))

    def keep(signature: Signature, out: Path) -> Graph:
        return Graph(FORMAT, _save(model, source.path, signature, out), signature, route="the original", precision=precision)

    parameters = sum(math.prod(tensor.dims) for tensor in model.graph.initializer)
    locate = modes.TrainingNodes(model).locate
    said = (*_notes(found), *notes)

    def bind(bound: tuple[BoundInput, ...]) -> Model:
        rewrite.bind(model, bound)
        values = {one.name: one.array for one in bound}
        rest = tuple(spec for spec in signature.inputs if spec.name not in values)
        return replace(known, call=lambda feeds: call({**feeds, **values}), inputs=rest)

    known = Model(
        call, signature.inputs, keep, parameters, locate=locate, proofs=(PROOF,), notes=said, neighbours=_neighbours(found),
        bind=bind, tables=lambda feeds: tables.rows(model.graph),
    )  # fmt: skip
    return known


def _check(spec: TensorSpec, kind: str, path: Path) -> None:
    """SourceError for an input or output that is not an array of a type that NumPy has."""
    if kind:
        raise SourceError(
            f"{path}: the input {shown(spec.name)!r} is {kind}, which no request carries; export the model with tensors alone"
        )
    if spec.dtype != UNKNOWN:
        inputs.refuse_type(spec, path)


def _parsed(path: Path) -> Any:
    """The model as protobuf, without the weights that lie in other files."""
    try:
        import onnx
    except ImportError:
        raise BackendMissing("reading an ONNX file needs the package onnx; install it with: pip install onnx") from None
    try:
        return onnx.load(path, load_external_data=False)
    except Exception as problem:
        raise SourceUnreadable(f"{path} cannot be read as ONNX: {first_line(problem)}; fetch it again", detail=str(problem)) from problem


def _open(path: Path, file: Path, found: OnnxFile, signature: Signature, precision: Precision) -> Any:
    """A session of ``file``, which is the source at ``path`` or made of it. Sizes that are still open are not checked."""
    name = registry.runtime_for(FORMAT)
    try:
        return registry.runtime(name).load(file, signature, Plan(name, precision))
    except BackendMissing:
        raise
    except RoadworthyError as problem:
        opset = ", ".join(f"{domain or 'ai.onnx'} {version}" for domain, version in found.opsets) or "no stated set"
        raise SourceError(
            f"{path} cannot be opened (operators of {opset}): {problem.message}{_way_out(found, problem.message)}", detail=problem.detail
        ) from problem


def _way_out(found: OnnxFile, said: str) -> str:
    """What to do about a file that is older or newer than the runtime."""
    own = next((version for domain, version in found.opsets if domain in ("", "ai.onnx")), OLDEST)
    if own < OLDEST:
        return (
            f"; operators older than ai.onnx {OLDEST} have no kernels: convert the file with "
            f"onnx.version_converter.convert_version(onnx.load(file), {RECENT})"
        )
    if "IR version" in said:
        return f"; update {registry.runtime_for(FORMAT)}, or set ir_version of the loaded model to that and save it again"
    if "newer than this runtime" in said:
        return f"; update {registry.runtime_for(FORMAT)}, or export the model with an older opset"
    return ""


def _save(model: Any, origin: Path, signature: Signature, out: Path) -> Path:
    """Keep the model in ``out`` with the types and sizes that were proven, and without inputs that an initialiser fills by now."""
    from roadworthy.build.sources.onnx import rewrite

    rewrite.drop_filled(model)
    for values, specs in ((model.graph.input, signature.inputs), (model.graph.output, signature.outputs)):
        by_name = {spec.name: spec for spec in specs}
        for value in values:
            _state(value, by_name[value.name])
    return _written(model, origin, out)


def _state(value: Any, spec: TensorSpec) -> None:
    from onnx import TensorProto, helper

    kind = TensorProto.STRING if spec.dtype == BYTES else helper.np_dtype_to_tensor_dtype(np.dtype(spec.dtype))
    value.type.CopyFrom(helper.make_tensor_type_proto(kind, spec.shape))


def _written(model: Any, origin: Path, out: Path) -> Path:
    """The model in the folder ``out``, its weights inside or, where they are too large for that, beside it."""
    import onnx

    onnx.load_external_data_for_model(model, str(origin.parent))
    path = out / FILE
    # Asked for its size, protobuf serialises, which it cannot above its limit.
    large = sum(len(tensor.raw_data) for tensor in model.graph.initializer) >= LARGEST
    onnx.save(model, path, save_as_external_data=large, location=f"{FILE}.data" if large else None)
    return path


def _load_again(model: Any, folder: Path) -> None:
    """Put back the weights that ``_written`` moved out of the message into a file in ``folder``, where they were too large."""
    import onnx

    onnx.load_external_data_for_model(model, str(folder))


def _neighbours(found: OnnxFile) -> str:
    """What is quantised on the fly, in words: the scale is that of all samples of a call."""
    return f"the model finds the scale of its whole numbers in each call ({ON_THE_FLY})" if ON_THE_FLY in found.operators else ""


def _notes(found: OnnxFile) -> tuple[str, ...]:
    notes = [f"written by {shown(found.producer)}"] if found.producer else []
    if any(spec.dtype == "float16" for spec in found.tensors):
        notes.append("weights are float16, and so may be what is computed with them")
    return tuple(notes)

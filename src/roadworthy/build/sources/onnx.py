"""An ONNX file as a source: run by the runtime that reads such files, and kept as one file with its weights inside."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from roadworthy.build.sources import inputs
from roadworthy.build.sources.model import Model, SameAnswer
from roadworthy.build.sources.parsers import onnx as parsers_onnx
from roadworthy.build.sources.parsers import onnx_tables
from roadworthy.build.sources.parsers.onnx import OnnxFile
from roadworthy.build.sources.parsers.untrusted import shown
from roadworthy.core import registry
from roadworthy.core.errors import BackendMissing, RoadworthyError, SourceError, SourceUnreadable
from roadworthy.core.stages import Graph, Plan, Precision, Source
from roadworthy.core.text import first_line
from roadworthy.core.types import BYTES, Arrays, BoundInput, Signature, TensorSpec

FORMAT = "onnx"
FILE = "model.onnx"
LARGEST = 2**30
"""Bytes of weights. A protobuf message has at most twice as many, so a larger model keeps its weights in a file beside it."""
IR_WITH_FILLED = 4
"""The first IR version in which an initialiser need not be listed as an input too."""
PROOF = "an ONNX graph has no modes: what it does was tested"
RANDOM = frozenset({
    "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial", "Bernoulli",
})  # fmt: skip


def read(source: Source) -> Model:
    """The model of ``source``, live in its runtime; SourceError where that does not take it, SourceUnreadable where it is damaged."""
    found = parsers_onnx.read(source.path)
    if not found.signature.inputs:
        raise SourceError(f"{source.path} takes no input: every one of them is filled by the file itself")
    for spec in (*found.signature.inputs, *found.signature.outputs):
        _check(spec, source.path)
    if found.foreign:
        raise SourceError(
            f"{source.path} calls operators of a library of its own ({', '.join(found.foreign[:4])}), which no runtime here has; "
            "export it with standard operators"
        )
    model = _parsed(source.path)
    precision: Precision = "int8" if found.quantised else "fp32"
    session = _open(source.path, found, precision)

    def call(feeds: Arrays) -> dict[str, Any]:
        return dict(session.run(feeds))

    def keep(signature: Signature, out: Path) -> Graph:
        path = _save(model, source.path, signature, out)
        return Graph(FORMAT, path, signature, route="the original", precision=precision)

    parameters = sum(math.prod(tensor.dims) for tensor in model.graph.initializer)
    locate = _Nodes(model).locate

    def bind(bound: tuple[BoundInput, ...]) -> Model:
        from onnx import numpy_helper

        model.graph.initializer.extend(numpy_helper.from_array(one.array, one.name) for one in bound)
        values = {one.name: one.array for one in bound}
        rest = tuple(spec for spec in found.signature.inputs if spec.name not in values)
        return replace(known, call=lambda feeds: call({**feeds, **values}), inputs=rest)

    known = Model(
        call,
        found.signature.inputs,
        keep,
        parameters,
        locate=locate,
        proofs=(PROOF,),
        notes=_notes(found, model),
        bind=bind,
        tables=lambda feeds: onnx_tables.rows(model.graph),
    )
    return known


def _check(spec: TensorSpec, path: Path) -> None:
    """SourceError for an input or output that is not an array of a type that NumPy has."""
    where = f"{path}: {shown(spec.name)!r}"
    if spec.dtype == "unknown":
        raise SourceError(f"{where} is not a tensor (but a sequence, a map or an optional value); export the model with tensors alone")
    if spec.dtype == BYTES:
        raise SourceError(f"{where} holds text, which is not supported in ONNX models; export the model with numeric inputs")
    inputs.refuse_type(spec, path)
    if "..." in spec.shape:
        raise SourceError(f"{where} has no shape, so not even its number of axes is known; export the model with the shapes of its inputs")


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


def _open(path: Path, found: OnnxFile, precision: Precision) -> Any:
    """A session of the file itself, opened by its runtime. Sizes that are still open are not checked."""
    name = registry.runtime_for(FORMAT)
    signature = Signature(found.signature.inputs, found.signature.outputs)
    try:
        return registry.runtime(name).load(path, signature, Plan(name, precision))
    except BackendMissing:
        raise
    except RoadworthyError as problem:
        opset = ", ".join(f"{domain or 'ai.onnx'} {version}" for domain, version in found.opsets)
        raise SourceError(f"{path} cannot be opened (operators of {opset}): {problem.message}", detail=problem.detail) from problem


def _save(model: Any, origin: Path, signature: Signature, out: Path) -> Path:
    """Keep the model in ``out`` with the sizes that were proven, its weights inside, and inputs that it fills itself not listed."""
    import onnx

    onnx.load_external_data_for_model(model, str(origin.parent))
    graph = model.graph
    wanted = {spec.name: spec for spec in signature.inputs}
    listed = [value for value in graph.input if value.name in wanted]
    if len(listed) < len(graph.input):
        del graph.input[:]
        graph.input.extend(listed)
        model.ir_version = max(model.ir_version, IR_WITH_FILLED)
    for value in graph.input:
        for axis, size in zip(value.type.tensor_type.shape.dim, wanted[value.name].shape, strict=True):
            if isinstance(size, int):
                axis.dim_value = size
            else:
                axis.dim_param = size
    path = out / FILE
    # Asked for its size, protobuf serialises, which it cannot above its limit.
    large = sum(len(tensor.raw_data) for tensor in graph.initializer) >= LARGEST
    onnx.save(model, path, save_as_external_data=large, location=f"{FILE}.data" if large else None)
    return path


def _notes(found: OnnxFile, model: Any) -> tuple[str, ...]:
    notes = [f"written by {shown(found.producer)}"] if found.producer else []
    filled = len(model.graph.input) - len(found.signature.inputs)
    if filled:
        notes.append(f"{filled} inputs that the file fills itself were removed")
    if any(spec.dtype == "float16" for spec in found.tensors):
        notes.append("weights are float16, and so may be what is computed with them")
    return tuple(notes)


class _Nodes:
    """The operators that behave in the file as in training: one of them explains why a proof of inference mode failed."""

    def __init__(self, model: Any) -> None:
        values = {tensor.name: tensor for tensor in model.graph.initializer}
        nodes = list(_all_nodes(model.graph))
        values |= {node.output[0]: node.attribute[0].t for node in nodes if node.op_type == "Constant" and len(node.attribute) == 1}
        self._random = [node for node in nodes if node.op_type in RANDOM or (node.op_type == "Dropout" and _trains(node, values))]
        self._batch = [node for node in nodes if node.op_type == "BatchNormalization" and _attribute(node, "training_mode")]

    def locate(self, first: Arrays, second: Arrays, same: SameAnswer) -> str:
        """The first node that explains it, in words; LookupError where the graph has none."""
        again = all(np.array_equal(array, second[name]) for name, array in first.items())
        node = next(iter(self._random if again else self._batch), None)
        if node is None:
            raise LookupError("no node of the graph draws random numbers or normalises as in training")
        return f"{shown(node.name or node.output[0])!r} ({node.op_type})"


def _all_nodes(graph: Any) -> Iterator[Any]:
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from _all_nodes(inner)


def _trains(dropout: Any, values: dict[str, Any]) -> bool:
    """Whether its third input, the switch, is on. Before opset 12 there was no such input, and a dropout did nothing."""
    if len(dropout.input) < 3 or not dropout.input[2]:
        return False
    switch = values.get(dropout.input[2])
    return switch is None or any(switch.raw_data) or any(switch.int32_data)


def _attribute(node: Any, name: str) -> int:
    return next((attribute.i for attribute in node.attribute if attribute.name == name), 0)

"""ONNX models as data: inputs, outputs, operators, and the files beside them that hold their weights; read without onnx."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from roadworthy.build.sources.parsers import batch_symbol, onnx_external_data, protobuf
from roadworthy.build.sources.parsers.onnx_external_data import ExternalTensor
from roadworthy.build.sources.parsers.untrusted import reading
from roadworthy.core.types import ANY_RANK, BYTES, UNKNOWN, Signature, TensorSpec

DTYPES = {
    1: "float32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64", 8: BYTES, 9: "bool", 10: "float16", 11: "float64",
    12: "uint32", 13: "uint64", 14: "complex64", 15: "complex128", 16: "bfloat16", 17: "float8_e4m3fn", 18: "float8_e4m3fnuz",
    19: "float8_e5m2", 20: "float8_e5m2fnuz", 21: "uint4", 22: "int4", 23: "float4_e2m1", 24: "float8_e8m0",
}  # fmt: skip
"""onnx.TensorProto.DataType, by number."""
KNOWN = frozenset({"", "ai.onnx", "ai.onnx.ml", "ai.onnx.training", "ai.onnx.preview", "ai.onnx.preview.training", "com.microsoft"})
"""Domains whose operators a runtime can bring; any other needs a library of its own, or functions in the file."""
QUANTISED = frozenset({"QuantizeLinear", "DynamicQuantizeLinear", "QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger"})


@dataclass(frozen=True)
class OnnxFile:
    """One ONNX model. ``opsets`` by domain; ``operators`` as ``domain::name`` where the domain is not ONNX's own; ``foreign``
    those that no runtime brings. ``inputs`` of the signature are those that no initialiser fills. ``properties`` is what its maker wrote
    beside the model, by key. ``graph`` is the GraphProto, with the values of small tensors alone."""

    signature: Signature
    tensors: tuple[TensorSpec, ...]
    external: tuple[ExternalTensor, ...]
    operators: tuple[str, ...]
    foreign: tuple[str, ...]
    opsets: tuple[tuple[str, int], ...]
    producer: str
    properties: tuple[tuple[str, str], ...] = ()
    graph: Any = None

    @property
    def quantised(self) -> bool:
        """Whether some of it computes in whole numbers."""
        return any(op.partition("::")[2] in QUANTISED or op in QUANTISED for op in self.operators)


def read(path: Path) -> OnnxFile:
    """What the file states.

    Raises SourceUnreadable where it is damaged or its weights are not where it states, SourceRefused where it names files outside
    its own directory.
    """
    model = protobuf.parse(path, "onnx", "onnx.ModelProto", "ONNX model")
    with reading(path, "ONNX model"):
        found = _model(model)
    for one in found.external:
        onnx_external_data.check(path, one)
    return found


def signature(graph: Any) -> Signature:
    """The inputs that no initialiser of ``graph`` fills, and its outputs."""
    filled = {tensor.name for tensor in _initialisers(graph)}
    inputs = [_value(value) for value in graph.input if value.name not in filled]
    return Signature(*batch_symbol.named(inputs, list(map(_value, graph.output))))


def external_files(path: Path, found: OnnxFile) -> tuple[Path, ...]:
    """The files beside the model that hold its weights, each once, in order of their names."""
    return tuple(sorted({path.parent / one.location for one in found.external}))


def _model(model: Any) -> OnnxFile:
    if not model.HasField("graph"):
        raise ValueError("it holds no graph")
    training = [graph for step in model.training_info for graph in (step.initialization, step.algorithm)]
    graphs = [inner for graph in (model.graph, *training) for inner in _graphs(graph)]
    bodies = [node for function in model.functions for node in function.node]
    inner = [graph for node in bodies for attribute in node.attribute for graph in _graphs_of(attribute)]
    nodes = [*bodies, *(node for graph in (*graphs, *inner) for node in graph.node)]
    operators = {(node.domain, node.op_type) for node in nodes}
    local = {(function.domain, function.name) for function in model.functions}
    initialisers = tuple(map(_tensor, _initialisers(model.graph)))
    return OnnxFile(
        signature(model.graph),
        initialisers,
        tuple(onnx_external_data.of(tensor) for tensor in _stored((*graphs, *inner), nodes) if onnx_external_data.outside(tensor)),
        tuple(sorted(_full(*op) for op in operators)),
        tuple(sorted(_full(*op) for op in operators - local if op[0] not in KNOWN)),
        tuple((opset.domain, opset.version) for opset in model.opset_import),
        " ".join(part for part in (model.producer_name, model.producer_version) if part),
        tuple((entry.key, entry.value) for entry in model.metadata_props),
        model.graph,
    )


def _graphs(graph: Any) -> Iterator[Any]:
    """The graph, and those that its nodes hold as attributes: the branches of an If, the body of a Loop."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            yield from _graphs_of(attribute)


def _graphs_of(attribute: Any) -> Iterator[Any]:
    for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
        yield from _graphs(inner)


def _stored(graphs: Iterable[Any], nodes: Iterable[Any]) -> Iterator[Any]:
    """Every tensor whose values the model holds: the initialisers of its graphs, and the attributes of its nodes."""
    for graph in graphs:
        yield from _initialisers(graph)
        yield from (sparse.indices for sparse in graph.sparse_initializer)
    for attribute in (attribute for node in nodes for attribute in node.attribute):
        yield from (attribute.t, *attribute.tensors)
        for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
            yield from (sparse.values, sparse.indices)


def _initialisers(graph: Any) -> Iterator[Any]:
    yield from graph.initializer
    yield from (sparse.values for sparse in graph.sparse_initializer)


def _full(domain: str, name: str) -> str:
    return name if domain in ("", "ai.onnx") else f"{domain}::{name}"


def _tensor(tensor: Any) -> TensorSpec:
    return TensorSpec(tensor.name, _dtype(tensor.data_type), tuple(tensor.dims))


def _dtype(number: int) -> str:
    return DTYPES.get(number, f"of type {number}")


def _value(value: Any) -> TensorSpec:
    """An input or output; its dtype is unknown where it is not a tensor, but a sequence, a map or an optional value."""
    kind = value.type.tensor_type
    dtype = _dtype(kind.elem_type) if kind.elem_type and value.type.HasField("tensor_type") else UNKNOWN
    shape = tuple(map(_size, kind.shape.dim)) if kind.HasField("shape") else (ANY_RANK,)
    return TensorSpec(value.name, dtype, shape)


def _size(size: Any) -> int | str:
    # Some exporters write 0 or -1 for a size that is open.
    if size.HasField("dim_value") and size.dim_value > 0:
        return int(size.dim_value)
    return size.dim_param[:40] or batch_symbol.UNNAMED

"""ONNX models as data: inputs, outputs, operators, and the files beside them that hold their weights; read without onnx.

Field numbers are those of onnx/onnx.proto; external data as in onnx/docs/ExternalData.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath

from roadworthy.build.sources.parsers import protobuf
from roadworthy.core.errors import SourceRefused, SourceUnreadable
from roadworthy.core.types import BATCH, BYTES, Signature, TensorSpec

DTYPES = {
    1: "float32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64", 8: BYTES, 9: "bool", 10: "float16", 11: "float64",
    12: "uint32", 13: "uint64", 14: "complex64", 15: "complex128", 16: "bfloat16", 17: "float8_e4m3fn", 18: "float8_e4m3fnuz",
    19: "float8_e5m2", 20: "float8_e5m2fnuz", 21: "uint4", 22: "int4", 23: "float4_e2m1", 24: "float8_e8m0",
}  # fmt: skip
"""onnx.TensorProto.DataType, by number."""
KNOWN = frozenset({"", "ai.onnx", "ai.onnx.ml", "ai.onnx.training", "ai.onnx.preview", "ai.onnx.preview.training", "com.microsoft"})
"""Domains whose operators a runtime can bring; any other needs a library of its own, or functions in the file."""
EXTERNAL = 1
NESTED = 64


@dataclass(frozen=True)
class External:
    """A tensor that lies in another file: ``location`` as written, ``offset`` and ``length`` in bytes (-1: to the end)."""

    tensor: str
    location: str
    offset: int
    length: int


@dataclass(frozen=True)
class Onnx:
    """One ONNX model. ``opsets`` by domain; ``operators`` as ``domain::name`` where the domain is not ONNX's own; ``foreign``
    those that no runtime brings. ``inputs`` of the signature are those that no initialiser fills."""

    signature: Signature
    tensors: tuple[TensorSpec, ...]
    external: tuple[External, ...]
    operators: tuple[str, ...]
    foreign: tuple[str, ...]
    opsets: tuple[tuple[str, int], ...]
    producer: str

    @property
    def quantised(self) -> bool:
        """Whether some of it computes in whole numbers."""
        return any(op.partition("::")[2] in QUANTISED or op in QUANTISED for op in self.operators)


QUANTISED = frozenset({"QuantizeLinear", "DynamicQuantizeLinear", "QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger"})


def read(path: Path) -> Onnx:
    """What the file says.

    Raises SourceUnreadable where it is damaged or its weights are not where it says, SourceRefused where it reaches for files
    outside its own directory.
    """
    with protobuf.reading(path, "ONNX model"):
        found = _model(protobuf.mapped(path))
    for one in found.external:
        _check(path, one)
    return found


def external_files(path: Path, found: Onnx) -> tuple[Path, ...]:
    """The files beside the model that hold its weights, each once, in order of their names."""
    return tuple(sorted({path.parent / one.location for one in found.external}))


def _model(data: memoryview) -> Onnx:
    graphs = list(protobuf.messages(data, 7))
    if not graphs:
        raise ValueError("it holds no graph")
    initialisers, external, operators = [], [], set()
    inputs: list[memoryview] = []
    outputs: list[memoryview] = []
    for graph in graphs:
        for number, kind, value in protobuf.fields(graph):
            if kind == protobuf.BYTES and number == 5:
                initialisers.append(_tensor(value))
            elif kind == protobuf.BYTES and number == 15:
                initialisers += [_tensor(values) for values in protobuf.messages(value, 1)]
            elif kind == protobuf.BYTES and number in (11, 12):
                (inputs if number == 11 else outputs).append(value)
        for tensor, op in _walk(graph, 0):
            external += _external(tensor) if tensor is not None else []
            operators |= {op} if op else set()
    local = set()
    for function in protobuf.messages(data, 25):
        local.add((protobuf.text(function, 10), protobuf.text(function, 1)))
        for node in protobuf.messages(function, 7):
            operators |= _operators(node, external)
    for training in protobuf.messages(data, 20):
        for graph in (inner for field in (1, 2) for inner in protobuf.messages(training, field)):
            external += [one for tensor, _ in _walk(graph, 0) if tensor is not None for one in _external(tensor)]
    filled = {spec.name for spec in initialisers}
    specs = [_value(value) for value in inputs]
    signature = Signature(tuple(spec for spec in specs if spec.name not in filled), tuple(_value(value) for value in outputs))
    return Onnx(
        signature, tuple(initialisers), tuple(external), tuple(sorted(_full(*op) for op in operators)),
        tuple(sorted(_full(*op) for op in operators - local if op[0] not in KNOWN)),
        tuple((protobuf.text(one, 1), protobuf.integer(one, 2)) for one in protobuf.messages(data, 8)),
        " ".join(part for part in (protobuf.text(data, 2), protobuf.text(data, 3)) if part),
    )  # fmt: skip


def _walk(graph: memoryview, depth: int) -> Iterator[tuple[memoryview | None, tuple[str, str] | None]]:
    """Every tensor stored in a graph and every operator, those of its inner graphs too."""
    if depth > NESTED:
        raise ValueError(f"its graphs are nested more than {NESTED} deep")
    for number, kind, value in protobuf.fields(graph):
        if kind != protobuf.BYTES:
            continue
        if number == 5:
            yield value, None
        elif number == 15:
            yield from ((part, None) for field in (1, 2) for part in protobuf.messages(value, field))
        elif number == 1:
            yield from _node(value, depth)


def _node(node: memoryview, depth: int) -> Iterator[tuple[memoryview | None, tuple[str, str] | None]]:
    yield None, (protobuf.text(node, 7), protobuf.text(node, 4))
    for attribute in protobuf.messages(node, 5):
        for number, kind, value in protobuf.fields(attribute):
            if kind != protobuf.BYTES:
                continue
            if number in (5, 10):
                yield value, None
            elif number in (22, 23):
                yield from ((part, None) for field in (1, 2) for part in protobuf.messages(value, field))
            elif number in (6, 11):
                yield from _walk(value, depth + 1)


def _operators(node: memoryview, external: list[External]) -> set[tuple[str, str]]:
    found = set()
    for tensor, op in _node(node, 0):
        external += _external(tensor) if tensor is not None else []
        found |= {op} if op else set()
    return found


def _full(domain: str, name: str) -> str:
    return name if domain in ("", "ai.onnx") else f"{domain}::{name}"


def _tensor(data: memoryview) -> TensorSpec:
    return TensorSpec(protobuf.text(data, 8), DTYPES.get(protobuf.integer(data, 2), "unknown"), protobuf.integers(data, 1))


def _external(data: memoryview) -> list[External]:
    if protobuf.integer(data, 14) != EXTERNAL:
        return []
    said = {protobuf.text(entry, 1): protobuf.text(entry, 2) for entry in protobuf.messages(data, 13)}
    # A number that is none becomes a ValueError, which says that the file is damaged.
    return [External(protobuf.text(data, 8), said.get("location", ""), int(said.get("offset") or 0), int(said.get("length") or -1))]


def _value(data: memoryview) -> TensorSpec:
    dtype, shape = "unknown", None
    for number, kind, value in protobuf.merged(data, 2):
        if number == 1 and kind == protobuf.BYTES:
            dtype = DTYPES.get(protobuf.integer(value, 1), "unknown")
            shape = next((_shape(inner) for inner in protobuf.messages(value, 2)), shape)
    return TensorSpec(protobuf.text(data, 1), dtype, ("...",) if shape is None else shape)


def _shape(data: memoryview) -> tuple[int | str, ...]:
    return tuple(_size(axis, size) for axis, size in enumerate(protobuf.messages(data, 1)))


def _size(axis: int, data: memoryview) -> int | str:
    value = protobuf.integer(data, 1, -1)
    if value >= 0:
        return value
    return BATCH if axis == 0 else protobuf.text(data, 2)[:40] or "?"


def _check(path: Path, one: External) -> None:
    """External data lies below the model's directory, in a regular file that is no link out of it, and within that file."""
    where = f"{path}: the tensor {protobuf.shown(one.tensor)} lies in {protobuf.shown(one.location)!r}"
    pure = PurePosixPath(one.location)
    leads_out = pure.is_absolute() or ".." in pure.parts or "\\" in one.location or PureWindowsPath(one.location).drive
    if not one.location or "\0" in one.location or leads_out:
        raise SourceRefused(f"{where}, which is no file of the model's own directory; save the model with its weights beside it")
    file = path.parent / one.location
    # The model may be a link itself, as download caches have it: then the data may lie beside either.
    homes = {path.parent.resolve(), path.resolve().parent}
    try:
        real = file.resolve()
        if not any(real.is_relative_to(home) for home in homes):
            raise SourceRefused(f"{where}, a link that leads out of the model's own directory; put the file itself there")
        if not real.is_file():
            raise SourceUnreadable(f"{where}, and there is no such file; fetch it and put it beside the model")
        size = real.stat().st_size
    except (OSError, RuntimeError) as problem:
        why = problem.strerror if isinstance(problem, OSError) else "a link that leads to itself"
        raise SourceUnreadable(f"{where}, which cannot be read: {why}") from None
    length = size - one.offset if one.length < 0 else one.length
    if one.offset < 0 or length < 0 or one.offset + length > size:
        raise SourceUnreadable(f"{where} at {one.offset} with {length} bytes, and that file has {size}; it was cut short, fetch it again")

"""TensorFlow's graph files as data: operators, functions and signatures, read from the protobuf and never by TensorFlow.

Field numbers are those of tensorflow/core/framework/{graph,node_def,function,attr_value,tensor,tensor_shape,types}.proto and
tensorflow/core/protobuf/{saved_model,meta_graph,saver,saved_object_graph}.proto.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from roadworthy.build.sources.parsers import protobuf
from roadworthy.core.errors import SourceUnreadable
from roadworthy.core.types import BATCH, BYTES, Signature, TensorSpec

DTYPES = {
    1: "float32", 2: "float64", 3: "int32", 4: "uint8", 5: "int16", 6: "int8", 7: BYTES, 8: "complex64", 9: "int64", 10: "bool",
    11: "qint8", 12: "quint8", 13: "qint32", 14: "bfloat16", 15: "qint16", 16: "quint16", 17: "uint16", 18: "complex128", 19: "float16",
    20: "resource", 21: "variant", 22: "uint32", 23: "uint64", 24: "float8_e5m2", 25: "float8_e4m3fn", 29: "int4", 30: "uint4",
}  # fmt: skip
"""tensorflow.DataType, by number; a reference to a variable is 100 more."""
ANY_RANK = "..."
"""The one size of a shape whose rank is not said."""
NESTED = 16
VARIABLES = frozenset({"Variable", "VariableV2", "VarHandleOp"})
INITIALISERS = ("saved_model_main_op", "legacy_init_op", "saved_model_init_op", "table_initializer")


@dataclass(frozen=True)
class Node:
    """One operation. ``inputs`` as written (``name``, ``name:1``, ``^name``); ``calls`` the functions its attributes name.

    ``texts`` holds the attributes that are strings or lists of them; ``tensor`` what a constant or a variable holds.
    """

    op: str
    name: str
    inputs: tuple[str, ...]
    calls: tuple[str, ...]
    texts: Mapping[str, tuple[str, ...]]
    tensor: TensorSpec | None = None


@dataclass(frozen=True)
class Saver:
    """The nodes that write a checkpoint and read one back; empty names where there are none."""

    save: str = ""
    restore: str = ""


@dataclass(frozen=True)
class MetaGraph:
    """One graph with its functions, and how it is called.

    ``starts`` are nodes that run when it is loaded, ``offered`` the functions that a loaded SavedModel offers to call.
    """

    nodes: tuple[Node, ...] = ()
    functions: Mapping[str, tuple[Node, ...]] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    version: str = ""
    signatures: Mapping[str, Signature] = field(default_factory=dict)
    ends: tuple[str, ...] = ()
    starts: tuple[str, ...] = ()
    offered: tuple[str, ...] = ()
    saver: Saver = Saver()
    assets: int = 0

    @property
    def tensors(self) -> tuple[TensorSpec, ...]:
        """The constants that have a shape, and the variables."""
        return tuple(node.tensor for node in self.nodes if node.tensor is not None)


def saved_model(path: Path) -> tuple[MetaGraph, ...]:
    """The meta graphs of a ``saved_model.pb``; SourceUnreadable where it is damaged or holds none."""
    with protobuf.reading(path, "SavedModel"):
        data = protobuf.mapped(path)
        graphs = tuple(_meta_graph(value) for value in protobuf.messages(data, 2))
    if not graphs:
        raise SourceUnreadable(f"{path} is a SavedModel without a graph; save the model again")
    return graphs


def meta_graph(path: Path) -> MetaGraph:
    """The graph of a checkpoint's ``.meta`` file; nobody calls it by a signature, so what it says of any does not count."""
    with protobuf.reading(path, "checkpoint graph"):
        return replace(_meta_graph(protobuf.mapped(path)), signatures={}, ends=(), offered=())


def graph_def(path: Path) -> MetaGraph:
    """A GraphDef alone, frozen or not."""
    with protobuf.reading(path, "TensorFlow graph"):
        nodes, functions = _graph([protobuf.mapped(path)])
    if not nodes:
        raise SourceUnreadable(f"{path} is a TensorFlow graph without a single node; save it again")
    return MetaGraph(nodes, functions)


def _meta_graph(data: memoryview) -> MetaGraph:
    about: list[memoryview] = []
    graph: list[memoryview] = []
    offered: list[str] = []
    ends: list[str] = []
    starts: list[str] = []
    signatures: dict[str, Signature] = {}
    saver, assets = Saver(), 0
    for number, kind, value in protobuf.fields(data):
        if kind != protobuf.BYTES:
            continue
        if number == 1:
            about.append(value)
        elif number == 2:
            graph.append(value)
        elif number == 3:
            saver = Saver(_node_of(protobuf.text(value, 2)) or saver.save, _node_of(protobuf.text(value, 3)) or saver.restore)
        elif number == 4 and protobuf.text(value, 1) in INITIALISERS:
            starts += [
                _node_of(name)
                for held in protobuf.messages(value, 2)
                for listed in protobuf.messages(held, 1)
                for name in protobuf.texts(listed, 1)
            ]
        elif number == 5:
            key, signature, read = _signature(value)
            (starts if key == "__saved_model_init_op" else ends).extend(read)
            if not key.startswith("__saved_model"):
                signatures[key] = signature
        elif number == 6:
            assets += 1
        elif number == 7:
            offered += [protobuf.text(function, 1) for function in protobuf.messages(value, 2)]
    nodes, functions = _graph(graph)
    tags = tuple(tag for one in about for tag in protobuf.texts(one, 4))
    version = next((text for one in about if (text := protobuf.text(one, 5))), "")
    return MetaGraph(nodes, functions, tags, version, signatures, tuple(ends), tuple(starts), tuple(offered), saver, assets)


def _graph(pieces: list[memoryview]) -> tuple[tuple[Node, ...], dict[str, tuple[Node, ...]]]:
    nodes: list[Node] = []
    functions: dict[str, tuple[Node, ...]] = {}
    for piece in pieces:
        for number, kind, value in protobuf.fields(piece):
            if number == 1 and kind == protobuf.BYTES:
                nodes.append(_node(value))
            elif number == 2 and kind == protobuf.BYTES:
                for function in protobuf.messages(value, 1):
                    name = next((protobuf.text(signature, 1) for signature in protobuf.messages(function, 1)), "")
                    # Two functions of one name: both are looked at, whichever a reader would take.
                    functions[name] = (*functions.get(name, ()), *(_node(inner) for inner in protobuf.messages(function, 3)))
    return tuple(nodes), functions


def _node(data: memoryview) -> Node:
    name = op = ""
    inputs: list[str] = []
    calls: list[str] = []
    texts: dict[str, tuple[str, ...]] = {}
    dtype, shape, held = "", None, None
    for number, kind, value in protobuf.fields(data):
        if kind != protobuf.BYTES:
            continue
        if number == 1:
            name = protobuf.decoded(value)
        elif number == 2:
            op = protobuf.decoded(value)
        elif number == 3:
            inputs.append(protobuf.decoded(value))
        elif number == 5:
            key = protobuf.text(value, 1)
            for attribute in protobuf.messages(value, 2):
                _attribute(key, attribute, calls, texts)
                if key == "dtype":
                    dtype = dtype_of(protobuf.integer(attribute, 6))
                elif key == "shape":
                    shape = next((_shape(inner) for inner in protobuf.messages(attribute, 7)), shape)
                elif key == "value":
                    held = next(protobuf.messages(attribute, 8), held)
    return Node(op, name, tuple(inputs), tuple(calls), texts, _held(op, name, texts, dtype, shape, held))


def _held(
    op: str, name: str, texts: Mapping[str, tuple[str, ...]], dtype: str, shape: tuple[int | str, ...] | None, held: memoryview | None
) -> TensorSpec | None:
    if op == "Const" and held is not None:
        spec = TensorSpec(name, dtype_of(protobuf.integer(held, 1)), next((_shape(value) for value in protobuf.messages(held, 2)), ()))
        return spec if spec.shape else None
    if op in VARIABLES and shape is not None:
        return TensorSpec((texts.get("shared_name") or ("",))[0] or name, dtype, shape)
    return None


def _attribute(key: str, data: memoryview, calls: list[str], texts: dict[str, tuple[str, ...]], depth: int = 0) -> None:
    if depth > NESTED:
        raise ValueError(f"its attributes are nested more than {NESTED} deep")
    for number, kind, value in protobuf.fields(data):
        if kind != protobuf.BYTES:
            continue
        if number == 2:
            texts[key] = (protobuf.decoded(value),)
        elif number == 1:
            texts[key] = protobuf.texts(value, 2) or texts.get(key, ())
            for function in protobuf.messages(value, 9):
                _call(key, function, calls, texts, depth)
        elif number == 10:
            _call(key, value, calls, texts, depth)


def _call(key: str, data: memoryview, calls: list[str], texts: dict[str, tuple[str, ...]], depth: int) -> None:
    calls.append(protobuf.text(data, 1))
    for entry in protobuf.messages(data, 2):
        for inner in protobuf.messages(entry, 2):
            _attribute(f"{key}.{protobuf.text(entry, 1)}", inner, calls, texts, depth + 1)


def _signature(entry: memoryview) -> tuple[str, Signature, list[str]]:
    """A signature with its key, and the nodes that it reads."""
    inputs: dict[str, TensorSpec] = {}
    outputs: dict[str, TensorSpec] = {}
    nodes = []
    for number, kind, value in protobuf.merged(entry, 2):
        if number not in (1, 2) or kind != protobuf.BYTES:
            continue
        name = protobuf.text(value, 1)
        dtype, shape = 0, None
        for info in protobuf.messages(value, 2):
            dtype = protobuf.integer(info, 2, dtype)
            shape = next((_shape(inner) for inner in protobuf.messages(info, 3)), shape)
            if number == 2:
                nodes.append(_node_of(protobuf.text(info, 1)))
                # A sparse or composite output is read by its parts.
                nodes += [
                    _node_of(part) for inner in protobuf.messages(info, 4) for index in (1, 2, 3) for part in protobuf.texts(inner, index)
                ]
                nodes += [_node_of(protobuf.text(part, 1)) for inner in protobuf.messages(info, 5) for part in protobuf.messages(inner, 2)]
        # A shape that is not written at all is the empty message: a scalar.
        spec = TensorSpec(name, dtype_of(dtype), shape if shape is not None else ())
        (inputs if number == 1 else outputs)[name] = spec
    return protobuf.text(entry, 1), Signature(_sorted(inputs), _sorted(outputs)), nodes


def _sorted(specs: dict[str, TensorSpec]) -> tuple[TensorSpec, ...]:
    """By name: a protobuf map has no order of its own."""
    return tuple(specs[name] for name in sorted(specs))


def _shape(data: memoryview) -> tuple[int | str, ...]:
    if protobuf.integer(data, 3):
        return (ANY_RANK,)
    sizes = [protobuf.integer(size, 1) for size in protobuf.messages(data, 2)]
    return tuple(size if size >= 0 else BATCH if axis == 0 else "?" for axis, size in enumerate(sizes))


def dtype_of(number: int) -> str:
    """NumPy's name for a tensorflow.DataType, or ours where NumPy has none."""
    return DTYPES.get(number - 100 if number > 100 else number, "unknown")


def _node_of(tensor: str) -> str:
    return tensor.removeprefix("^").partition(":")[0]

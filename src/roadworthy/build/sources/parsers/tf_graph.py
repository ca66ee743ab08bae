"""TensorFlow's graph files as data: operators, functions and signatures, read from the protobuf and never by TensorFlow."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from roadworthy.build.sources.parsers import protobuf
from roadworthy.build.sources.parsers.untrusted import shown
from roadworthy.core.errors import SourceUnreadable
from roadworthy.core.types import ANY_RANK, BATCH, BYTES, Signature, TensorSpec

FAMILY = "tensorflow_graph"
DTYPES = {
    1: "float32", 2: "float64", 3: "int32", 4: "uint8", 5: "int16", 6: "int8", 7: BYTES, 8: "complex64", 9: "int64", 10: "bool",
    11: "qint8", 12: "quint8", 13: "qint32", 14: "bfloat16", 15: "qint16", 16: "quint16", 17: "uint16", 18: "complex128", 19: "float16",
    20: "resource", 21: "variant", 22: "uint32", 23: "uint64", 24: "float8_e5m2", 25: "float8_e4m3fn", 29: "int4", 30: "uint4",
}  # fmt: skip
"""tensorflow.DataType, by number; a reference to a variable is 100 more."""
PLACEHOLDERS = frozenset({"Placeholder", "PlaceholderV2", "PlaceholderWithDefault"})
RESULT_TYPES = ("DstT", "output_type", "out_type", "dtype", "Tparams", "Tvalues", "T")
"""Attributes that state the type of an operation's results, the most telling first."""
VARIABLES = frozenset({"Variable", "VariableV2", "VarHandleOp"})
INITIALISERS = ("saved_model_main_op", "legacy_init_op", "saved_model_init_op", "table_initializer")
RUN_AT_LOAD = "__saved_model_init_op"
INTERNAL = "__saved_model"
"""How the keys of signatures begin that TensorFlow keeps for itself."""


@dataclass(frozen=True)
class GraphNode:
    """One operation. ``inputs`` as written (``name``, ``name:1``, ``^name``); ``calls`` the functions its attributes name.

    ``texts`` holds the attributes that are strings or lists of them; ``tensor`` what a constant or a variable holds. ``dtype`` and
    ``shapes`` are those of its results, as far as the file states them (``_output_shapes``, which a checkpoint's graph has).
    """

    op: str
    name: str
    inputs: tuple[str, ...]
    calls: tuple[str, ...]
    texts: Mapping[str, tuple[str, ...]]
    tensor: TensorSpec | None = None
    dtype: str = ""
    shapes: tuple[tuple[int | str, ...], ...] = ()


@dataclass(frozen=True)
class CheckpointNodes:
    """The nodes that write a checkpoint and read one back; empty names where there are none."""

    save: str = ""
    restore: str = ""


@dataclass(frozen=True)
class MetaGraph:
    """One graph with its functions, and how it is called.

    ``methods`` are the names of its root object's functions. ``ends`` are nodes that a signature reads, ``starts`` nodes that run when
    the graph is loaded, ``offered`` the functions that a loaded SavedModel offers to call.
    """

    nodes: tuple[GraphNode, ...] = ()
    functions: Mapping[str, tuple[GraphNode, ...]] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    version: str = ""
    signatures: Mapping[str, Signature] = field(default_factory=dict)
    ends: tuple[str, ...] = ()
    starts: tuple[str, ...] = ()
    offered: tuple[str, ...] = ()
    saver: CheckpointNodes = CheckpointNodes()
    assets: int = 0
    methods: tuple[str, ...] = ()

    @property
    def tensors(self) -> tuple[TensorSpec, ...]:
        """The constants that have a shape, and the variables."""
        return tuple(node.tensor for node in self.nodes if node.tensor is not None)


def saved_model(path: Path) -> tuple[MetaGraph, ...]:
    """The meta graphs of a ``saved_model.pb``; SourceUnreadable where it is damaged or holds none."""
    found = protobuf.parse(path, FAMILY, "tensorflow.SavedModel", "SavedModel")
    if not found.meta_graphs:
        raise SourceUnreadable(f"{path} is a SavedModel without a graph; save the model again")
    return tuple(map(_meta_graph, found.meta_graphs))


def meta_graph(path: Path) -> MetaGraph:
    """The graph of a checkpoint's ``.meta`` file. A checkpoint is never called by a signature, so that those in it do not count."""
    found = protobuf.parse(path, FAMILY, "tensorflow.MetaGraphDef", "checkpoint graph")
    return replace(_meta_graph(found), signatures={}, ends=(), offered=())


def graph_def(path: Path) -> MetaGraph:
    """A GraphDef alone, frozen or not."""
    found = protobuf.parse(path, FAMILY, "tensorflow.GraphDef", "TensorFlow graph")
    if not found.node:
        raise SourceUnreadable(f"{path} is a TensorFlow graph without a single node; save it again")
    return MetaGraph(_nodes(found.node), _functions(found))


def written_by(graph: MetaGraph) -> str:
    """Which TensorFlow wrote the graph, in words."""
    return f"written by TensorFlow {shown(graph.version) or 'of an unknown version'}"


def described(graph: MetaGraph) -> str:
    """A graph without signatures by what it is fed, in words."""
    fed = [shown(node.name) for node in graph.nodes if node.op in PLACEHOLDERS]
    return f"{len(graph.nodes)} nodes; placeholders: {', '.join(fed) or 'none'}"


def _meta_graph(message: Any) -> MetaGraph:
    public = [entry for entry in message.signature_def if not entry.key.startswith(INTERNAL)]
    at_load = [entry for entry in message.signature_def if entry.key == RUN_AT_LOAD]
    read = [entry for entry in message.signature_def if entry.key != RUN_AT_LOAD]
    return MetaGraph(
        _nodes(message.graph_def.node),
        _functions(message.graph_def),
        tuple(message.meta_info_def.tags),
        message.meta_info_def.tensorflow_version,
        {entry.key: _signature(entry.value) for entry in public},
        ends=_read_by(read),
        starts=(*_initialisers(message), *_read_by(at_load)),
        offered=tuple(entry.key for entry in message.object_graph_def.concrete_functions),
        saver=CheckpointNodes(_node_of(message.saver_def.save_tensor_name), _node_of(message.saver_def.restore_op_name)),
        assets=len(message.asset_file_def),
        methods=_methods(message.object_graph_def),
    )


def _methods(objects: Any) -> tuple[str, ...]:
    """The names of the functions of the root object, which is the first one."""
    children = objects.nodes[0].children if objects.nodes else ()
    known = range(len(objects.nodes))
    return tuple(
        sorted(child.local_name for child in children if child.node_id in known and objects.nodes[child.node_id].HasField("function"))
    )


def _initialisers(message: Any) -> list[str]:
    """The nodes that the collections for it name to be run at load."""
    collections = [entry.value for entry in message.collection_def if entry.key in INITIALISERS]
    return [_node_of(name) for collection in collections for name in collection.node_list.value]


def _functions(graph: Any) -> dict[str, tuple[GraphNode, ...]]:
    found: dict[str, tuple[GraphNode, ...]] = {}
    for function in graph.library.function:
        # Of two functions of one name both are looked at, whichever a reader would take.
        name = function.signature.name
        found[name] = (*found.get(name, ()), *_nodes(function.node_def))
    return found


def _nodes(messages: Iterable[Any]) -> tuple[GraphNode, ...]:
    return tuple(map(_node, messages))


def _node(message: Any) -> GraphNode:
    attributes = list(_flat(message.attr))
    texts: dict[str, tuple[str, ...]] = {}
    for key, value in attributes:
        own = [value.s] if value.HasField("s") else []
        texts[key] = (*texts.get(key, ()), *(text.decode(errors="replace") for text in (*own, *value.list.s)))
    calls = tuple(function.name for _, value in attributes for function in _called(value))
    stated = {entry.key: entry.value for entry in message.attr}
    typed = next((stated[key].type for key in RESULT_TYPES if key in stated and stated[key].type), 0)
    shapes = tuple(map(_shape, stated["_output_shapes"].list.shape)) if "_output_shapes" in stated else ()
    if not shapes and message.op in PLACEHOLDERS and "shape" in stated:
        shapes = (_shape(stated["shape"].shape),)
    return GraphNode(
        message.op, message.name, tuple(message.input), calls, texts, _held(message, texts), dtype_of(typed) if typed else "", shapes
    )


def _flat(entries: Any, above: str = "") -> Iterable[tuple[str, Any]]:
    """Every attribute, those of the functions that an attribute names too: ``body.T`` for ``T`` of the function in ``body``."""
    for entry in entries:
        key = f"{above}.{entry.key}" if above else entry.key
        yield key, entry.value
        for function in _called(entry.value):
            yield from _flat(function.attr, key)


def _called(value: Any) -> list[Any]:
    """The functions that an attribute names."""
    return [*value.list.func, *([value.func] if value.HasField("func") else [])]


def _held(message: Any, texts: Mapping[str, tuple[str, ...]]) -> TensorSpec | None:
    """What a constant or a variable holds; ``None`` for a single number and for any other node."""
    own = {entry.key: entry.value for entry in message.attr}
    if message.op == "Const" and "value" in own and own["value"].HasField("tensor"):
        tensor = own["value"].tensor
        spec = TensorSpec(message.name, dtype_of(tensor.dtype), _shape(tensor.tensor_shape))
        return spec if spec.shape else None
    if message.op in VARIABLES and "shape" in own and own["shape"].HasField("shape"):
        dtype = dtype_of(own["dtype"].type) if "dtype" in own else "unknown"
        return TensorSpec((texts.get("shared_name") or ("",))[0] or message.name, dtype, _shape(own["shape"].shape))
    return None


def _signature(message: Any) -> Signature:
    # A protobuf map has no order of its own: the tensors are taken by name.
    inputs, outputs = ({entry.key: _spec(entry) for entry in side} for side in (message.inputs, message.outputs))
    return Signature(tuple(inputs[name] for name in sorted(inputs)), tuple(outputs[name] for name in sorted(outputs)))


def _spec(entry: Any) -> TensorSpec:
    # A shape that is not in the file is the empty message: that of a single value.
    return TensorSpec(entry.key, dtype_of(entry.value.dtype), _shape(entry.value.tensor_shape))


def _read_by(signatures: Iterable[Any]) -> tuple[str, ...]:
    """The nodes that the outputs of these signatures are read from."""
    return tuple(_node_of(name) for entry in signatures for output in entry.value.outputs for name in _tensors_of(output.value))


def _tensors_of(info: Any) -> Iterable[str]:
    """The tensors of one output: a sparse or composite one is read by its parts."""
    sparse = info.coo_sparse
    names = (info.name, sparse.values_tensor_name, sparse.indices_tensor_name, sparse.dense_shape_tensor_name)
    yield from filter(None, names)
    for part in info.composite_tensor.components:
        yield from _tensors_of(part)


def _shape(message: Any) -> tuple[int | str, ...]:
    if message.unknown_rank:
        return (ANY_RANK,)
    return tuple(dim.size if dim.size >= 0 else BATCH if axis == 0 else "?" for axis, dim in enumerate(message.dim))


def dtype_of(number: int) -> str:
    """NumPy's name for a tensorflow.DataType, or ours where NumPy has none."""
    return DTYPES.get(number - 100 if number > 100 else number, "unknown")


def _node_of(tensor: str) -> str:
    return tensor.removeprefix("^").partition(":")[0]

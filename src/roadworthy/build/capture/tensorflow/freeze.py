"""A TensorFlow function as a GraphDef that needs nothing else: no variable, no call, no placeholder but the signature's."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from roadworthy.build.capture.exporter_errors import Refused
from roadworthy.core.types import Signature
from roadworthy.frameworks.tensorflow import framework, keras_model
from roadworthy.frameworks.tensorflow import graph as tensorflow_graph
from roadworthy.frameworks.tensorflow.entry import GraphEntry, Port

_VARIABLES = ("VarHandleOp", "ReadVariableOp", "ResourceGather", "Variable", "VariableV2", "AssignVariableOp", "Assign")
_TABLES = ("HashTable", "HashTableV2", "MutableHashTableV2", "LookupTableFind", "LookupTableFindV2", "LookupTableImportV2")
_HELD_TOGETHER = ("_XlaMustCompile", "_noinline", "api_implements")
"""Attributes that stop TensorFlow from inlining a function; no converter reads a call that is not inlined."""


def frozen(call: Callable[..., Any], signature: Signature) -> tuple[Any, GraphEntry]:
    """``call`` as a GraphDef, and how that is called; placeholders and outputs have the signature's names where TensorFlow allows it.

    ``call`` takes tensors in the order of the signature's inputs, of exactly its shapes, and gives a list in the order of its
    outputs. Raises Refused for what cannot be a constant; an exception of the tracing passes through.
    """
    tf = framework.framework()
    arguments = [keras_model.tensor_spec(spec) for spec in signature.inputs]
    traced = tf.function(call, input_signature=arguments, autograph=False).get_concrete_function()
    graph, entry = tensorflow_graph.frozen(traced)
    return trimmed(_inlined(graph, entry), entry, signature)


def trimmed(graph: Any, entry: GraphEntry, signature: Signature) -> tuple[Any, GraphEntry]:
    """The frozen GraphDef ``graph`` with what the outputs need and no more, under the signature's names; Refused as by ``frozen``."""
    graph = _pruned(graph, entry)
    _refuse_state(graph)
    known = {port.tensor.partition(":")[0] for port in entry.inputs[: len(signature.inputs)]}
    if extra := [node.name for node in graph.node if node.op.startswith("Placeholder") and node.name not in known]:
        raise Refused(f"the frozen graph needs more than the model's inputs: {', '.join(extra)}")
    for node in graph.node:
        if node.op == "RandomUniform":
            _without_draw(graph, node)
    return _named(graph, entry, signature)


def _inlined(graph: Any, entry: GraphEntry) -> Any:
    """``graph`` with the bodies of its functions in the place of their calls; loops and branches keep theirs."""
    calls = [node for nodes in _bodies(graph) for node in nodes if node.op in ("PartitionedCall", "StatefulPartitionedCall")]
    if not calls:
        return graph
    for marked in (*calls, *graph.library.function):
        for attribute in _HELD_TOGETHER:
            marked.attr.pop(attribute, None)
    tf = framework.framework()
    from tensorflow.core.protobuf import config_pb2, meta_graph_pb2
    from tensorflow.python.grappler import tf_optimizer

    with tf.Graph().as_default() as known:
        tf.graph_util.import_graph_def(graph, name="")
        meta = tf.compat.v1.train.export_meta_graph(graph_def=graph, graph=known)
    kept = meta_graph_pb2.CollectionDef()
    kept.node_list.value.extend(port.tensor for port in (*entry.inputs, *entry.outputs))
    meta.collection_def["train_op"].CopyFrom(kept)  # where the optimiser looks for what must stay
    config = config_pb2.ConfigProto()
    config.graph_options.rewrite_options.min_graph_nodes = -1
    config.graph_options.rewrite_options.optimizers.append("function")
    return tf_optimizer.OptimizeGraph(config, meta)


def _pruned(graph: Any, entry: GraphEntry) -> Any:
    """What the outputs need, and every input whether they need it or not."""
    tf = framework.framework()
    wanted = [port.tensor.partition(":")[0] for port in (*entry.outputs, *entry.inputs)]
    return tf.compat.v1.graph_util.extract_sub_graph(graph, list(dict.fromkeys(wanted)))


def _named(graph: Any, entry: GraphEntry, signature: Signature) -> tuple[Any, GraphEntry]:
    """``graph`` with each placeholder under its input's name, and an identity under each output's, where that name is free."""
    tf = framework.framework()
    taken = {node.name for node in graph.node}
    renamed: dict[str, str] = {}
    for port, spec in zip(entry.inputs, signature.inputs, strict=True):
        taken.discard(port.tensor.partition(":")[0])
        renamed[port.tensor.partition(":")[0]] = _free(spec.name, taken)
    for node in graph.node:
        node.name = renamed.get(node.name, node.name)
        for number, name in enumerate(node.input):
            node.input[number] = _with_name(name, renamed)
    outputs = []
    for port, spec in zip(entry.outputs, signature.outputs, strict=True):
        node = graph.node.add(name=_free(spec.name, taken), op="Identity", input=[_with_name(port.tensor.removesuffix(":0"), renamed)])
        node.attr["T"].type = tf.string.as_datatype_enum if spec.dtype == "object" else tf.as_dtype(spec.dtype).as_datatype_enum
        outputs.append(Port(spec.name, f"{node.name}:0"))
    inputs = tuple(Port(spec.name, f"{name}:0") for spec, name in zip(signature.inputs, renamed.values(), strict=True))
    return graph, GraphEntry(inputs, tuple(outputs))


def _free(name: str, taken: set[str]) -> str:
    """``name`` in TensorFlow's syntax, with a number appended if it is in use; it is in use from then on."""
    plain = "".join(letter if letter.isascii() and (letter.isalnum() or letter in "_./-") else "_" for letter in name)
    plain = plain if plain[:1].isascii() and plain[:1].isalnum() else f"tensor{plain}"
    free = next(one for number in range(len(taken) + 1) if (one := f"{plain}_{number}" if number else plain) not in taken)
    taken.add(free)
    return free


def _with_name(reference: str, renamed: dict[str, str]) -> str:
    """A node's input, ``x``, ``x:1`` or ``^x``, with the new name of ``x``."""
    mark, name = ("^", reference[1:]) if reference.startswith("^") else ("", reference)
    node, colon, number = name.partition(":")
    return f"{mark}{renamed.get(node, node)}{colon}{number}"


def _without_draw(graph: Any, node: Any) -> None:
    """Put 0.5 in the place of numbers drawn from [0, 1), which a dropout that keeps everything still draws.

    The original was seen to give the same answer whatever it draws; the proof sees whether this one gives that answer.
    """
    tf = framework.framework()
    half = graph.node.add(name=f"{node.name}/half", op="Const")
    half.attr["dtype"].CopyFrom(node.attr["dtype"])
    half.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(0.5, tf.as_dtype(node.attr["dtype"].type)))
    size, dtype = node.attr["T"].type, node.attr["dtype"].type
    node.op = "Fill"
    node.input.insert(1, half.name)
    node.attr.clear()
    node.attr["T"].type, node.attr["index_type"].type = dtype, size


def _refuse_state(graph: Any) -> None:
    for nodes in _bodies(graph):
        for node in nodes:
            if node.op in _VARIABLES:
                raise Refused(f"the variable {node.name} ({node.op}) could not be frozen")
            if node.op in _TABLES:
                raise Refused(f"it looks values up in a table ({node.name}, {node.op}), which cannot be frozen")


def _bodies(graph: Any) -> Iterable[Any]:
    """The nodes of the graph, and those of each function in its library."""
    yield graph.node
    for function in graph.library.function:
        yield function.node_def

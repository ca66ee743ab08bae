"""A TensorFlow graph in a session of its own, as a Model: the reference that its frozen form is held against before it is kept."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from roadworthy.build.sources import inference_mode
from roadworthy.build.sources.model import Model
from roadworthy.build.sources.tensorflow import constant_branches, training_flags
from roadworthy.build.sources.tensorflow.endpoints import VARIABLES, Ends
from roadworthy.core.errors import SourceError, StepFailed
from roadworthy.core.stages import Graph
from roadworthy.core.types import BYTES, Array, Arrays, Signature, TensorSpec
from roadworthy.frameworks.tensorflow import entry as tensorflow_entry
from roadworthy.frameworks.tensorflow import framework
from roadworthy.frameworks.tensorflow import function as tensorflow_function
from roadworthy.frameworks.tensorflow.entry import Constant, GraphEntry, Port

FORMAT = "graphdef"
MODES = "a TensorFlow graph has no modes beside its own switches: what it does was tested"


def model(session: Any, ends: Ends, frozen: Callable[[], Any], *, path: Path, proofs: tuple[str, ...], notes: tuple[str, ...]) -> Model:
    """The graph of the ``tf.compat.v1.Session`` between its ``ends``.

    ``frozen`` gives it as a GraphDef without variables. What is kept is that, with the switches set; it is kept only after it
    gave the session's own answers, through the very code that runs it later (SourceError otherwise).
    """
    graph = session.graph
    outputs = [graph.get_tensor_by_name(port.tensor) for port in ends.outputs]
    fixed = {one.tensor: one.value for one in ends.constants}
    latest: list[tuple[Arrays, dict[str, Array]]] = []

    def feed(feeds: Arrays) -> dict[str, Any]:
        given = {port.tensor: feeds[port.name] for port in ends.inputs}
        return fixed | {port.tensor: given[port.tensor].reshape(()) if port.scalar else given[port.tensor] for port in ends.inputs}

    def call(feeds: Arrays) -> dict[str, Array]:
        try:
            answers = session.run(outputs, feed(feeds))
        except Exception as problem:
            raise StepFailed(framework.first_line(problem), detail=str(problem)) from problem
        named = {port.name: _array(answer, port) for port, answer in zip(ends.outputs, answers, strict=True)}
        latest[:] = [(feeds, named)]
        return named

    def keep(signature: Signature, out: Path) -> Graph:
        graph_def = settled(frozen(), ends, signature.inputs)
        write(graph_def, _entry(ends, signature), out)
        feeds, _ = latest[0]
        expected, again = call(feeds), call(feeds)
        gap = inference_mode.difference(expected, tensorflow_function.open_function(out)(feeds))
        if gap > max(inference_mode.FLOOR, 10 * inference_mode.difference(expected, again)):
            raise SourceError(f"{path}: frozen, the graph gives other answers than its own session (by {gap:.1e} of their scale)")
        return Graph(FORMAT, out, signature, route="the original")

    def blame(first: Arrays, second: Arrays) -> str:
        return blamed(session, outputs, feed(first), feed(second), inference_mode.alike(first, second))

    same = "frozen, with its switches set, it gave what the file's own graph gave in a session"
    return Model(
        call,
        ends.specs,
        keep,
        parameters(session.graph),
        _seed,
        blame,
        (MODES, *training_flags.said(ends.constants), *proofs, same),
        (*ends.notes, *notes),
    )


def imported(graph_def: Any, path: Path) -> Any:
    """The GraphDef as a ``tf.Graph``; SourceError naming what this TensorFlow does not have."""
    tf = framework.framework()
    graph = tf.Graph()
    try:
        with graph.as_default():
            tf.graph_util.import_graph_def(graph_def, name="")
    except Exception as problem:
        raise SourceError(f"TensorFlow does not take {path}: {framework.first_line(problem)}", detail=str(problem)) from problem
    return graph


def session_of(graph: Any) -> Any:
    """A session of the ``tf.Graph`` on the CPU, whatever devices its nodes ask for."""
    tf = framework.framework()
    config = tf.compat.v1.ConfigProto(allow_soft_placement=True, device_count={"GPU": 0})
    return tf.compat.v1.Session(graph=graph, config=config)


def settled(graph: Any, ends: Ends, specs: tuple[TensorSpec, ...]) -> Any:
    """A copy of the GraphDef with what the ends need and no more.

    Switches are constants, and so are the branches that they decide; inputs are placeholders of the shapes in ``specs``; no node
    asks for a device.
    """
    tf = framework.framework()
    inputs = {port.tensor: (port, spec) for port, spec in zip(ends.inputs, specs, strict=True)}
    constants = {one.tensor.partition(":")[0]: one for one in ends.constants}
    own = tf.compat.v1.GraphDef(versions=graph.versions)
    own.library.CopyFrom(graph.library)
    for node in graph.node:
        if node.name in constants:
            own.node.append(_constant(node.name, constants[node.name]))
        elif f"{node.name}:0" in inputs:
            own.node.append(_placeholder(node, *inputs[f"{node.name}:0"], graph))
        else:
            own.node.add().CopyFrom(node)
            if node.op == "PlaceholderWithDefault":
                _as_identity(own.node[-1])
    for node in (*own.node, *(node for function in own.library.function for node in function.node_def)):
        node.device = ""
    wanted = [port.tensor.partition(":")[0] for port in (*ends.outputs, *ends.inputs)]
    names = list(dict.fromkeys(wanted))
    extract = tf.compat.v1.graph_util.extract_sub_graph
    return _with_called_functions(extract(constant_branches.decided(extract(own, names)), names))


def _with_called_functions(graph: Any) -> Any:
    """``graph`` without the functions that nothing in it calls any more."""
    known = {function.signature.name: function for function in graph.library.function}
    called: dict[str, Any] = {}
    waiting = list(graph.node)
    while waiting:
        node = waiting.pop()
        values = [value for value in node.attr.values() if value.WhichOneof("value") in ("func", "list")]
        for name in (node.op, *(one.name for value in values for one in (value.func, *value.list.func))):
            if name in known and name not in called:
                called[name] = known[name]
                waiting += known[name].node_def
    kept = [function for name, function in known.items() if name in called]
    del graph.library.function[:]
    graph.library.function.extend(kept)
    return graph


def write(graph: Any, entry: GraphEntry, out: Path) -> None:
    """Keep the GraphDef and how it is called in the directory ``out``."""
    (out / tensorflow_entry.GRAPHDEF).write_bytes(graph.SerializeToString())
    tensorflow_entry.write_entry(out, entry)


def parameters(graph: Any) -> int:
    """How many numbers the graph holds in its variables, or in its constants where those were frozen."""
    held = [op for op in graph.get_operations() if op.type in VARIABLES]
    if held:
        return sum(math.prod(variable.shape.as_list()) for variable in _trained(graph) if variable.shape.is_fully_defined())
    constants = [op.outputs[0] for op in graph.get_operations() if op.type == "Const"]
    return sum(math.prod(tensor.shape.as_list()) for tensor in constants if tensor.dtype.is_floating and tensor.shape.rank)


def _trained(graph: Any) -> list[Any]:
    tf = framework.framework()
    keys = tf.compat.v1.GraphKeys
    return list(graph.get_collection(keys.TRAINABLE_VARIABLES) or graph.get_collection(keys.GLOBAL_VARIABLES))


def _entry(ends: Ends, signature: Signature) -> GraphEntry:
    """The ports as the signature has them: one that was proven may leave an output's name, never an input's, as it was."""
    known = {port.name: port for port in ends.outputs}
    return GraphEntry(ends.inputs, tuple(known[spec.name] for spec in signature.outputs))


def _array(answer: Any, port: Port) -> Array:
    array = np.asarray(answer, dtype=object) if isinstance(answer, bytes) else np.asarray(answer)
    return array.reshape(1) if port.scalar else array


def _constant(name: str, constant: Constant) -> Any:
    tf = framework.framework()
    node = tf.compat.v1.NodeDef(name=name, op="Const")
    dtype = tf.as_dtype(constant.dtype)
    node.attr["dtype"].type = dtype.as_datatype_enum
    node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(constant.value, dtype))
    return node


def _placeholder(node: Any, port: Port, spec: TensorSpec, graph: Any) -> Any:
    """A placeholder in the place of the node that is fed, whatever that was."""
    tf = framework.framework()
    if any(name.partition(":")[0] == node.name and ":" in name for other in graph.node for name in other.input):
        raise SourceError(f"{node.name!r} ({node.op}) gives several tensors that the graph uses; name an input that gives one")
    own = tf.compat.v1.NodeDef(name=node.name, op="Placeholder")
    own.attr["dtype"].type = tf.string.as_datatype_enum if spec.dtype == BYTES else tf.as_dtype(spec.dtype).as_datatype_enum
    own.attr["shape"].shape.SetInParent()
    for size in () if port.scalar else spec.shape:
        own.attr["shape"].shape.dim.add(size=size if isinstance(size, int) else -1)
    return own


def _as_identity(node: Any) -> None:
    """A placeholder that nobody feeds gives its default."""
    node.op = "Identity"
    node.attr["T"].type = node.attr["dtype"].type
    del node.attr["dtype"], node.attr["shape"]


def _seed(seed: int) -> None:
    """A session draws on, whatever it is told afterwards; an eager call of the same process does not."""
    framework.framework().random.set_seed(seed)


def blamed(session: Any, outputs: list[Any], first: dict[str, Any], second: dict[str, Any], alike: Callable[[Array, Array], bool]) -> str:
    """The first operation, in the order of the graph, whose answers are not as they should be; LookupError where none stands out."""
    needed: set[Any] = set()
    waiting = [tensor.op for tensor in outputs]
    while waiting:
        op = waiting.pop()
        if op not in needed:
            needed.add(op)
            waiting += [tensor.op for tensor in op.inputs]
    looked = [op.outputs[0] for op in session.graph.get_operations() if op in needed and op.outputs and op.outputs[0].dtype.is_floating]
    for tensor in looked:
        try:
            here, there = session.run(tensor, first), session.run(tensor, second)
        except Exception:  # the side of a branch that is not taken has no value
            continue
        if not alike(np.asarray(here), np.asarray(there)):
            return f"{tensor.op.name!r} ({tensor.op.type})"
    raise LookupError("no operation stands out")

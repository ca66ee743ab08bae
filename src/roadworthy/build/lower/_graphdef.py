"""Frozen GraphDefs: made of any TensorFlow graph, and made ready for a converter."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from roadworthy.core.errors import RoadworthyError, StepFailed
from roadworthy.core.stages import Graph, Plan
from roadworthy.core.types import Signature
from roadworthy.frameworks.tensorflow import entry as tensorflow_entry
from roadworthy.frameworks.tensorflow import framework
from roadworthy.frameworks.tensorflow import function as tensorflow_function
from roadworthy.frameworks.tensorflow import graph as tensorflow_graph
from roadworthy.frameworks.tensorflow import session as tensorflow_session
from roadworthy.frameworks.tensorflow.entry import GraphEntry, Port


def freeze(graph: Graph, out: Path, plan: Plan) -> None:
    """Write ``graph`` ("keras", "saved_model" or "graphdef") into the directory ``out`` as a "graphdef" one, on the threads of ``plan``.

    Raises StepFailed where it does not load or its variables cannot be made constants.
    """
    if graph.format == "graphdef":
        shutil.copytree(graph.path, out, dirs_exist_ok=True)
        return
    # The candidate is opened in this very process, which takes its number of threads once.
    framework.set_threads(plan.threads)
    if graph.format == "keras":
        function = tensorflow_session.of_keras(graph.path, graph.signature)
        inputs, outputs = ([spec.name for spec in specs] for specs in (graph.signature.inputs, graph.signature.outputs))
    else:
        function, entry = tensorflow_function.concrete(graph.path), tensorflow_entry.read_entry(graph.path)
        inputs, outputs = ([port.name for port in ports] for ports in (entry.inputs, entry.outputs))
    # Freezing keeps the order of a function's arguments and results, and none of their names.
    frozen, entry = tensorflow_graph.frozen(function)
    if held := [port.name for port in entry.inputs[len(inputs) :]]:
        raise StepFailed(f"it needs a table or other state ({', '.join(held)}), which a frozen graph does not hold")
    entry = GraphEntry(_named(entry.inputs, inputs), _named(entry.outputs, outputs))
    (out / tensorflow_entry.GRAPHDEF).write_bytes(frozen.SerializeToString())
    tensorflow_entry.write_entry(out, entry)


def _named(ports: tuple[Port, ...], names: list[str]) -> tuple[Port, ...]:
    return tuple(replace(port, name=name) for port, name in zip(ports, names, strict=True))


def export(graph: Graph, out: Path, plan: Plan) -> None:
    """Write a "keras" graph into ``out`` as a "saved_model" one, likewise; StepFailed where it cannot be traced."""
    from roadworthy.frameworks.tensorflow import keras_model

    framework.set_threads(plan.threads)
    model = keras_model.load(graph.path)
    try:
        keras_model.export(model, graph.signature, out)
    except (RoadworthyError, OSError):
        raise
    except Exception as problem:
        words = f"TensorFlow cannot save {graph.path.name} as a SavedModel: {framework.first_line(problem)}"
        raise StepFailed(words, detail=str(problem)) from problem


def read(directory: Path, signature: Signature) -> tuple[Any, GraphEntry]:
    """The GraphDef of a "graphdef" directory and its entry, with the sizes that ``signature`` fixes.

    Raises StepFailed where an input or output is a single value, which only TensorFlow itself is given.
    """
    tf = framework.framework()
    entry = tensorflow_entry.read_entry(directory)
    tensorflow_entry.refuse_tables(entry)
    if single := [port.name for port in entry.inputs + entry.outputs if port.scalar]:
        raise StepFailed(f"{', '.join(single)} is a single value and not a batch of them, which TensorFlow alone runs")
    whole = tensorflow_graph.read_graph(directory / tensorflow_entry.GRAPHDEF)
    graph = tf.compat.v1.graph_util.extract_sub_graph(whole, sorted({_node(port.tensor) for port in entry.outputs}))
    nodes = {node.name: node for node in graph.node}
    if unread := [port.name for port in entry.inputs if _node(port.tensor) not in nodes]:
        raise StepFailed(f"no output depends on {', '.join(unread)}, which a converter would leave away")
    for constant in entry.constants:
        if node := nodes.get(_node(constant.tensor)):
            value = tf.make_tensor_proto(constant.array, dtype=tf.as_dtype(constant.dtype))
            node.Clear()
            node.name, node.op = _node(constant.tensor), "Const"
            node.attr["dtype"].type = value.dtype
            node.attr["value"].tensor.CopyFrom(value)
    specs = {spec.name: spec for spec in signature.inputs}
    for port in entry.inputs:
        sizes = [size if isinstance(size, int) else None for size in specs[port.name].shape]
        nodes[_node(port.tensor)].attr["shape"].shape.CopyFrom(tf.TensorShape(sizes).as_proto())
    return graph, entry


def as_saved_model(graph: Any, entry: GraphEntry, directory: Path) -> None:
    """Write ``graph`` as a SavedModel whose signature has the ports' names, which need not be identifiers."""
    tf = framework.framework()
    with tf.Graph().as_default() as live:
        tf.compat.v1.import_graph_def(graph, name="")
        ports = ({port.name: live.get_tensor_by_name(port.tensor) for port in some} for some in (entry.inputs, entry.outputs))
        save(live, {"serving_default": definition(*ports)}, directory)


def definition(inputs: Mapping[str, Any], outputs: Mapping[str, Any]) -> Any:
    """A signature of tensors of a graph by the names that a caller knows."""
    saved_model = framework.framework().compat.v1.saved_model
    infos = ({name: saved_model.build_tensor_info(tensor) for name, tensor in some.items()} for some in (inputs, outputs))
    return saved_model.build_signature_def(*infos, saved_model.PREDICT_METHOD_NAME)


def save(live: Any, definitions: Mapping[str, Any], directory: Path) -> None:
    """Write the graph ``live`` as a SavedModel with these signatures, by name, into the new ``directory``."""
    v1 = framework.framework().compat.v1
    builder = v1.saved_model.Builder(str(directory))
    with v1.Session(graph=live) as session:
        builder.add_meta_graph_and_variables(session, [v1.saved_model.SERVING], dict(definitions))
    builder.save()


def _node(tensor: str) -> str:
    return tensor.partition(":")[0]

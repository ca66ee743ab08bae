"""The original as a frozen GraphDef: traced with ``training=False`` and frozen; from a SavedModel by its signature."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from roadworthy.build.capture.exporter_errors import Refused
from roadworthy.build.capture.route import CaptureRoute, Written
from roadworthy.build.capture.tensorflow import freeze, saved_model
from roadworthy.build.capture.tensorflow.original import TensorFlowSubject
from roadworthy.core.types import Signature
from roadworthy.frameworks.tensorflow import entry as tensorflow_entry
from roadworthy.frameworks.tensorflow import framework, function, graph_session
from roadworthy.frameworks.tensorflow import graph as tensorflow_graph
from roadworthy.frameworks.tensorflow import session as tensorflow_session
from roadworthy.frameworks.tensorflow.entry import GraphEntry, Port

Call = Callable[..., Any]


def routes(subject: TensorFlowSubject) -> Iterator[CaptureRoute]:
    """What the original offers to call; then the long way round."""
    if subject.graph.format == "keras":
        yield CaptureRoute(
            "the model's call, frozen",
            lambda subject, out: _write(tensorflow_session.of_keras(subject.graph.path, subject.signature), subject, out),
        )
        yield CaptureRoute("exported, then frozen", _by_export)
        return
    yield CaptureRoute("the signature, frozen", lambda subject, out: _write(function.concrete(subject.graph.path), subject, out))
    yield CaptureRoute("the signature, frozen in a session", lambda subject, out: _write(_session_call(subject.graph.path), subject, out))


def frozen(subject: TensorFlowSubject) -> tuple[Any, GraphEntry]:
    """The GraphDef that another format starts from: the one captured before, or that of the first route."""
    if subject.exported:
        return tensorflow_graph.read_graph(subject.exported / tensorflow_entry.GRAPHDEF), tensorflow_entry.read_entry(subject.exported)
    path = subject.graph.path
    if subject.graph.format == "keras":
        return freeze.frozen(tensorflow_session.of_keras(path, subject.signature), subject.signature)
    if subject.graph.format == "graphdef":
        graph, entry = tensorflow_graph.read_graph(path / tensorflow_entry.GRAPHDEF), tensorflow_entry.read_entry(path)
        if graph_session.needed(graph, entry):
            return _as_it_is(graph, entry, subject.signature)
        return freeze.frozen(tensorflow_graph.graph_function(graph, entry), subject.signature)
    return freeze.frozen(function.concrete(path), subject.signature)


def _as_it_is(graph: Any, entry: GraphEntry, signature: Signature) -> tuple[Any, GraphEntry]:
    """A graph that no ``tf.function`` takes, with the sizes of ``signature``."""
    if single := [port.name for port in (*entry.inputs, *entry.outputs) if port.scalar]:
        raise Refused(f"{', '.join(single)} is a single value and not a batch of them, which TensorFlow alone runs")
    graph, entry = freeze.trimmed(graph, entry, signature)
    nodes = {node.name: node for node in graph.node}
    for port, spec in zip(entry.inputs, signature.inputs, strict=True):
        sizes = [size if isinstance(size, int) else None for size in spec.shape]
        nodes[port.tensor.partition(":")[0]].attr["shape"].shape.CopyFrom(framework.framework().TensorShape(sizes).as_proto())
    return graph, entry


def _write(call: Call, subject: TensorFlowSubject, out: Path) -> Written:
    graph, entry = freeze.frozen(call, subject.signature)
    (out / tensorflow_entry.GRAPHDEF).write_bytes(graph.SerializeToString(deterministic=True))
    tensorflow_entry.write_entry(out, entry)
    return Written(out, subject.signature)


def _by_export(subject: TensorFlowSubject, out: Path) -> Written:
    with tempfile.TemporaryDirectory() as folder:
        saved_model.export(subject, Path(folder))
        return _write(function.concrete(Path(folder)), subject, out)


def _session_call(path: Path) -> Call:
    """The signature as TensorFlow 1 froze it: the whole graph in a session, its variables turned into constants."""
    tf = framework.framework()
    from tensorflow.python.saved_model import loader_impl

    entry = tensorflow_entry.read_entry(path)
    tags = list(loader_impl.parse_saved_model(str(path / tensorflow_entry.SAVED_MODEL)).meta_graphs[0].meta_info_def.tags)
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        meta = tf.compat.v1.saved_model.load(session, tags, str(path / tensorflow_entry.SAVED_MODEL))
        known = meta.signature_def[entry.signature]
        inside = GraphEntry(
            tuple(Port(port.name, known.inputs[port.tensor].name, port.scalar) for port in entry.inputs),
            tuple(Port(port.name, known.outputs[port.tensor].name, port.scalar) for port in entry.outputs),
            constants=tuple(replace(one, tensor=known.inputs[one.tensor].name) for one in entry.constants),
        )
        nodes = [port.tensor.partition(":")[0] for port in inside.outputs]
        graph = tf.compat.v1.graph_util.convert_variables_to_constants(session, session.graph.as_graph_def(), nodes)
    call: Call = tensorflow_graph.graph_function(graph, inside)
    return call

"""The original as a frozen GraphDef: traced with ``training=False`` and frozen; from a SavedModel by its signature."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from roadworthy.build.capture import freeze, saved_model
from roadworthy.build.capture.routes import Route, Written
from roadworthy.build.capture.subject_tensorflow import TensorFlowSubject
from roadworthy.runtimes import _functions, _tensorflow
from roadworthy.runtimes._tensorflow import Constant, Entry, Port

Call = Callable[..., Any]


def routes(subject: TensorFlowSubject) -> Iterator[Route]:
    """What the original offers to call; then the long way round."""
    if subject.graph.format == "keras":
        yield Route(
            "the model's call, frozen",
            lambda subject, out: _write(_functions.of_keras(subject.graph.path, subject.signature), subject, out),
        )
        yield Route("exported, then frozen", _by_export)
        return
    yield Route("the signature, frozen", lambda subject, out: _write(_tensorflow.concrete(subject.graph.path), subject, out))
    yield Route("the signature, frozen in a session", lambda subject, out: _write(_session_call(subject.graph.path), subject, out))


def frozen(subject: TensorFlowSubject) -> tuple[Any, Entry]:
    """The GraphDef that another format starts from: the one captured before, or that of the first route."""
    if subject.exported:
        return _tensorflow.read_graph(subject.exported / _tensorflow.GRAPHDEF), _tensorflow.read_entry(subject.exported)
    path = subject.graph.path
    call = _functions.of_keras(path, subject.signature) if subject.graph.format == "keras" else _tensorflow.concrete(path)
    return freeze.frozen(call, subject.signature)


def _write(call: Call, subject: TensorFlowSubject, out: Path) -> Written:
    graph, entry = freeze.frozen(call, subject.signature)
    (out / _tensorflow.GRAPHDEF).write_bytes(graph.SerializeToString(deterministic=True))
    _tensorflow.write_entry(out, entry)
    return Written(out, subject.signature)


def _by_export(subject: TensorFlowSubject, out: Path) -> Written:
    with tempfile.TemporaryDirectory() as folder:
        saved_model.export(subject, Path(folder))
        return _write(_tensorflow.concrete(Path(folder)), subject, out)


def _session_call(path: Path) -> Call:
    """The signature as TensorFlow 1 froze it: the whole graph in a session, its variables turned into constants."""
    tf = _tensorflow.framework()
    from tensorflow.python.saved_model import loader_impl

    entry = _tensorflow.read_entry(path)
    tags = list(loader_impl.parse_saved_model(str(path / _tensorflow.SAVED_MODEL)).meta_graphs[0].meta_info_def.tags)
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        meta = tf.compat.v1.saved_model.load(session, tags, str(path / _tensorflow.SAVED_MODEL))
        known = meta.signature_def[entry.signature]
        inside = Entry(
            tuple(Port(port.name, known.inputs[port.tensor].name, port.scalar) for port in entry.inputs),
            tuple(Port(port.name, known.outputs[port.tensor].name, port.scalar) for port in entry.outputs),
            constants=tuple(Constant(known.inputs[one.tensor].name, one.dtype, one.value) for one in entry.constants),
        )
        nodes = [port.tensor.partition(":")[0] for port in inside.outputs]
        graph = tf.compat.v1.graph_util.convert_variables_to_constants(session, session.graph.as_graph_def(), nodes)
    call: Call = _tensorflow.graph_function(graph, inside)
    return call

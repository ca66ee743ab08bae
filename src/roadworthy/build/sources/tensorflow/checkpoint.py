"""A TensorFlow 1 checkpoint: the graph of its ``.meta`` with the values of its variables, which are frozen while it is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from roadworthy.build.sources.model import Model
from roadworthy.build.sources.tensorflow import endpoints, session_model, tables
from roadworthy.core.errors import ArchitectureMismatch, SourceError, SourceUnreadable
from roadworthy.core.stages import Source
from roadworthy.frameworks.tensorflow import framework, graph_session

META = ".meta"


def read(source: Source) -> Model:
    """The graph of ``source`` (its ``.meta`` file) restored in a session; SourceError where that fails."""
    tf = framework.framework()
    prefix = str(source.path).removesuffix(META)
    graph = tf.Graph()
    with graph.as_default():
        saver = _imported(source.path)
        session = graph_session.session_of(graph)
        _restore(saver, session, Path(prefix))
    found = endpoints.find(graph, source.path, source.inputs, source.outputs)
    needed = endpoints.ancestors([graph.get_tensor_by_name(port.tensor) for port in found.outputs])
    _refuse_empty(session, needed, source.path)
    tables.prepare(session, found, source.path)
    proof = f"every variable that the answers need was restored from {Path(prefix).name}"
    return session_model.model(session, found, session_model.freezing(session, found), source.path, (proof,))


def _imported(path: Path) -> Any:
    """The Saver of the file, or one over every variable, with the file's graph as the default one."""
    tf = framework.framework()
    try:
        saver = tf.compat.v1.train.import_meta_graph(str(path), clear_devices=True)
        return saver or (tf.compat.v1.train.Saver() if tf.compat.v1.global_variables() else None)
    except Exception as problem:
        raise SourceError(
            f"TensorFlow does not take the graph of {path}: {framework.first_line(problem)}", detail=str(problem)
        ) from problem


def _restore(saver: Any, session: Any, prefix: Path) -> None:
    tf = framework.framework()
    if saver is None:
        return
    try:
        saver.restore(session, str(prefix))
    except (tf.errors.NotFoundError, tf.errors.InvalidArgumentError, ValueError) as problem:
        said = framework.first_line(problem)
        if tf.compat.v1.train.checkpoint_exists(str(prefix)):
            raise ArchitectureMismatch(f"{prefix} does not fit the graph beside it: {said}", detail=str(problem)) from problem
        raise SourceUnreadable(
            f"the values of {prefix.name} are missing: the .index and .data files belong beside the .meta", detail=said
        ) from problem
    except Exception as problem:
        raise SourceUnreadable(
            f"{prefix} is cut short or damaged; fetch it again ({framework.first_line(problem)})", detail=str(problem)
        ) from problem


def _refuse_empty(session: Any, needed: set[Any], path: Path) -> None:
    """ArchitectureMismatch for a variable among the operations ``needed`` that the checkpoint has no value for."""
    tf = framework.framework()
    with session.graph.as_default():
        for variable in tf.compat.v1.global_variables() + tf.compat.v1.local_variables():
            if variable.op in needed and not session.run(tf.compat.v1.is_variable_initialized(variable)):
                raise ArchitectureMismatch(f"{path}: the checkpoint has no value for the variable {variable.op.name}")

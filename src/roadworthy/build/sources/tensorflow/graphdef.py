"""A frozen GraphDef, the ``.pb`` of TensorFlow 1: its endpoints are searched for, or stated by the user."""

from __future__ import annotations

from roadworthy.build.sources.model import Model
from roadworthy.build.sources.tensorflow import endpoints, output_search, session_model, tables
from roadworthy.core.errors import SourceError, SourceUnreadable, StepFailed
from roadworthy.core.stages import Source
from roadworthy.frameworks.tensorflow import graph as tensorflow_graph
from roadworthy.frameworks.tensorflow import graph_session


def read(source: Source) -> Model:
    """The graph of ``source``, in a session; SourceError where it holds variables that it has no values for."""
    try:
        graph_def = tensorflow_graph.read_graph(source.path)
    except StepFailed as problem:
        raise SourceUnreadable(f"{source.path} is cut short or damaged; fetch it again", detail=problem.detail) from problem
    graph = session_model.imported(graph_def, source.path)
    unfrozen = [op.name for op in graph.get_operations() if op.type in output_search.VARIABLES]
    if unfrozen:
        raise SourceError(
            f"{source.path} is not frozen: it has variables ({', '.join(unfrozen[:3])}) and no values for them; "
            "give the checkpoint (the .meta file with its .index and .data beside it) instead"
        )
    found = endpoints.find(graph, source.path, source.inputs, source.outputs)
    session = graph_session.session_of(graph)
    tables.prepare(session, found, source.path)
    return session_model.model(session, found, lambda: graph_def, source.path)

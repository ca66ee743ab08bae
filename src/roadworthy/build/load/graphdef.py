"""A frozen GraphDef, the ``.pb`` of TensorFlow 1: where it begins and ends is found in the graph, or said."""

from __future__ import annotations

from roadworthy.build.load import ends, graph_model
from roadworthy.build.load.opened import Model
from roadworthy.core.errors import SourceError, SourceUnreadable, StepFailed
from roadworthy.core.stages import Source
from roadworthy.runtimes import _tensorflow


def read(source: Source) -> Model:
    """The graph of ``source``, live in a session of its own; SourceError where it holds variables that it has no values for."""
    try:
        graph_def = _tensorflow.read_graph(source.path)
    except StepFailed as problem:
        raise SourceUnreadable(f"{source.path} is cut short or damaged; fetch it again", detail=problem.detail) from problem
    graph = graph_model.imported(graph_def, source.path)
    unfrozen = [op.name for op in graph.get_operations() if op.type in ends.VARIABLES]
    if unfrozen:
        raise SourceError(
            f"{source.path} is not frozen: it has variables ({', '.join(unfrozen[:3])}) and no values for them; "
            "give the checkpoint (the .meta file with its .index and .data beside it) instead"
        )
    found = ends.find(graph, source.path, source.inputs, source.outputs)
    return graph_model.model(graph_model.session_of(graph), found, lambda: graph_def, source.path)

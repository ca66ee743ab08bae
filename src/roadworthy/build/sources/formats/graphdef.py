"""A frozen GraphDef, the ``.pb`` of TensorFlow 1: it does not state where it begins and ends."""

from __future__ import annotations

from roadworthy.build.sources.model import Model
from roadworthy.build.sources.parsers import tf_graph, tf_operators
from roadworthy.build.sources.parsers.protobuf import BYTES, VARINT
from roadworthy.build.sources.source_file import SourceFile
from roadworthy.build.sources.static_facts import StaticFacts
from roadworthy.build.sources.tensorflow import static_outputs
from roadworthy.core.stages import Source

KIND = "graphdef"
FRAMEWORK = "tensorflow"
SUFFIXES = (".pb",)


def sniff(file: SourceFile) -> bool:
    """A GraphDef: nodes (1), a library (2), versions (3 is a number, 4 a message) and debug information (5).

    The MetaGraphDef of a checkpoint has the same numbers, with a message in field 3 (``formats/tf1.py``).
    """
    return file.fields.get(1) == BYTES and set(file.fields) <= {1, 2, 3, 4, 5} and file.fields.get(3, VARINT) == VARINT


def inspect(file: SourceFile) -> StaticFacts:
    """Its constants are its weights."""
    graph = tf_graph.graph_def(file.path)
    executes = tf_operators.beyond_computing(graph)
    return StaticFacts(
        graph.tensors,
        executes=executes,
        notes=(tf_graph.described(graph), *static_outputs.notes(graph)),
        refusal=tf_operators.refusal(executes),
        open_outputs=True,
    )


def open(source: Source) -> Model:
    """The graph in a session; see ``graphdef.read`` for what it raises."""
    from roadworthy.build.sources.tensorflow import graphdef

    return graphdef.read(source)

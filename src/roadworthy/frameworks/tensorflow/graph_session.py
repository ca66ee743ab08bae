"""A TensorFlow 1 graph in a session of its own: loops as TensorFlow 1 wrote them, and tables that are filled when it is opened.

Before its control flow v2 TensorFlow wrote a loop as single operations (Enter, Merge, Switch, NextIteration, Exit), which run in the
loop's frame. A ``tf.function`` orders stateful operations by edges of its own; where such an edge leads from one frame to another the
graph is refused ("inputs from different frames"). A session runs it as it is.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from roadworthy.core.errors import StepFailed
from roadworthy.core.types import Array, Arrays
from roadworthy.frameworks.tensorflow.entry import GraphEntry, Port
from roadworthy.frameworks.tensorflow.framework import explained, first_line, framework

LOOPS = frozenset({"Enter", "RefEnter"})
WHY = "it holds loops as TensorFlow 1 wrote them, or tables to fill, which TensorFlow runs in a session alone"


def needed(graph: Any, entry: GraphEntry) -> bool:
    """Whether the GraphDef ``graph`` runs in a session alone."""
    return bool(entry.initialisers) or any(node.op in LOOPS for node in graph.node)


def session_of(graph: Any) -> Any:
    """A session of the ``tf.Graph`` on the CPU, whatever devices its nodes ask for, on this process's threads."""
    tf = framework()
    config = tf.compat.v1.ConfigProto(
        allow_soft_placement=True,
        device_count={"GPU": 0},
        intra_op_parallelism_threads=tf.config.threading.get_intra_op_parallelism_threads(),
        inter_op_parallelism_threads=tf.config.threading.get_inter_op_parallelism_threads(),
    )
    return tf.compat.v1.Session(graph=graph, config=config)


class SessionFunction:
    """The graph of a session as a plain function between the ports of ``entry``: arrays by name in, arrays by name out.

    For example the input ``x`` (tensor ``x:0``), the output ``probs`` (tensor ``softmax:0``) and the constant ``is_training:0 = False``:
    ``call({"x": array})`` runs ``softmax:0`` with the feeds {``x:0``: array, ``is_training:0``: False}. A session casts what it is fed
    to the type of the placeholder.
    """

    def __init__(self, session: Any, entry: GraphEntry) -> None:
        self.session, self.entry = session, entry
        self.outputs = [session.graph.get_tensor_by_name(port.tensor) for port in entry.outputs]

    def __call__(self, feeds: Arrays) -> dict[str, Array]:
        """The outputs for ``feeds``; StepFailed, in one line, where the graph fails on them."""
        try:
            answers = self.session.run(self.outputs, self.by_tensor(feeds))
        except Exception as problem:
            raise StepFailed(f"the model failed on this input: {first_line(problem)}", detail=str(problem)) from problem
        return {port.name: _array(answer, port) for port, answer in zip(self.entry.outputs, answers, strict=True)}

    def by_tensor(self, feeds: Arrays) -> dict[str, Any]:
        """What the session is fed for ``feeds``, the constants included."""
        given = {port.tensor: feeds[port.name].reshape(()) if port.scalar else feeds[port.name] for port in self.entry.inputs}
        return {one.tensor: one.array for one in self.entry.constants} | given


def opened(graph: Any, entry: GraphEntry) -> SessionFunction:
    """The GraphDef ``graph`` in a session of its own, its tables filled; StepFailed where TensorFlow does not take it."""
    tf = framework()
    with explained("the graph"):
        own = tf.Graph()
        with own.as_default():
            tf.graph_util.import_graph_def(graph, name="")
        session = session_of(own)
        session.run([own.get_operation_by_name(name) for name in entry.initialisers])
        return SessionFunction(session, entry)


def _array(answer: Any, port: Port) -> Array:
    array: Array = np.asarray(answer, dtype=object) if isinstance(answer, bytes) else np.asarray(answer)
    return array.reshape(1) if port.scalar else array

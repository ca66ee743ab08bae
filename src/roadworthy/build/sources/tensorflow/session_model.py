"""A TensorFlow 1 graph in a session as a ``Model``: the reference that its frozen form is compared with before it is kept."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from roadworthy.build.sources import inference_mode, same_answers
from roadworthy.build.sources.model import Model, SameAnswer
from roadworthy.build.sources.tensorflow import inference_graph, tables, training_flags
from roadworthy.build.sources.tensorflow.endpoints import Endpoints, ancestors
from roadworthy.build.sources.tensorflow.output_search import VARIABLES
from roadworthy.core.errors import SourceError
from roadworthy.core.stages import Graph
from roadworthy.core.types import Array, Arrays, BoundInput, Signature
from roadworthy.frameworks.tensorflow import entry as tensorflow_entry
from roadworthy.frameworks.tensorflow import framework
from roadworthy.frameworks.tensorflow import function as tensorflow_function
from roadworthy.frameworks.tensorflow.entry import GraphEntry
from roadworthy.frameworks.tensorflow.graph_session import SessionFunction

FORMAT = "graphdef"
MODES = "a TensorFlow graph has no modes beside its training flags: what it does was tested"
SAME = "frozen, with its training flags set, it gave what the file's own graph gave in a session"


def model(session: Any, endpoints: Endpoints, frozen: Callable[[], Any], path: Path, proofs: tuple[str, ...] = ()) -> Model:
    """The graph of the ``tf.compat.v1.Session`` between its ``endpoints``; ``frozen`` gives it as a GraphDef without variables.

    What is kept is that GraphDef, with the training flags set, and only after it gave the session's own answers through the code
    that runs it later (SourceError otherwise). ``proofs`` are sentences of the reader.
    """
    live = SessionModel(session, endpoints, frozen, path)

    def bind(bound: tuple[BoundInput, ...]) -> Model:
        constants = tensorflow_entry.fixed(endpoints.inputs, bound)
        fed = {one.tensor for one in constants}
        rest = [(port, spec) for port, spec in zip(endpoints.inputs, endpoints.specs, strict=True) if port.tensor not in fed]
        own = replace(
            endpoints,
            inputs=tuple(port for port, _ in rest),
            specs=tuple(spec for _, spec in rest),
            constants=(*endpoints.constants, *constants),
        )
        return model(session, own, frozen, path, proofs)

    return Model(
        live.call,
        endpoints.specs,
        live.keep,
        parameters(session.graph),
        _seed,
        live.locate,
        (MODES, *training_flags.said(endpoints.constants), *proofs, SAME),
        endpoints.notes,
        single=all(spec.sample_axis is None for spec in endpoints.specs),
        bind=bind,
    )


def freezing(session: Any, endpoints: Endpoints) -> Callable[[], Any]:
    """How the graph of ``session`` becomes a GraphDef whose variables are constants."""
    tensors = [port.tensor for port in (*endpoints.outputs, *endpoints.inputs)] + [one.tensor for one in endpoints.constants]
    names = list(dict.fromkeys(tensor.partition(":")[0] for tensor in tensors))
    convert = framework.framework().compat.v1.graph_util.convert_variables_to_constants
    return lambda: convert(session, session.graph.as_graph_def(), names)


class SessionModel:
    """The graph of a session between its endpoints, and the answers that its kept form must give again."""

    def __init__(self, session: Any, endpoints: Endpoints, frozen: Callable[[], Any], path: Path) -> None:
        self._endpoints, self._frozen, self._path = endpoints, frozen, path
        self._function = SessionFunction(session, GraphEntry(endpoints.inputs, endpoints.outputs, constants=endpoints.constants))
        self._latest: Arrays = {}

    def call(self, feeds: Arrays) -> dict[str, Array]:
        """The outputs by name; StepFailed, in one line, where the graph fails on ``feeds``."""
        answers = self._function(feeds)
        self._latest = feeds
        return answers

    def keep(self, signature: Signature, out: Path) -> Graph:
        """The frozen graph in ``out``, after it gave the session's answers to the latest call again."""
        graph = inference_graph.inference_graph(self._frozen(), self._endpoints, signature.inputs)
        initialisers = tables.fill(graph, self._function.session)
        (out / tensorflow_entry.GRAPHDEF).write_bytes(graph.SerializeToString())
        # The signature may have the outputs in another order.
        known = {port.name: port for port in self._endpoints.outputs}
        outputs = tuple(known[spec.name] for spec in signature.outputs)
        tensorflow_entry.write_entry(out, GraphEntry(self._endpoints.inputs, outputs, initialisers=initialisers))
        feeds = self._latest
        expected, again = self.call(feeds), self.call(feeds)
        gap = same_answers.difference(expected, tensorflow_function.open_function(out)(feeds))
        if gap > max(inference_mode.FLOOR, 10 * same_answers.difference(expected, again)):
            raise SourceError(f"{self._path}: frozen, the graph gives other answers than its own session (by {gap:.1e} of their scale)")
        return Graph(FORMAT, out, signature, route="the original")

    def locate(self, first: Arrays, second: Arrays, same: SameAnswer) -> str:
        """The operation whose answers begin to differ between two runs."""
        own = self._function
        return locate(own.session, own.outputs, own.by_tensor(first), own.by_tensor(second), same)


def imported(graph_def: Any, path: Path) -> Any:
    """The GraphDef as a ``tf.Graph``; SourceError naming the operation that this TensorFlow does not have."""
    tf = framework.framework()
    graph = tf.Graph()
    try:
        with graph.as_default():
            tf.graph_util.import_graph_def(graph_def, name="")
    except Exception as problem:
        raise SourceError(f"TensorFlow does not take {path}: {framework.first_line(problem)}", detail=str(problem)) from problem
    return graph


def parameters(graph: Any) -> int:
    """How many numbers the graph holds in its variables, or in its constants where those were frozen."""
    if any(op.type in VARIABLES for op in graph.get_operations()):
        return sum(math.prod(variable.shape.as_list()) for variable in _trained(graph) if variable.shape.is_fully_defined())
    constants = [op.outputs[0] for op in graph.get_operations() if op.type == "Const"]
    return sum(math.prod(tensor.shape.as_list()) for tensor in constants if tensor.dtype.is_floating and tensor.shape.rank)


def locate(session: Any, outputs: list[Any], first: dict[str, Any], second: dict[str, Any], same: SameAnswer) -> str:
    """The first operation, in the order of the graph, whose answers do not agree; LookupError where there is none."""
    needed = ancestors(outputs, control=False)
    candidates = [op.outputs[0] for op in session.graph.get_operations() if op in needed and op.outputs]
    for tensor in (tensor for tensor in candidates if tensor.dtype.is_floating):
        try:
            here, there = session.run(tensor, first), session.run(tensor, second)
        except Exception:  # the side of a branch that is not taken has no value
            continue
        if not same(np.asarray(here), np.asarray(there)):
            return f"{tensor.op.name!r} ({tensor.op.type})"
    raise LookupError("the answers of all operations agree")


def _trained(graph: Any) -> list[Any]:
    tf = framework.framework()
    keys = tf.compat.v1.GraphKeys
    return list(graph.get_collection(keys.TRAINABLE_VARIABLES) or graph.get_collection(keys.GLOBAL_VARIABLES))


def _seed(seed: int) -> None:
    """Seed the global generator. A session's own generators keep their state; eager calls of this process start again."""
    framework.framework().random.set_seed(seed)

"""TensorFlow models as directories of our own: the model as it is, and beside it which tensors are fed and which are read.

``saved_model``: ``model/`` holds the SavedModel, and a port's tensor is an argument or a result of its signature.
``graphdef``: ``model.pb`` holds a frozen GraphDef, and a port's tensor is one of its tensors, ``x:0`` say.

What a directory says can be read without TensorFlow, which is imported only where a model runs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from roadworthy.core.errors import StepFailed
from roadworthy.core.types import Array, Arrays
from roadworthy.frameworks.tensorflow import graph_session
from roadworthy.frameworks.tensorflow.entry import GRAPHDEF, SAVED_MODEL, GraphEntry, read_entry
from roadworthy.frameworks.tensorflow.framework import first_line, framework
from roadworthy.frameworks.tensorflow.graph import frozen, graph_function, read_graph
from roadworthy.frameworks.tensorflow.graph_session import SessionFunction


class Function:
    """A loaded model as a plain function: arrays by input name in, arrays by output name out, each in memory of its own.

    ``call`` takes tensors in the order of the entry's inputs and gives tensors in the order of its outputs.
    """

    def __init__(self, call: Callable[..., Sequence[Any]], entry: GraphEntry) -> None:
        self.entry = entry
        self._call = call
        self._tensor = framework().convert_to_tensor
        self._inputs = tuple(port.name for port in entry.inputs)
        self._outputs = tuple(port.name for port in entry.outputs)

    def __call__(self, feeds: Arrays) -> dict[str, Array]:
        """The outputs for ``feeds``; StepFailed, in one line, where the model fails on them."""
        try:
            answers = self._call(*[self._tensor(feeds[name]) for name in self._inputs])
            return {name: np.asarray(tensor.numpy()) for name, tensor in zip(self._outputs, answers, strict=True)}
        except Exception as problem:
            raise StepFailed(f"the model failed on this input: {first_line(problem)}", detail=str(problem)) from problem


def open_function(path: Path, *, double: bool = False) -> Function | SessionFunction:
    """The model of a ``saved_model`` or ``graphdef`` directory, ready to call; a SavedModel by its own signature.

    ``double`` computes in float64 from the first operation to the last (see ``_in_double``), and floating-point inputs are
    then cast on the way in. StepFailed where the model does not load, or has operations without a double precision.
    """
    entry = read_entry(path)
    if (path / GRAPHDEF).is_file():
        graph = read_graph(path / GRAPHDEF)
        if graph_session.needed(graph, entry):
            return graph_session.opened(doubled(graph) if double else graph, entry)
        call = graph_function(graph, entry)
        return Function(_in_double(call, entry) if double else call, entry)
    if double:
        return Function(_in_double(concrete(path), entry), entry)
    from roadworthy.frameworks.tensorflow import saved_model

    return Function(saved_model.calling(saved_model.restored(path / SAVED_MODEL, entry), entry), entry)


def concrete(path: Path) -> Any:
    """The model of a directory as a ``tf.ConcreteFunction`` that can be frozen, converted or compiled.

    It takes the signature's tensors in the order of the entry's inputs, under their names, and gives a list in the order of
    its outputs; scalars are reshaped and constants fed inside. StepFailed where the model does not load, or runs in a session alone.
    """
    entry = read_entry(path)
    if (path / GRAPHDEF).is_file():
        if graph_session.needed(graph := read_graph(path / GRAPHDEF), entry):
            raise StepFailed(graph_session.WHY)
        return graph_function(graph, entry)
    # Not at the top: it asks this module for TensorFlow itself.
    from roadworthy.frameworks.tensorflow import saved_model

    return saved_model.traced(saved_model.restored(path / SAVED_MODEL, entry), entry)


def doubled(graph: Any) -> Any:
    """A frozen GraphDef in which every float32 is a float64; StepFailed with the name of an operation that has no float64 form."""
    # Not at the top: it asks this module for TensorFlow itself.
    from roadworthy.frameworks.tensorflow.float64 import doubled as in_double

    return in_double(graph)


def doubled_function(function: Any) -> Any:
    """The concrete function ``function`` in double precision; its floating-point arguments are float64."""
    graph, entry = frozen(function)
    return graph_function(doubled(graph), entry)


def _in_double(function: Any, entry: GraphEntry) -> Callable[..., Sequence[Any]]:
    tf = framework()
    wide = doubled_function(function)
    return lambda *tensors: wide(*[tf.cast(one, tf.float64) if one.dtype == tf.float32 else one for one in tensors])

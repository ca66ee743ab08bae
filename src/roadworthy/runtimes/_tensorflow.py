"""TensorFlow models as directories of our own: the model as it is, and beside it which tensors are fed and which are read.

``saved_model``: ``model/`` holds the SavedModel, and a port's tensor is an argument or a result of its signature.
``graphdef``: ``model.pb`` holds a frozen GraphDef, and a port's tensor is one of its tensors, ``x:0`` say.

What a directory says can be read without TensorFlow, which is imported only where a model runs.
"""

from __future__ import annotations

import functools
import hashlib
import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from roadworthy.core import codec
from roadworthy.core.errors import BackendMissing, RoadworthyError, StepFailed, UsageError
from roadworthy.core.types import Array, Arrays

ENTRY = "entry.json"
SAVED_MODEL = "model"
GRAPHDEF = "model.pb"
CALL = "__call__"
"""Stands for a signature's key where a SavedModel has none and is called itself."""
AROUND = ("Graph execution error", "Detected at node", "Node:", "<stack traces")
"""How the lines begin that TensorFlow puts before what went wrong."""


@dataclass(frozen=True)
class Port:
    """One input or output: ``name`` as the signature has it, ``tensor`` as the model has it.

    ``scalar`` says that the model takes or gives a single value where the signature has one axis of one sample.
    """

    name: str
    tensor: str
    scalar: bool = False


@dataclass(frozen=True)
class Constant:
    """A placeholder that is fed the same value in every call: ``is_training`` with false, say."""

    tensor: str
    dtype: str
    value: bool | int | float


@dataclass(frozen=True)
class Entry:
    """How a model is called. ``signature`` is the SavedModel's key (or ``CALL``), empty for a GraphDef."""

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    signature: str = ""
    constants: tuple[Constant, ...] = ()


def write_entry(directory: Path, entry: Entry) -> None:
    """Put ``entry`` beside the model in ``directory``."""
    (directory / ENTRY).write_bytes(codec.to_json(entry))


def read_entry(directory: Path) -> Entry:
    """How the model in ``directory`` is called; StepFailed where that is not said."""
    try:
        return codec.from_json(Entry, (directory / ENTRY).read_bytes())
    except (OSError, RoadworthyError) as problem:
        raise StepFailed(f"{directory} is no model of ours: {problem}") from None


@functools.cache
def framework() -> Any:
    """The module ``tensorflow``, imported without its chatter and kept to exact float32; BackendMissing where there is none."""
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    os.environ["KERAS_BACKEND"] = "tensorflow"
    # oneDNN reads these at its first use and would compute float32 in bfloat16.
    os.environ.pop("ONEDNN_DEFAULT_FPMATH_MODE", None)
    os.environ.pop("DNNL_DEFAULT_FPMATH_MODE", None)
    try:
        import tensorflow as tf
    except ImportError as problem:
        raise BackendMissing(
            f"this model needs TensorFlow, which is not installed ({problem}); install it with: pip install 'roadworthy[tensorflow]'"
        ) from problem
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    tf.config.experimental.enable_tensor_float_32_execution(False)
    return tf


def old_keras() -> None:
    """Import tf-keras, with which TensorFlow can restore what Keras 2 saved; BackendMissing, with the remedy, where there is none."""
    try:
        import tf_keras  # noqa: F401
    except ImportError as problem:
        raise BackendMissing(
            f"this model was saved by Keras 2 and needs tf-keras ({problem}); install it with: pip install --no-deps tf-keras"
        ) from problem


def set_threads(threads: int) -> None:
    """Compute on ``threads`` threads in this process; UsageError where TensorFlow has started with another number."""
    tf = framework()
    threading = tf.config.threading
    if (threading.get_intra_op_parallelism_threads(), threading.get_inter_op_parallelism_threads()) == (threads, 1):
        return
    try:
        threading.set_intra_op_parallelism_threads(threads)
        threading.set_inter_op_parallelism_threads(1)
    except RuntimeError:
        has = threading.get_intra_op_parallelism_threads() or "as many threads as there are cores"
        raise UsageError(f"TensorFlow already runs in this process with {has}; {threads} threads need a process of their own") from None


class Function:
    """A loaded model as a plain function: arrays by input name in, arrays by output name out, each in memory of its own.

    ``call`` takes tensors in the order of the entry's inputs and gives tensors in the order of its outputs.
    """

    def __init__(self, call: Callable[..., Sequence[Any]], entry: Entry) -> None:
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


def open_function(path: Path, *, double: bool = False) -> Function:
    """The model of a ``saved_model`` or ``graphdef`` directory, ready to call; a SavedModel by its own signature.

    ``double`` computes in float64 from the first operation to the last (see ``_double``), and floating-point inputs are
    then cast on the way in. StepFailed where the model does not load, or has operations without a double precision.
    """
    entry = read_entry(path)
    if double:
        return Function(_in_double(concrete(path), entry), entry)
    if (path / GRAPHDEF).is_file():
        return Function(concrete(path), entry)
    from roadworthy.runtimes import _saved_model

    return Function(_saved_model.calling(_saved_model.restored(path / SAVED_MODEL, entry), entry), entry)


def concrete(path: Path) -> Any:
    """The model of a directory as a ``tf.ConcreteFunction`` that can be frozen, converted or compiled.

    It takes the signature's tensors in the order of the entry's inputs, under their names, and gives a list in the order of
    its outputs; scalars are reshaped and constants fed inside. StepFailed where the model does not load.
    """
    entry = read_entry(path)
    if (path / GRAPHDEF).is_file():
        return graph_function(read_graph(path / GRAPHDEF), entry)
    # Not at the top: it asks this module for TensorFlow itself.
    from roadworthy.runtimes import _saved_model

    return _saved_model.traced(_saved_model.restored(path / SAVED_MODEL, entry), entry)


def graph_function(graph: Any, entry: Entry) -> Any:
    """``concrete`` for a GraphDef in memory."""
    tf = framework()
    wanted = sorted({port.tensor for port in entry.outputs})
    with explained("the graph"):
        graph = tf.compat.v1.graph_util.extract_sub_graph(graph, [name.partition(":")[0] for name in wanted])
        graph = _with_functions(graph)
        known = tf.Graph()
        with known.as_default():
            tf.graph_util.import_graph_def(graph, name="")
    present = {node.name for node in graph.node}
    inputs = [known.get_tensor_by_name(port.tensor) for port in entry.inputs if port.tensor.partition(":")[0] in present]
    if len(inputs) < len(entry.inputs):
        raise StepFailed(f"the outputs do not depend on the inputs {', '.join(port.name for port in entry.inputs)}, all of them")

    def call(*arguments: Any) -> list[Any]:
        fed = {port.tensor: inward(argument, port) for port, argument in zip(entry.inputs, arguments, strict=True)}
        fed |= {one.tensor: tf.constant(one.value, one.dtype) for one in entry.constants if one.tensor.partition(":")[0] in present}
        found = dict(zip(wanted, tf.graph_util.import_graph_def(graph, input_map=fed, return_elements=wanted, name=""), strict=True))
        return [outward(found[port.tensor], port) for port in entry.outputs]

    arguments = [argument(tensor.shape, tensor.dtype, port) for tensor, port in zip(inputs, entry.inputs, strict=True)]
    with explained("the graph"):
        return tf.function(call, input_signature=arguments, autograph=False).get_concrete_function()


def _with_functions(graph: Any) -> Any:
    """A copy of ``graph`` whose functions are known to TensorFlow, under names that no other graph of this process has.

    Otherwise it would not find them, or find those of another model.
    """
    from tensorflow.python.eager import context

    if not graph.library.function:
        return graph
    mark = hashlib.sha256(graph.SerializeToString(deterministic=True)).hexdigest()[:16]
    names = {function.signature.name: f"{function.signature.name}_{mark}" for function in graph.library.function}
    own = type(graph)()
    own.CopyFrom(graph)
    for function in own.library.function:
        function.signature.name = names[function.signature.name]
    for gradient in own.library.gradient:
        gradient.function_name, gradient.gradient_func = (names.get(one, one) for one in (gradient.function_name, gradient.gradient_func))
    for node in (*own.node, *(node for function in own.library.function for node in function.node_def)):
        node.op = names.get(node.op, node.op)
        for value in node.attr.values():
            kind = value.WhichOneof("value")
            for called in (value.func,) if kind == "func" else value.list.func if kind == "list" else ():
                called.name = names.get(called.name, called.name)
    known = context.context()
    for function in own.library.function:
        if not known.has_function(function.signature.name):
            known.add_function_def(function)
    return own


def read_graph(file: Path) -> Any:
    """The ``tf.compat.v1.GraphDef`` in ``file``; StepFailed where there is none."""
    tf = framework()
    graph = tf.compat.v1.GraphDef()
    try:
        graph.ParseFromString(file.read_bytes())
    except Exception as problem:
        raise StepFailed(f"{file} is no TensorFlow graph: {first_line(problem)}", detail=str(problem)) from problem
    return graph


def frozen(function: Any) -> tuple[Any, Entry]:
    """A concrete function as a GraphDef without variables, and how it is called: its arguments and results in order."""
    tf = framework()
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    with explained("the function"):
        fixed = convert_variables_to_constants_v2(function, lower_control_flow=False)
        inputs = tuple(Port(tensor.op.name, tensor.name) for tensor in fixed.inputs)
        outputs = tuple(Port(f"output_{number}", tensor.name) for number, tensor in enumerate(fixed.outputs))
        graph = tf.compat.v1.GraphDef.FromString(fixed.graph.as_graph_def().SerializeToString())
    return graph, Entry(inputs, outputs)


def doubled(graph: Any) -> Any:
    """A frozen GraphDef in which every float32 is a float64; StepFailed naming an operation that has no such thing."""
    # Not at the top: it asks this module for TensorFlow itself.
    from roadworthy.runtimes._double import doubled as in_double

    return in_double(graph)


def doubled_function(function: Any) -> Any:
    """The concrete function ``function`` in double precision; its floating-point arguments are float64."""
    graph, entry = frozen(function)
    return graph_function(doubled(graph), entry)


def first_line(problem: BaseException) -> str:
    """What a foreign exception says, on one line, without the call stack that TensorFlow puts around it."""
    for line in map(str.strip, str(problem).splitlines()):
        if line and not line.endswith(("error:", "error(s):")) and not line.startswith(AROUND):
            return line[:300]
    return type(problem).__name__


class explained:
    """Translates whatever TensorFlow raises inside the block into StepFailed about ``what``; our own errors pass."""

    def __init__(self, what: object) -> None:
        self._what = what

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, problem: BaseException | None, trace: object) -> None:
        if isinstance(problem, Exception) and not isinstance(problem, RoadworthyError):
            raise StepFailed(f"{self._what} does not load in TensorFlow: {first_line(problem)}", detail=str(problem)) from problem


def _in_double(function: Any, entry: Entry) -> Callable[..., Sequence[Any]]:
    tf = framework()
    wide = doubled_function(function)
    return lambda *tensors: wide(*[tf.cast(one, tf.float64) if one.dtype == tf.float32 else one for one in tensors])


def inward(tensor: Any, port: Port) -> Any:
    return framework().reshape(tensor, []) if port.scalar else tensor


def outward(tensor: Any, port: Port) -> Any:
    return framework().reshape(tensor, [1]) if port.scalar else tensor


def argument(shape: Any, dtype: Any, port: Port) -> Any:
    """What a concrete function says it takes: a name that TensorFlow allows, and one axis where the model has a single value."""
    tf = framework()
    allowed = "".join(letter if letter.isascii() and (letter.isalnum() or letter == "_") else "_" for letter in port.name)
    return tf.TensorSpec([1] if port.scalar else shape, dtype, allowed if allowed[:1].isalpha() else f"x{allowed}")

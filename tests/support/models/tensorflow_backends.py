"""What the tests of TensorFlow's runtimes share: models for single traps, and steps for children to run."""

from __future__ import annotations

import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from roadworthy.core.errors import RoadworthyError
from roadworthy.core.stages import Graph, Plan
from roadworthy.core.types import BATCH, Array, Signature, TensorSpec
from roadworthy.frameworks.tensorflow import entry
from roadworthy.frameworks.tensorflow.entry import Constant, GraphEntry, Port
from roadworthy.runtimes import open_session

VECTOR = Signature((TensorSpec("x", "float32", (BATCH, 4)),), (TensorSpec("y", "float32", (BATCH, 4)),))
ONES = Signature((TensorSpec("x", "float32", (BATCH, 64)),), (TensorSpec("y", "float32", (BATCH, 32)),))
SWITCHED = Signature((TensorSpec("x", "float32", (BATCH, 4)),), (TensorSpec("odd name/1", "float32", (BATCH, 4)),))
WORDS = Signature((TensorSpec("word", "object", (BATCH,)),), (TensorSpec("length", "int32", (BATCH,)),))
WORD = Signature((TensorSpec("word", "object", (1,)),), (TensorSpec("length", "int32", (1,)),))


@dataclass(frozen=True)
class Made:
    """A folder of files; ``tensorflow`` says whether that package was imported."""

    path: Path
    tensorflow: bool = False


def make(request: Made) -> Made:
    """``variables.tflite``, ``flex.tflite``, ``custom.tflite``, and the graphs ``ones``, ``switched``, ``word`` and ``words``."""
    import keras
    import tensorflow as tf

    out = request.path
    with warnings.catch_warnings(action="ignore"):
        model = keras.Sequential([keras.Input((4,), name="x"), keras.layers.Dense(4, name="y")])
        tf.saved_model.save(model, str(out / "plain"))
        _convert(tf.lite.TFLiteConverter.from_saved_model(str(out / "plain")), out / "variables.tflite")
        inverse = tf.function(
            lambda x: {"y": tf.reshape(tf.linalg.inv(tf.reshape(x, [-1, 2, 2])), [-1, 4])},
            input_signature=[tf.TensorSpec([None, 4], tf.float32, "x")],
        )
        flex = tf.lite.TFLiteConverter.from_concrete_functions([inverse.get_concrete_function()], tf.Module())
        flex.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS, tf.lite.OpsSet.SELECT_TF_OPS]
        _convert(flex, out / "flex.tflite")
        custom = tf.lite.TFLiteConverter.from_concrete_functions([inverse.get_concrete_function()], tf.Module())
        custom.allow_custom_ops = True
        _convert(custom, out / "custom.tflite")
    _graph(out / "ones", {"x": (tf.float32, [None, 64])}, lambda x: {"y": x @ tf.ones([64, 32])})
    _graph(
        out / "switched",
        {"x": (tf.float32, [None, 4]), "is_training": (tf.bool, [])},
        lambda x, is_training: {"odd name/1": tf.cond(is_training, lambda: x * 0.0, lambda: 2.0 * x)},
        Constant("is_training:0", "bool", False),
    )
    _graph(out / "word", {"word": (tf.string, [])}, lambda word: {"length": tf.strings.length(word)}, scalar=True)
    _graph(out / "words", {"word": (tf.string, [None])}, lambda word: {"length": tf.strings.length(word)})
    return Made(out, "tensorflow" in sys.modules)


def _convert(converter: Any, path: Path) -> None:
    path.write_bytes(converter.convert())


def _graph(directory: Path, inputs: dict[str, Any], function: Any, *constants: Constant, scalar: bool = False) -> None:
    """A "graphdef" directory with a leftover that nothing reads, as real ones have."""
    import tensorflow as tf

    directory.mkdir()
    with tf.Graph().as_default() as graph:
        fed = {name: tf.compat.v1.placeholder(dtype, shape, name) for name, (dtype, shape) in inputs.items()}
        answers = function(**fed)
        tf.identity(next(iter(fed.values())), "left_over")
    (directory / entry.GRAPHDEF).write_bytes(graph.as_graph_def().SerializeToString())
    free = tuple(Port(name, f"{name}:0", scalar) for name in inputs if f"{name}:0" not in [one.tensor for one in constants])
    outputs = tuple(Port(name, tensor.name, scalar) for name, tensor in answers.items())
    entry.write_entry(directory, GraphEntry(free, outputs, constants=constants))


def graph(folder: Path, name: str, signature: Signature) -> Graph:
    return Graph("graphdef", folder / name, signature, "by hand")


@dataclass(frozen=True)
class Asked:
    """One call of the candidate or graph at ``path`` with the arrays in the ``.npz`` ``feeds``; the answers go beside it."""

    path: Path
    signature: Signature
    plan: Plan
    feeds: Path


@dataclass(frozen=True)
class Answered:
    """``refused`` in words, or the file with the answers."""

    path: Path
    refused: str = ""
    tensorflow: bool = False


def ask(asked: Asked) -> Answered:
    """Open, answer, close."""
    out = asked.feeds.with_suffix(f".{asked.plan.artefact}.npz")
    try:
        with open_session(asked.path, asked.signature, asked.plan) as session:
            answers = session.run(_read(asked.feeds))
    except RoadworthyError as problem:
        return Answered(out, f"{type(problem).__name__}: {problem.message}")
    np.savez(out, **{name: array if array.dtype != object else array.astype(bytes) for name, array in answers.items()})
    return Answered(out, tensorflow="tensorflow" in sys.modules)


def _read(path: Path) -> dict[str, Array]:
    with np.load(path) as file:
        return {name: array.astype(object) if array.dtype.kind == "S" else array for name, array in file.items()}

"""TensorFlow itself: the original as it is, which is the reference for every answer and the baseline of every race, and as a graph."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from roadworthy.core.errors import RoadworthyError, StepFailed
from roadworthy.core.stages import Plan
from roadworthy.core.types import Signature
from roadworthy.frameworks.tensorflow import entry, framework, session
from roadworthy.frameworks.tensorflow import function as tensorflow_function
from roadworthy.frameworks.tensorflow.session import FunctionSession

RUNS: tuple[str, ...] = ("keras", "saved_model", "graphdef")
PACKAGES: tuple[str, ...] = ("tensorflow-cpu", "keras", "cloudpickle", "numpy")
FRAMEWORK = True
NATIVE = False

framework.framework()  # importing a runtime imports its package: what that costs is counted by itself

FLAVOURS = ("", "signature", "function", "frozen")


def load(path: Path, signature: Signature, plan: Plan) -> FunctionSession:
    """The session of a "keras", "saved_model" or "graphdef" directory.

    As it is ("") a Keras model is called eagerly with ``training=False``, a SavedModel by its signature, a frozen graph as a
    function, which is all it can be. The flavour ``signature`` says the second; ``function`` is a ``tf.function`` over any of
    them, and ``frozen`` one whose variables were made constants. ``fp64`` computes all of it in double precision. Raises
    UsageError for another precision or flavour and for threads that come too late, StepFailed where the model does not load.
    """
    session.prepare(plan, ("fp32", "fp64"), FLAVOURS)
    try:
        return FunctionSession(_keras(path, signature, plan) if _is_keras(path) else _directory(path, signature, plan), signature)
    except RoadworthyError:
        raise
    except Exception as problem:
        raise StepFailed(f"{path.name} does not load in TensorFlow: {framework.first_line(problem)}", detail=str(problem)) from problem


def _is_keras(path: Path) -> bool:
    return not (path / entry.ENTRY).is_file()


def _keras(path: Path, signature: Signature, plan: Plan) -> Any:
    if plan.flavour == "" and plan.precision == "fp32":
        from roadworthy.frameworks.tensorflow import keras_model

        return keras_model.load(path).answer
    function = session.of_keras(path, signature)
    if plan.precision == "fp32":
        return session.by_signature(function, signature)
    double = tensorflow_function.doubled_function(function)
    return session.by_signature(lambda *tensors: double(*map(_wide, tensors)), signature)


def _wide(tensor: Any) -> Any:
    tf = framework.framework()
    return tf.cast(tensor, tf.float64) if tensor.dtype == tf.float32 else tensor


def _directory(path: Path, signature: Signature, plan: Plan) -> Any:
    if plan.precision == "fp64":
        return tensorflow_function.open_function(path, double=True)
    if plan.flavour in ("function", "frozen"):
        return tensorflow_function.Function(tensorflow_function.concrete(path), entry.read_entry(path))
    return tensorflow_function.open_function(path)

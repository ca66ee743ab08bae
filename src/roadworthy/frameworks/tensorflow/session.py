"""What sessions on TensorFlow share: they check the plan, set the threads, and wrap a function as a session."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from roadworthy.core.errors import RoadworthyError, StepFailed, UsageError
from roadworthy.core.stages import Plan
from roadworthy.core.types import Array, Arrays, Signature
from roadworthy.frameworks.tensorflow import framework
from roadworthy.frameworks.tensorflow.entry import GraphEntry, Port
from roadworthy.frameworks.tensorflow.function import Function


def prepare(plan: Plan, precisions: Collection[str], flavours: Collection[str]) -> None:
    """Set this process up for ``plan``; UsageError where it would have to be carried out as another one."""
    if plan.precision not in precisions or plan.flavour not in flavours:
        raise UsageError(f"{plan.runtime} has no {plan.precision} {plan.flavour}".rstrip())
    if plan.spin:
        raise UsageError(f"{plan.runtime} cannot be told to spin: its threads wait as their library does")
    framework.set_threads(plan.threads)


def of_keras(path: Path, signature: Signature) -> Any:
    """A "keras" directory's model as a ``tf.ConcreteFunction``, ``training=False``: tensors in and out in the signature's order.

    Raises StepFailed where the model does not load; an exception of the tracing passes through.
    """
    # Not at the top: graphs without Keras need none of its packages.
    from roadworthy.frameworks.tensorflow import keras_model

    model = keras_model.load(path)
    inner = model.function(signature.inputs)
    outputs = [spec.name for spec in signature.outputs]

    def call(*tensors: Any) -> list[Any]:
        answers = inner(*tensors)
        return [answers[name] for name in outputs]

    specs = [keras_model.tensor_spec(spec) for spec in signature.inputs]
    function = framework.framework().function(call, input_signature=specs, autograph=False).get_concrete_function()
    function.model = model  # a model without a reference loses its variables
    return function


def by_signature(call: Callable[..., Any], signature: Signature) -> Function:
    """``call``, which takes and gives tensors in the signature's order, by the signature's names."""
    inputs, outputs = (tuple(Port(spec.name, spec.name) for spec in specs) for specs in (signature.inputs, signature.outputs))
    return Function(call, GraphEntry(inputs, outputs))


class FunctionSession:
    """A function from arrays by name to arrays by name, each in memory of its own."""

    def __init__(self, function: Callable[[Arrays], dict[str, Array]], signature: Signature) -> None:
        self._function: Callable[[Arrays], dict[str, Array]] | None = function
        self._outputs = tuple(spec.name for spec in signature.outputs)

    def run(self, feeds: Arrays) -> Arrays:
        """The outputs by name; raises StepFailed where the model fails."""
        if self._function is None:
            raise UsageError("this session is closed; open it again")
        try:
            answers = self._function(feeds)
            return {name: answers[name] for name in self._outputs}
        except RoadworthyError:
            raise
        except Exception as problem:
            raise StepFailed(f"the model failed on this input: {framework.first_line(problem)}", detail=str(problem)) from problem

    def close(self) -> None:
        """Let go of the model."""
        self._function = None

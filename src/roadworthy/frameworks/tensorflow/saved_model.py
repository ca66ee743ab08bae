"""A SavedModel restored: its signatures, or the model itself where it has none, as functions that can be called, traced and frozen."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from roadworthy.core.errors import StepFailed
from roadworthy.frameworks.tensorflow.entry import CALL, GraphEntry
from roadworthy.frameworks.tensorflow.framework import explained, framework, old_keras
from roadworthy.frameworks.tensorflow.graph import argument, inward, outward


def restored(directory: Path, entry: GraphEntry) -> Any:
    """The ``tf.ConcreteFunction`` that ``entry`` names in the SavedModel at ``directory``: arguments by name, results by name.

    StepFailed where it does not load, BackendMissing where it needs tf-keras.
    """
    loaded = load_saved(directory)
    if entry.signature in loaded.signatures:
        function = loaded.signatures[entry.signature]
    else:
        found = functions(loaded).get(entry.signature, ())
        if len(found) != 1:
            raise StepFailed(f"{directory} has {len(found)} functions {entry.signature!r}, and its entry needs one")
        function = found[0]
    function.model = loaded  # a model without a reference loses its variables
    return function


def load_saved(directory: Path) -> Any:
    """The object that ``tf.saved_model.load`` restores; with tf-keras where only that can (an optimizer that Keras 2 saved)."""
    tf = framework()
    with explained(directory):
        tags = _tags(directory)
        try:
            return tf.saved_model.load(str(directory), tags)
        except AttributeError as problem:
            if "add_slot" not in str(problem):
                raise
        old_keras()
        return tf.saved_model.load(str(directory), tags)


def functions(loaded: Any) -> dict[str, tuple[Any, ...]]:
    """The functions of a restored object by name, ``__call__`` among them: the ways to call each that are not for training.

    There is one for each distinct set of tensors taken, and one alone where that takes all that the others take.
    """
    owned = {CALL: getattr(loaded, CALL, None), **vars(loaded)}
    ways = {name: getattr(function, "concrete_functions", None) for name, function in owned.items()}
    return {name: _distinct([one for one in found if True not in _plain(one)]) for name, found in ways.items() if found}


def _distinct(found: list[Any]) -> tuple[Any, ...]:
    for one in found:
        if all(_covers(one, other) for other in found):
            return (one,)
    return tuple(one for number, one in enumerate(found) if all(taken(one) != taken(other) for other in found[:number]))


def _covers(one: Any, other: Any) -> bool:
    """Whether ``one`` takes every tensor that ``other`` takes."""
    wide, narrow = arguments_of(one), arguments_of(other)
    return wide.keys() == narrow.keys() and all(_holds(wide[name], spec) for name, spec in narrow.items())


def _holds(wide: Any, narrow: Any) -> bool:
    if wide.dtype != narrow.dtype or wide.shape.rank is None or narrow.shape.rank is None:
        return bool(wide.dtype == narrow.dtype and wide.shape.rank is None)
    sizes = zip(wide.shape.as_list(), narrow.shape.as_list(), strict=False)
    return wide.shape.rank == narrow.shape.rank and all(a is None or a == b for a, b in sizes)


def taken(function: Any) -> str:
    """What a restored function takes, in words."""
    return ", ".join(f"{name}:{spec.dtype.name}{spec.shape}" for name, spec in arguments_of(function).items())


def traced(signature: Any, entry: GraphEntry) -> Any:
    """``concrete`` for a restored function that takes its arguments by name."""
    specs = arguments_of(signature)
    arguments = [argument(specs[port.tensor].shape, specs[port.tensor].dtype, port) for port in entry.inputs]
    with explained("the signature"):
        function = framework().function(calling(signature, entry), input_signature=arguments, autograph=False).get_concrete_function()
    function.signature = signature  # its variables live as long as it does
    return function


def calling(signature: Any, entry: GraphEntry) -> Callable[..., list[Any]]:
    """``signature``, a restored function that takes its arguments by name, as a function of tensors in the order of ``entry``."""
    tf = framework()
    constants = {one.tensor: tf.constant(one.array, one.dtype) for one in entry.constants}

    def call(*arguments: Any) -> list[Any]:
        fed = {port.tensor: inward(given, port) for port, given in zip(entry.inputs, arguments, strict=True)}
        found = named(signature(**fed, **constants))
        return [outward(found[port.tensor], port) for port in entry.outputs]

    return call


def arguments_of(signature: Any) -> dict[str, Any]:
    """The ``tf.TensorSpec`` of every tensor that a restored function takes, by the name to call it with."""
    tf = framework()
    positional, keywords = signature.structured_input_signature
    flat = [one for one in tf.nest.flatten(positional) if isinstance(one, tf.TensorSpec)]
    return {one.name: one for one in flat} | {name: one for name, one in keywords.items() if isinstance(one, tf.TensorSpec)}


def named(answer: Any) -> dict[str, Any]:
    """What a restored function gave, or its structured outputs, by name: a dict's keys, else ``output_0``, ``output_1``, ..."""
    if isinstance(answer, dict):
        return {str(name): value for name, value in answer.items()}
    if isinstance(answer, list | tuple):
        return {f"output_{number}": value for number, value in enumerate(answer)}
    return {"output_0": answer}


def _tags(directory: Path) -> list[str] | None:
    """The tags of the graph for serving, or of the only one there is."""
    from tensorflow.python.saved_model import loader_impl

    found = [list(graph.meta_info_def.tags) for graph in loader_impl.parse_saved_model(str(directory)).meta_graphs]
    return next((tags for tags in found if tags == ["serve"]), next((tags for tags in found if "serve" in tags), found[0] or None))


def _plain(function: Any) -> list[Any]:
    """The arguments of a concrete function that are not tensors: the ``training`` that it was traced with."""
    flat = framework().nest.flatten(function.structured_input_signature)
    return [one for one in flat if isinstance(one, bool)]

"""The layers of a Keras model while it runs: what each takes and gives, in which mode it is called, where two runs differ."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from roadworthy.build.sources.layer_events import LayerEvent, first_difference
from roadworthy.build.sources.model import SameAnswer
from roadworthy.core.errors import SourceError
from roadworthy.core.types import Array, Arrays
from roadworthy.frameworks.tensorflow import keras_model
from roadworthy.frameworks.tensorflow.keras_model import KerasModel


@contextmanager
def watched(model: Any, see: Callable[[LayerEvent], None]) -> Iterator[None]:
    """``see`` gets an event at the begin and the end of every layer's call inside the block, in order; the model itself is one.

    Keras has no hooks: the ``call`` of every layer is replaced for the length of the block.
    """
    running: list[str] = []

    def wrapped(layer: Any, call: Callable[..., Any]) -> Callable[..., Any]:
        name, kind, parameters = layer.name, type(layer).__name__, inspect.signature(call)

        def run(*arguments: Any, **options: Any) -> Any:
            parent, mode = running[-1] if running else None, _mode(parameters, arguments, options)
            see(LayerEvent(layer, name, kind, parent, True, arrays_in((arguments, options)), mode))
            running.append(name)
            try:
                answer = call(*arguments, **options)
            finally:
                running.pop()
            see(LayerEvent(layer, name, kind, parent, False, arrays_in(answer), mode))
            return answer

        return run

    layers = {id(layer): layer for layer in model._flatten_layers() if type(layer).__name__ != "InputLayer"}
    with replaced([(layer, "call", wrapped(layer, layer.call)) for layer in layers.values()]):
        yield


@contextmanager
def replaced(attributes: list[tuple[Any, str, Any]]) -> Iterator[None]:
    """Each (layer, name, value) as an attribute of its layer inside the block, and as it was before afterwards."""
    before = [vars(layer).get(name) for layer, name, _ in attributes]
    # Past the layers' own __setattr__, which would keep track of what is set.
    for layer, name, value in attributes:
        object.__setattr__(layer, name, value)
    try:
        yield
    finally:
        for (layer, name, _), value in zip(attributes, before, strict=True):
            if value is None:
                object.__delattr__(layer, name)
            else:
                object.__setattr__(layer, name, value)


def locate(model: KerasModel, first: Arrays, second: Arrays, same: SameAnswer) -> str:
    """The layer whose answers begin to differ between two runs, in words; ``same`` says which answers agree."""
    runs: list[list[LayerEvent]] = []
    for feeds in (first, second):
        runs.append([])
        with watched(model.model, runs[-1].append):
            model.answer(feeds)
    return first_difference(runs[0], runs[1], same, lambda name: f"the call of {_named(name, model)}")


def modes(model: KerasModel, feeds: Arrays) -> tuple[str, tuple[str, ...]]:
    """A sentence on the mode that the layers were called in, and those that the model itself put into training mode."""
    modes: dict[tuple[str, str], bool] = {}

    def see(event: LayerEvent) -> None:
        if event.training is not None:
            modes[event.name, event.kind] = event.training

    with watched(model.model, see):
        model.answer(feeds)
    forced = tuple(f"{name!r} ({kind})" for (name, kind), training in modes.items() if training)
    if forced:
        return "", forced
    return f"the model was called with training=False, and so were all {len(modes)} of its layers that have a training mode", ()


def _mode(parameters: inspect.Signature, arguments: tuple[Any, ...], options: dict[str, Any]) -> bool | None:
    try:
        training = parameters.bind(*arguments, **options).arguments.get("training")
    except TypeError:
        return None
    return None if training is None else bool(training)


def _named(name: str | None, model: KerasModel) -> str:
    return repr(name) if name and name != model.model.name else f"the model itself ({type(model.model).__name__})"


def arrays_in(value: Any) -> tuple[Array, ...]:
    """The tensors in ``value`` as arrays; none for ragged ones, and for symbolic ones inside a tf.function."""
    try:
        return tuple(np.array(tensor) for _, tensor in keras_model.flatten(value))
    except (SourceError, TypeError, ValueError, NotImplementedError):
        return ()

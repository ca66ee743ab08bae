"""A Keras model's layers under watch: what each one gave, in which mode it was called, and where two runs begin to differ."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from roadworthy.build.sources import inference_mode
from roadworthy.core.errors import SourceError
from roadworthy.core.types import Array, Arrays
from roadworthy.frameworks.tensorflow import keras_model
from roadworthy.frameworks.tensorflow.keras_model import KerasModel


@dataclass(frozen=True)
class Event:
    """A layer was entered or left, with these arrays; ``parent`` is whose call was running, ``training`` what the layer was told."""

    name: str
    kind: str
    parent: str
    entering: bool
    arrays: tuple[Array, ...]
    training: bool | None = None


@contextmanager
def watched(model: Any) -> Iterator[list[Event]]:
    """The events of every layer's call inside the block, in order; the model itself is left as it was."""
    events: list[Event] = []
    stack: list[str] = []
    layers = [layer for layer in model._flatten_layers() if type(layer).__name__ != "InputLayer"]
    before = [vars(layer).get("call") for layer in layers]

    def wrapped(layer: Any, call: Callable[..., Any]) -> Callable[..., Any]:
        name, kind, told = layer.name, type(layer).__name__, inspect.signature(call)

        def run(*arguments: Any, **keywords: Any) -> Any:
            mode = _mode(told, arguments, keywords)
            events.append(Event(name, kind, stack[-1] if stack else "", True, _arrays((arguments, keywords)), mode))
            stack.append(name)
            try:
                answer = call(*arguments, **keywords)
            finally:
                stack.pop()
            events.append(Event(name, kind, stack[-1] if stack else "", False, _arrays(answer), mode))
            return answer

        return run

    # Past the layers' own __setattr__, which would keep track of what is set.
    for layer in layers:
        object.__setattr__(layer, "call", wrapped(layer, layer.call))
    try:
        yield events
    finally:
        for layer, call in zip(layers, before, strict=True):
            if call is None:
                object.__delattr__(layer, "call")
            else:
                object.__setattr__(layer, "call", call)


def blame(model: KerasModel, first: Arrays, second: Arrays) -> str:
    """The layer whose answers begin to differ between two runs, in words; see ``prove.alike``."""
    alike = inference_mode.alike(first, second)
    runs = []
    for feeds in (first, second):
        with watched(model.model) as events:
            model.answer(feeds)
        runs.append(list(events))
    for one, other in zip(*runs, strict=False):
        if (one.name, one.entering) != (other.name, other.entering) or len(one.arrays) != len(other.arrays):
            return f"the call of {_named(one.parent, model)}, which runs another way the second time"
        if one.entering and not one.parent:
            continue
        if not all(alike(a, b) for a, b in zip(one.arrays, other.arrays, strict=True)):
            if one.entering:
                return f"the call of {_named(one.parent, model)}, before it calls {one.name!r}"
            return f"{one.name!r} ({one.kind})" if one.parent else f"the call of {_named('', model)}, after its last layer"
    return f"the call of {_named('', model)}"


def modes(model: KerasModel, feeds: Arrays) -> tuple[str, tuple[str, ...]]:
    """A sentence on the mode that the layers were called in, and those that the model itself put into training mode."""
    with watched(model.model) as events:
        model.answer(feeds)
    told = {(event.name, event.kind): event.training for event in events if event.training is not None}
    forced = tuple(f"{name!r} ({kind})" for (name, kind), training in told.items() if training)
    if forced:
        return "", forced
    return f"the model was called with training=False, and so were all {len(told)} of its layers that have a training mode", ()


def _mode(told: inspect.Signature, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> bool | None:
    try:
        training = told.bind(*arguments, **keywords).arguments.get("training")
    except TypeError:
        return None
    return None if training is None else bool(training)


def _named(name: str, model: KerasModel) -> str:
    return repr(name) if name and name != model.model.name else f"the model itself ({type(model.model).__name__})"


def _arrays(value: Any) -> tuple[Array, ...]:
    try:
        return tuple(np.array(tensor) for _, tensor in keras_model.flatten(value))
    except (SourceError, TypeError, ValueError, NotImplementedError):
        # Ragged answers between layers, and symbolic ones inside a tf.function, are passed over.
        return ()

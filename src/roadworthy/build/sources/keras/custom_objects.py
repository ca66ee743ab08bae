"""The user's own classes and functions in a live Keras model: what another process needs to read the saved model again."""

from __future__ import annotations

import inspect
import sys
from typing import Any

from roadworthy.build.sources.keras import config as keras_config

FRAMEWORKS = ("keras", "tf_keras", "tensorflow", "builtins")


def named(keras: Any, objects: dict[str, Any]) -> dict[str, Any]:
    """``objects`` by every name that a file may have for them: the bare one, and the one they are registered by with ``keras``."""
    found = {}
    for name, thing in objects.items():
        found[name] = thing
        try:
            found[keras.saving.get_registered_name(thing)] = thing
        except (TypeError, ValueError, AttributeError):
            continue
    return found


def own(keras: Any, model: Any) -> dict[str, Any]:
    """Everything in ``model`` that is not part of Keras, by its names: classes of layers, and what their configurations ask for."""
    layers = list(model._flatten_layers())
    # The configuration keeps only the name of a function that is not registered: the function itself is an attribute of the layer.
    held = [type(layer) for layer in layers] + [value for layer in layers for value in vars(layer).values() if inspect.isfunction(value)]
    found = {thing.__name__: thing for thing in held}
    try:
        config = keras.saving.serialize_keras_object(model)
    except Exception:
        # A class without a configuration cannot be saved that way at all; saving it raises the error that says so.
        config = {}
    for entry in keras_config.entries(config):
        name, module = entry.get("config" if entry.get("class_name") == "function" else "class_name"), str(entry.get("module"))
        registered = name if entry.get("class_name") == "function" else entry.get("registered_name")
        thing = keras.saving.get_registered_object(registered) if isinstance(registered, str) else None
        if isinstance(name, str) and (thing := thing or getattr(sys.modules.get(module), name, None)):
            found[name] = thing
    return named(keras, {name: thing for name, thing in found.items() if _root(thing) not in FRAMEWORKS})


def _root(thing: Any) -> str:
    return str(getattr(thing, "__module__", "builtins")).partition(".")[0]

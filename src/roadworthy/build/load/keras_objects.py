"""The user's own classes and functions in a live Keras model: what another process needs to read the saved model again."""

from __future__ import annotations

import sys
from typing import Any

from roadworthy.build.load import keras_config

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
    """Everything in ``model`` that is none of Keras's own, by its names: classes of layers, and what their configurations ask for."""
    classes = {type(layer).__name__: type(layer) for layer in model._flatten_layers()}
    found = {name: kind for name, kind in classes.items() if kind.__module__.partition(".")[0] not in FRAMEWORKS}
    try:
        config = keras.saving.serialize_keras_object(model)
    except Exception:
        # A class without a configuration cannot be saved that way at all, which saving it will say.
        config = {}
    for entry in keras_config.entries(config):
        registered, module = entry.get("registered_name"), entry.get("module")
        name = entry.get("config") if entry.get("class_name") == "function" else entry.get("class_name")
        if not isinstance(name, str) or str(module or "").partition(".")[0] in FRAMEWORKS[:3]:
            continue
        thing = keras.saving.get_registered_object(registered) if isinstance(registered, str) else None
        thing = thing if thing is not None else getattr(sys.modules.get(str(module)), name, None)
        if thing is not None and str(getattr(thing, "__module__", "")).partition(".")[0] not in FRAMEWORKS:
            found[name] = thing
    return named(keras, found)

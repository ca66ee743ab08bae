"""Keras: ``preprocess_input`` of an application, by name or as the function, and preprocessing layers, live or in a ``.keras`` file."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from roadworthy.build.preprocessing.found import Found
from roadworthy.build.preprocessing.keras import applications, archive, layers
from roadworthy.build.preprocessing.keras.layers import INSTEAD, PreprocessingLayer
from roadworthy.core.errors import DataError
from roadworthy.preprocess.contract import Contract
from roadworthy.preprocess.spec import Layout

NAME = re.compile(r"(?:\w+\.)?(?:tf_)?keras\.(?:src\.)?applications\.(\w+)[.:]preprocess_input")
PACKAGES = ("keras", "tf_keras")


def of_name(text: str, layout: Layout) -> Found | None:
    """``keras.applications.resnet50.preprocess_input``, with the name of the package that Keras is in before it or not (``tf.``)."""
    match = NAME.fullmatch(text)
    return _application(match[1], layout) if match else None


def of_path(path: Path, layout: Layout) -> Found | None:
    """A ``.keras`` file of preprocessing layers alone."""
    read = archive.read(path)
    return None if read is None else _of_layers(read, layout, f"the layers in {path.name}")


def of_object(value: Any, layout: Layout) -> Found | None:
    """A ``preprocess_input``, a preprocessing layer, or a Sequential, a Pipeline or a list of such layers."""
    if getattr(value, "__name__", "") == "preprocess_input" and (match := NAME.fullmatch(f"{value.__module__}.preprocess_input")):
        return _application(match[1], layout)
    found = list(_live(value))
    return _of_layers(found, layout, f"Keras layers: {', '.join(layer.kind for layer in found)}") if found else None


def _application(module: str, layout: Layout) -> Found:
    if module not in applications.MODES:
        known = ", ".join(applications.MODES)
        raise DataError(f"keras.applications.{module} is not known; those with a preprocess_input are {known}")
    mode = applications.MODES[module]
    does = "which leaves the pixels as they are" if mode == "nothing" else f'mode "{mode}"'
    contract = Contract(applications.steps(mode, layout))
    return Found(contract, f"keras.applications.{module}.preprocess_input, {does}", fits_input=True)


def _of_layers(read: list[PreprocessingLayer], layout: Layout, origin: str) -> Found:
    steps, notes = layers.contract_steps(read, layout)
    contract = Contract(steps)
    contract.check()
    return Found(contract, origin, notes, fits_input=contract.sample_shape().height is None)


def _live(value: Any) -> Iterator[PreprocessingLayer]:
    """The layers of a live object; none where it is not one of Keras, and DataError for a model that is more than a chain of layers."""
    if isinstance(value, list | tuple):
        yield from _several(value)
        return
    kind = type(value)
    if not any(base.__module__.partition(".")[0] in PACKAGES for base in kind.__mro__):
        return
    if kind.__name__ in ("Sequential", "Pipeline"):
        yield from _several(value.layers)
    elif not hasattr(value, "get_config") or (hasattr(value, "_flatten_layers") and kind.__name__ in ("Functional", "Model")):
        raise DataError(f"a Keras {kind.__name__} is not read as preprocessing: give its layers as keras.Sequential([...])")
    else:
        adapted = [_numbers(getattr(value, name, None)) for name in ("mean", "variance")]
        yield PreprocessingLayer(kind.__name__, value.name, value.get_config(), *adapted)


def _several(values: Iterable[Any]) -> Iterator[PreprocessingLayer]:
    """The layers of each of ``values``; none where none of them is of Keras, and DataError where some are."""
    read = [(one, list(_live(one))) for one in values]
    if (other := next((one for one, found in read if not found), None)) is not None and any(found for _, found in read):
        raise DataError(f"a {type(other).__name__} stands among the layers of Keras; {INSTEAD}")
    for _, found in read:
        yield from found


def _numbers(tensor: Any) -> tuple[float, ...]:
    """The values of a live tensor, as far as they are one number or one for each channel."""
    if tensor is None:
        return ()
    array = tensor.numpy() if hasattr(tensor, "numpy") else tensor
    return tuple(map(float, array.reshape(-1))) if array.size in (1, 3) else ()

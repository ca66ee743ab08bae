"""Samples as arrays by name, from memory or from files of arrays, checked against what is known of the model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from roadworthy.build.data.live import forms, spool
from roadworthy.build.data.live.spool import Spooled
from roadworthy.build.data.live.values import LOST, column
from roadworthy.build.data.live.wanted import Wanted
from roadworthy.build.data.raw_data import UNNAMED, ExpectedInputs, RawData
from roadworthy.build.data.user_targets import check_length
from roadworthy.core.errors import DataError
from roadworthy.core.evidence import Note
from roadworthy.core.types import BYTES, Array
from roadworthy.preprocess.contract import ItemKind

COLUMNS: dict[ItemKind, tuple[str, ...]] = {
    "text": ("text", "texts", "sentence", "review", "document", "content", "comment", "body", "message", "tweet", "input", "x", UNNAMED),
    "audio": ("audio", "sound", "wav", "bytes", "x", UNNAMED),
}
"""The names that a column of texts or of sounds has."""


def wanted_of(expected: ExpectedInputs) -> Wanted:
    """What is wanted of data in Python. Texts do not come under the names of the inputs that they become."""
    return Wanted(() if expected.contract.kind == "text" else expected.names, expected.targets, expected.limit)


def read_python(data: Any, expected: ExpectedInputs, scratch: Path, what: str) -> RawData:
    """The samples in ``data``, of any form that ``live.forms`` knows; a stream goes through the new directory ``scratch``.

    Raises DataError, with ``what`` in front, where they are not samples of the model that is ``expected``.
    """
    return named_samples(spool.collect(forms.read(data, wanted_of(expected), what), scratch), expected, what)


def named_samples(found: Spooled, expected: ExpectedInputs, what: str) -> RawData:
    """``found`` as the model's inputs, of one length and of dtypes that a model can take; raises DataError where they are not."""
    if (name := _column_of_items(found.inputs, expected, what)) is not None:
        items = _checked(found.inputs[name], f"{what}: {name}").tolist()
        check_length(found.targets, len(items), what)
        notes = (*found.notes, *_left_out(found.inputs, name))
        return RawData(len(items), found.targets, expected.contract.answer.labels or found.classes, items=items, notes=notes)
    inputs = {name: _checked(array, f"{what}: {name}") for name, array in _by_input(found.inputs, expected.names, what).items()}
    count = _common_length(inputs, what)
    check_length(found.targets, count, what)
    classes = expected.contract.answer.labels or found.classes
    if expected.contract.takes_images and len(inputs) == 1:
        (only,) = inputs.values()
        if _are_images(only):
            images = only.tolist() if only.dtype == np.dtype(BYTES) else only
            return RawData(count, found.targets, classes, items=images, notes=found.notes)
    return RawData(count, found.targets, classes, arrays=inputs, notes=found.notes)


def _column_of_items(arrays: Mapping[str, Array], expected: ExpectedInputs, what: str) -> str | None:
    """Which of ``arrays`` holds the texts, or the bytes of the sounds, that the contract turns into samples; ``None`` for ready samples.

    It is the only one of byte strings, or that of a usual name; DataError where that leaves several.
    """
    kind = expected.contract.kind
    strings = [name for name, array in arrays.items() if array.ndim == 1 and array.dtype.kind in "OU"]
    if kind not in COLUMNS or not strings or (expected.names and set(expected.names) <= set(arrays) - set(strings)):
        return None
    usual = [name for name in strings if name.lower() in COLUMNS[kind]]
    found = strings if len(strings) == 1 else usual
    if len(found) != 1:
        listed = ", ".join(strings)
        raise DataError(f"{what} has several columns of texts ({listed}), and which is the input cannot be told: call one of them text")
    return found[0]


def _left_out(arrays: Mapping[str, Array], name: str) -> tuple[Note, ...]:
    left = ", ".join(map(repr, (other for other in arrays if other != name)))
    return (Note(f"{name!r} of the data is the input, and {left} were left out; --targets names targets among them"),) if left else ()


def _are_images(array: Array) -> bool:
    """Whether samples are pictures that the contract's steps read: encoded ones, or pixels."""
    if array.dtype == np.dtype(BYTES):
        return array.ndim == 1
    return array.dtype == np.uint8 and (array.ndim == 3 or (array.ndim == 4 and array.shape[3] in (1, 3)))


def _by_input(arrays: Mapping[str, Array], names: tuple[str, ...], what: str) -> Mapping[str, Array]:
    """``arrays`` in the order of the inputs ``names``. The array of a single input may be called ``x`` or ``UNNAMED``.

    Where the names are not known yet, several arrays give them, and a single one is called ``UNNAMED``. Columns for a single input
    stay as they are: they are joined when it is known what the model takes.
    """
    if not names:
        return arrays if len(arrays) != 1 else {UNNAMED: next(iter(arrays.values()))}
    if len(names) == 1 and names[0] not in arrays:
        alone = next((name for name in ("x", UNNAMED) if name in arrays), None)
        if alone is not None:
            return {names[0]: arrays[alone]}
        if len(arrays) > 1 and all(array.ndim == 1 for array in arrays.values()):
            return arrays
    if missing := [name for name in names if name not in arrays]:
        raise DataError(f"{what} has no array {missing[0]!r}; it needs {', '.join(names)}, and holds {', '.join(arrays) or 'nothing'}")
    return {name: arrays[name] for name in names}


def _checked(array: Array, what: str) -> Array:
    """``array`` as an input: numbers, or texts and byte strings as an object array of bytes."""
    if array.dtype.kind == "S":
        raise DataError(f"{what} is {array.dtype}, {LOST}")
    if array.dtype.kind == "U":
        return column(array.reshape(-1).tolist(), what).reshape(array.shape)
    if (array.dtype.kind not in "biufc" and array.dtype != np.dtype(BYTES)) or array.ndim == 0:
        raise DataError(f"{what} is {array.dtype} {list(array.shape)}; it must be an array of numbers, samples first")
    return array


def _common_length(inputs: Mapping[str, Array], what: str) -> int:
    counts = {name: len(array) for name, array in inputs.items()}
    count = next(iter(counts.values()), 0)
    if count == 0:
        raise DataError(f"{what} holds no samples")
    if len(set(counts.values())) > 1:
        raise DataError(f"{what} has a different number of samples for each input: {counts}")
    return count

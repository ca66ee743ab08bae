"""Data in memory: arrays, tensors of any library, lists of images and byte strings, with or without targets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from roadworthy.build.data.raw_data import UNNAMED, ExpectedInputs, RawData
from roadworthy.build.data.user_targets import check_length, read_targets, unfastened
from roadworthy.core.errors import DataError
from roadworthy.core.samples import Targets
from roadworthy.core.types import BYTES, Array
from roadworthy.preprocess.contract import Contract

BYTES_HINT = "give byte strings as a folder of files, or by a callable that returns an object array of bytes"


def read_arrays(data: Any, expected: ExpectedInputs, what: str) -> RawData:
    """The samples in ``data``: ``x``, or a tuple ``(x, y)``; ``x`` is an array, a mapping of them by input name, or a list of images.

    ``y`` is an array or several by name (see ``read_targets``). Raises DataError, with ``what`` in front, where they are not samples of
    the model that is ``expected``.
    """
    x, y = data if isinstance(data, tuple) and len(data) == 2 else (data, None)
    targets = read_targets(y, what)
    if _is_list_of_images(x, expected.contract):
        return _list_of_images(x, targets, expected, what)
    given = dict(x) if isinstance(x, Mapping) else {"x": x}
    arrays = {name: _strings(value) if _are_bytes(value) else _as_array(value, f"{what}: {name}") for name, value in given.items()}
    return named_samples(arrays, targets, expected, what)


def named_samples(arrays: Mapping[str, Array], targets: Targets, expected: ExpectedInputs, what: str) -> RawData:
    """``arrays`` by name as the model's inputs, of one length and of dtypes that a model can take; raises DataError where they are not."""
    inputs = {name: _checked(array, f"{what}: {name}") for name, array in _by_input(arrays, expected.names, what).items()}
    count = _common_length(inputs, what)
    check_length(targets, count, what)
    classes = expected.contract.answer.labels
    if expected.contract.takes_images and len(inputs) == 1:
        (only,) = inputs.values()
        if _are_images(only):
            return RawData(count, targets, classes, images=only)
    return RawData(count, targets, classes, arrays=inputs)


def _list_of_images(x: Any, targets: Targets, expected: ExpectedInputs, what: str) -> RawData:
    names = expected.names
    if len(names) > 1:
        raise DataError(f"{what} is a list of images, but the model has {len(names)} inputs ({', '.join(names)})")
    images = [Path(item) if isinstance(item, str) else item for item in x]
    check_length(targets, len(images), what)
    return RawData(len(images), targets, expected.contract.answer.labels, images=images)


def _is_list_of_images(x: Any, contract: Contract) -> bool:
    """Whether ``x`` is a list of images, by its first item. Bytes and uint8 arrays are images where the contract takes images."""
    if not isinstance(x, list | tuple) or not x:
        return False
    first = x[0]
    if isinstance(first, bytes | np.ndarray):
        return contract.takes_images and (isinstance(first, bytes) or first.dtype == np.uint8)
    return isinstance(first, str | Path | Image.Image)


def _are_images(array: Array) -> bool:
    return array.dtype == np.uint8 and (array.ndim == 3 or (array.ndim == 4 and array.shape[3] in (1, 3)))


def _by_input(arrays: Mapping[str, Array], names: tuple[str, ...], what: str) -> dict[str, Array]:
    """``arrays`` in the order of the inputs ``names``. The array of a single input may be called ``x``.

    Where the names are not known yet, several arrays give them, and a single one is called ``UNNAMED``.
    """
    if not names:
        names = tuple(arrays) if len(arrays) != 1 else (UNNAMED,)
        arrays = dict(zip(names, arrays.values(), strict=True))
    elif len(names) == 1 and names[0] not in arrays and "x" in arrays:
        arrays = {names[0]: arrays["x"]}
    if missing := [name for name in names if name not in arrays]:
        raise DataError(f"{what} has no array {missing[0]!r}; it needs {', '.join(names)}, and holds {', '.join(arrays) or 'nothing'}")
    return {name: arrays[name] for name in names}


def _checked(array: Array, what: str) -> Array:
    """``array`` as an input: numbers, or texts and byte strings as an object array of bytes."""
    if array.dtype.kind == "S":
        raise DataError(f"{what} is {array.dtype}, which has lost the zeros at the ends of its byte strings: {BYTES_HINT}")
    if array.dtype.kind in "OU" and array.ndim and all(isinstance(value, str | bytes) for value in array.flat):
        return _strings(array.ravel().tolist()).reshape(array.shape)
    if array.dtype.kind not in "biufc" or array.ndim == 0:
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


def _as_array(value: Any, what: str) -> Array:
    value = unfastened(value)
    if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        raise DataError(f"{what} has masked values, which no model takes; fill them first, for example with .filled(0)")
    try:
        return np.asarray(value)
    except (TypeError, ValueError, RuntimeError) as problem:
        raise DataError(f"{what} cannot be read as an array: {problem}") from None


def _are_bytes(value: Any) -> bool:
    """Whether ``value`` is a list of byte strings. NumPy would make of it an array that drops the zeros at their ends."""
    return isinstance(value, list | tuple) and len(value) > 0 and all(isinstance(item, bytes) for item in value)


def _strings(values: Iterable[Any]) -> Array:
    """Byte strings, texts as UTF-8, as an object array [n]."""
    strings = [value.encode() if isinstance(value, str) else value for value in values]
    array = np.empty(len(strings), BYTES)
    array[:] = strings
    return array

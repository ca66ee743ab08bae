"""Tensors as nested JSON lists, for TensorFlow Serving and TorchServe: JSON to arrays of a given dtype, and arrays to JSON.

TensorFlow Serving's JSON has NaN, Infinity and -Infinity, and ``{"b64": text}`` for bytes.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
import orjson

from roadworthy.core.errors import InvalidRequest
from roadworthy.core.exact import pack_exactly
from roadworthy.core.types import BYTES, Array, TensorSpec
from roadworthy.serving.protocols.json_parsing import check_depth

DATA_TYPES = {
    "float32": "DT_FLOAT", "float64": "DT_DOUBLE", "int32": "DT_INT32", "uint8": "DT_UINT8", "int16": "DT_INT16", "int8": "DT_INT8",
    "int64": "DT_INT64", "bool": "DT_BOOL", "uint16": "DT_UINT16", "float16": "DT_HALF", "uint32": "DT_UINT32", "uint64": "DT_UINT64",
    BYTES: "DT_STRING",
}  # fmt: skip
"""TensorFlow's names of NumPy's dtypes."""

_NUMPY = orjson.OPT_SERIALIZE_NUMPY


def read(body: bytes, depth: int) -> Any:
    """``body`` as JSON nested no deeper than ``depth``, NaN, Infinity and -Infinity included; raises InvalidRequest."""
    check_depth(body, depth)
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as problem:
        if b"NaN" not in body and b"Infinity" not in body:
            raise InvalidRequest(f"JSON Parse error: {problem}") from None
    try:
        found = json.loads(body.decode())
    except (ValueError, RecursionError) as problem:
        raise InvalidRequest(f"JSON Parse error: {problem}") from None
    if b"\\u" in body:
        _check_characters(found)
    return found


def _check_characters(found: Any) -> None:
    """Refuse half a surrogate pair: it is not a character and cannot be written again, but the standard library reads it."""
    try:
        json.dumps(found, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise InvalidRequest("JSON Parse error: a text holds half a surrogate pair, which is not a character") from None


def booleans(body: bytes) -> bool:
    """Whether a boolean may be somewhere in the JSON of ``body``; without one, the elements need no check one by one."""
    # Searching for one letter is faster than for a word, and most bodies do not have it.
    return (b"r" in body and b"true" in body) or (b"l" in body and b"false" in body)


def tensor(spec: TensorSpec, value: object, *, suspicious: bool = True) -> Array:
    """``value``, nested lists of one shape, with the dtype of ``spec``. ``suspicious``: it may hold booleans among numbers.

    Raises InvalidRequest for rows of different shapes, elements of another type, numbers out of range.
    """
    flat, shape = _flat(spec, value)
    return elements(spec, flat, shape, suspicious=suspicious)


def elements(spec: TensorSpec, flat: Sequence[Any], shape: tuple[int, ...], *, suspicious: bool = True) -> Array:
    """``flat`` as an array of ``shape`` with the dtype of ``spec``; see ``tensor``."""
    if spec.dtype == BYTES:
        return strings([_bytes(spec, element) for element in flat]).reshape(shape)
    if spec.dtype == "bool":
        if others := set(map(type, flat)).difference((bool,)):
            raise _wrong_kind(spec, others.pop())
        return np.array(flat, bool).reshape(shape)
    if spec.dtype not in DATA_TYPES:
        raise InvalidRequest(f"input {spec.name!r} is {spec.dtype}, which has no form in this protocol")
    if suspicious and bool in set(map(type, flat)):
        raise _wrong_kind(spec, bool)
    try:
        return pack_exactly(spec.name, flat, spec.dtype, shape)
    except InvalidRequest:
        # Either an element is of another type (NumPy would read text as a number), or a number is out of range.
        if others := set(map(type, flat)).difference((int, float) if spec.dtype.startswith("float") else (int,)):
            raise _wrong_kind(spec, others.pop()) from None
        raise


def is_bytes(value: object) -> bool:
    """Whether ``value`` is ``{"b64": text}``."""
    return isinstance(value, dict) and len(value) == 1 and isinstance(value.get("b64"), str)


def decoded(name: str, value: object) -> bytes:
    """The bytes of ``{"b64": text}``; raises InvalidRequest."""
    if not isinstance(value, dict) or not is_bytes(value):
        raise InvalidRequest(f'input {name!r} holds {_kind(type(value))} where {{"b64": text}} is expected')
    text = value["b64"]
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        pass
    # TensorFlow Serving accepts line breaks and missing padding too.
    bare = "".join(text.split()).rstrip("=")
    try:
        return base64.b64decode(bare + "=" * (-len(bare) % 4), validate=True)
    except ValueError:
        raise InvalidRequest(f"input {name!r} holds text that is not base64") from None


def strings(values: Sequence[bytes]) -> Array:
    """Byte strings as an array of one dimension. NumPy must not find the dtype itself: it drops zeros at the end of byte strings."""
    found = np.empty(len(values), BYTES)
    found[:] = values
    return found


def written(value: object) -> bytes:
    """``value`` as JSON; arrays in it have passed ``jsonable``."""
    return orjson.dumps(value, option=_NUMPY)


def jsonable(name: str, values: Array) -> Any:
    """An output as ``written`` takes it: numbers as nested lists, byte strings as text or, where the output's name ends in
    ``_bytes`` or they are not UTF-8, as ``{"b64": text}``."""
    if values.dtype.kind in "OSU":
        return _texts(values.tolist(), name.endswith("_bytes"))
    # Converted by the dtype's name: NumPy has two 64-bit integer types, and orjson knows one of them.
    native = np.ascontiguousarray(values, values.dtype.name).reshape(values.shape)
    whole = native if native.ndim else native[()]
    if native.dtype.kind != "f" or np.isfinite(native).all():
        return whole
    # orjson writes each number that is not finite as null, in order.
    pieces = orjson.dumps(whole, option=_NUMPY).split(b"null")
    tokens = (b"NaN" if math.isnan(odd) else b"Infinity" if odd > 0 else b"-Infinity" for odd in native[~np.isfinite(native)].tolist())
    return orjson.Fragment(b"".join(chain.from_iterable(zip(pieces, tokens, strict=False))) + pieces[-1])


def _flat(spec: TensorSpec, value: object) -> tuple[Sequence[Any], tuple[int, ...]]:
    """``value`` as one flat list, and the shape that its nesting has."""
    shape: list[int] = []
    level = value
    while isinstance(level, list):
        shape.append(len(level))
        if len(shape) > len(spec.shape):
            raise InvalidRequest(f"input {spec.name!r} is nested deeper than the model's {len(spec.shape)} dimensions ({spec})")
        level = level[0] if level else None
    if not isinstance(value, list):
        return [value], ()
    flat: list[Any] = value
    for size in shape[1:]:
        if not all(type(row) is list and len(row) == size for row in flat):
            raise _ragged(spec, value)
        flat = flat[0] if len(flat) == 1 else list(chain.from_iterable(flat))
    if spec.dtype == BYTES and any(isinstance(element, list) for element in flat):
        raise _ragged(spec, value)
    return flat, tuple(shape)


def _ragged(spec: TensorSpec, rows: list[Any]) -> InvalidRequest:
    """The error that names the row with another shape than the first."""
    shapes = [_shape(row, len(spec.shape)) for row in rows]
    for index, shape in enumerate(shapes):
        if shape is None:
            return InvalidRequest(f"row {index} of input {spec.name!r} is a list of lists of different lengths; the model takes {spec}")
        if shape != shapes[0]:
            return InvalidRequest(
                f"row {index} of input {spec.name!r} has shape {shape}, and row 0 has {shapes[0]}; the model takes {spec}"
            )
    return InvalidRequest(f"input {spec.name!r} holds lists of different lengths; the model takes {spec}")


def _shape(value: object, rank: int) -> list[int] | None:
    """The shape of nested lists; ``None`` where they have none, or one of more than ``rank`` dimensions."""
    if not isinstance(value, list):
        return []
    inner = [_shape(one, rank - 1) for one in value] if rank > 0 else [None]
    if any(one is None or one != inner[0] for one in inner):
        return None
    return [len(value), *(inner[0] or ())] if inner else [0]


def _bytes(spec: TensorSpec, element: object) -> bytes:
    if isinstance(element, bytes):
        return element
    if isinstance(element, str):
        try:
            return element.encode()
        except UnicodeEncodeError:
            raise InvalidRequest(f'input {spec.name!r} holds text that is not Unicode; send bytes as {{"b64": text}}') from None
    if isinstance(element, dict):
        return decoded(spec.name, element)
    raise _wrong_kind(spec, type(element))


def _texts(value: Any, encoded: bool) -> Any:
    if isinstance(value, list):
        return [_texts(one, encoded) for one in value]
    data = value.encode() if isinstance(value, str) else value
    if not encoded:
        try:
            return data.decode()
        except UnicodeDecodeError:
            pass
    return {"b64": base64.b64encode(data).decode()}


def _wrong_kind(spec: TensorSpec, kind: type) -> InvalidRequest:
    return InvalidRequest(f"input {spec.name!r} is {_of(spec)}, but its data holds {_kind(kind)}")


def _of(spec: TensorSpec) -> str:
    return DATA_TYPES.get(spec.dtype, "DT_STRING")


def _kind(kind: type) -> str:
    names = {str: "text", bool: "booleans", int: "whole numbers", float: "fractions", list: "nested lists", dict: "objects"}
    return names.get(kind, "null")

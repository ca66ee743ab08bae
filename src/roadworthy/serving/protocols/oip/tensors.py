"""Tensors of the Open Inference Protocol: their JSON and their binary form, to arrays and back.

BYTES are object arrays of ``bytes``: in JSON they are text, UTF-8, and only in binary anything else. Binary is row-major and
little-endian, without padding.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np

from roadworthy.core.errors import InvalidRequest
from roadworthy.core.exact import pack_exactly
from roadworthy.core.types import BYTES as OBJECT
from roadworthy.core.types import Array

BYTES = "BYTES"
DTYPES = {
    "BOOL": "bool", "UINT8": "uint8", "UINT16": "uint16", "UINT32": "uint32", "UINT64": "uint64",
    "INT8": "int8", "INT16": "int16", "INT32": "int32", "INT64": "int64", "FP16": "float16", "FP32": "float32", "FP64": "float64",
}  # fmt: skip
"""The protocol's datatypes by NumPy's names; NumPy has no BF16."""
DATATYPES = {dtype: datatype for datatype, dtype in DTYPES.items()} | {OBJECT: BYTES}

MAX_RANK, MAX_ELEMENTS = 32, 2**32
# Looked up by dtype and not by its name: NumPy builds the name again each time.
_DTYPES = {datatype: np.dtype(name) for datatype, name in DTYPES.items()}
_DATATYPES = {np.dtype(name): datatype for name, datatype in DATATYPES.items()}
_JSON_TYPES: dict[str, tuple[type, ...]] = {"b": (bool,), "i": (int,), "u": (int,), "f": (int, float)}
_LITTLE = {datatype: dtype.newbyteorder("<") for datatype, dtype in _DTYPES.items()}


def dtype_of(name: str, datatype: object) -> np.dtype[Any]:
    """The NumPy dtype of a request's ``datatype``."""
    if not isinstance(datatype, str) or datatype not in DTYPES:
        raise InvalidRequest(f"input {name!r} has datatype {datatype!r}; known datatypes: {', '.join(DTYPES)}")
    return _DTYPES[datatype]


def shape_of(name: str, shape: object) -> tuple[int, ...]:
    """A request's ``shape``, checked."""
    if not isinstance(shape, list) or len(shape) > MAX_RANK or not all(type(size) is int and 0 <= size < 2**63 for size in shape):
        raise InvalidRequest(f"input {name!r} needs a shape: a list of at most {MAX_RANK} sizes, each a whole number that is not negative")
    # A size of 0 counts as 1: NumPy refuses a shape with a huge size even where another size is 0.
    if math.prod(max(size, 1) for size in shape) > MAX_ELEMENTS:
        raise InvalidRequest(f"input {name!r} has shape {shape}, more than {MAX_ELEMENTS} elements")
    return tuple(shape)


def from_json(name: str, datatype: object, shape: tuple[int, ...], data: object) -> Array:
    """``data``, a list of numbers or booleans, flat or nested as ``shape``, as a read-only array.

    Raises InvalidRequest for FP16 (it has no JSON form), elements of another type, numbers out of range, another shape.
    """
    dtype = dtype_of(name, datatype)
    if datatype == "FP16":
        raise InvalidRequest(f"input {name!r} is FP16, which has no JSON form; send it with the binary tensor extension, or as FP32")
    flat = flatten(name, shape, data)
    if others := _kinds(flat).difference(_JSON_TYPES[dtype.kind]):
        raise InvalidRequest(f"input {name!r} is {datatype}, but its data holds {_json_name(others.pop())}")
    return pack_exactly(name, flat, dtype, shape)


def from_binary(name: str, datatype: object, shape: tuple[int, ...], data: memoryview) -> Array:
    """``data`` as a read-only array: a view where it is aligned in the body, else a copy."""
    dtype = dtype_of(name, datatype)
    if len(data) != math.prod(shape) * dtype.itemsize:
        raise InvalidRequest(
            f"input {name!r} is {datatype} of shape {list(shape)}, {math.prod(shape) * dtype.itemsize} bytes; {len(data)} came"
        )
    if dtype.kind == "b" and len(data) and np.frombuffer(data, np.uint8).max() > 1:
        raise InvalidRequest(f"input {name!r} is BOOL, but its data holds bytes other than 0 and 1")
    array = np.frombuffer(data, _LITTLE[str(datatype)])
    return array.astype(dtype, copy=not array.flags.aligned).reshape(shape)


def flatten(name: str, shape: tuple[int, ...], data: object) -> list[Any]:
    """``data``, flat or nested as ``shape``, as one flat list."""
    if not isinstance(data, list):
        raise InvalidRequest(f"input {name!r} needs data: a list")
    flat: list[Any] = data
    if data and isinstance(data[0], list):
        sizes = shape[1:]
        if not shape or len(data) != shape[0]:
            raise InvalidRequest(f"input {name!r} has shape {list(shape)}, but its data is nested in another way")
        for size in sizes:
            if not all(type(row) is list and len(row) == size for row in flat):
                raise InvalidRequest(f"input {name!r} has shape {list(shape)}, but its data is nested in another way")
            flat = list(chain.from_iterable(flat))
    if len(flat) != math.prod(shape):
        raise InvalidRequest(f"input {name!r} has shape {list(shape)}, {math.prod(shape)} elements; its data has {len(flat)}")
    return flat


def split_bytes(name: str, count: int, data: memoryview) -> tuple[bytes, ...]:
    """``count`` elements of BYTES, each a little-endian u32 length and so many bytes."""
    elements: list[bytes] = []
    offset = 0
    while offset < len(data) and len(elements) < count:
        if offset + 4 > len(data):
            break
        (length,) = struct.unpack_from("<I", data, offset)
        elements.append(bytes(data[offset + 4 : offset + 4 + length]))
        offset += 4 + length
    if offset != len(data) or len(elements) != count:
        raise InvalidRequest(
            f"input {name!r} should be {count} BYTES elements, each a u32 length and so many bytes; its data does not hold so many"
        )
    return tuple(elements)


def strings_from_json(name: str, shape: tuple[int, ...], data: object) -> Array:
    """BYTES in JSON, a list of texts, flat or nested as ``shape``, as their UTF-8 bytes."""
    flat = flatten(name, shape, data)
    if others := _kinds(flat).difference((str,)):
        raise InvalidRequest(f"input {name!r} is BYTES, which are text in JSON, but its data holds {_json_name(others.pop())}")
    try:
        return strings([text.encode() for text in flat], shape)
    except UnicodeEncodeError:
        raise InvalidRequest(f"input {name!r} holds text that is not Unicode; send bytes with the binary tensor extension") from None


def strings_from_binary(name: str, shape: tuple[int, ...], data: memoryview) -> Array:
    """BYTES in binary, see ``split_bytes``."""
    return strings(split_bytes(name, math.prod(shape), data), shape)


def strings(elements: Sequence[bytes], shape: tuple[int, ...]) -> Array:
    """``elements`` as an array of BYTES."""
    array = np.empty(len(elements), OBJECT)
    array[:] = elements
    return array.reshape(shape)


def datatype_of(name: str, array: Array) -> str:
    """The protocol's datatype of an output."""
    try:
        return _DATATYPES[array.dtype.newbyteorder("=")]
    except KeyError:
        raise InvalidRequest(
            f"output {name!r} is {array.dtype.name}, which this protocol cannot express; leave it out of the request"
        ) from None


def to_json(name: str, array: Array) -> Array | list[str]:
    """The elements in row-major order, as orjson takes them. Non-finite numbers become ``null``: JSON has none."""
    if array.dtype == np.float16:
        raise InvalidRequest(f"output {name!r} is FP16, which has no JSON form; ask for it with binary_data")
    if array.dtype == object:
        try:
            return [element if isinstance(element, str) else element.decode() for element in array.flat]
        except UnicodeDecodeError:
            raise InvalidRequest(f"output {name!r} holds bytes that are not UTF-8 text; ask for it with binary_data") from None
    return np.ascontiguousarray(array).reshape(-1)


def to_binary(array: Array) -> bytes | memoryview:
    """The binary form, non-finite numbers included. Contiguous numbers are a view, so that they are copied once, into the answer."""
    if array.dtype == object:
        elements = (element.encode() if isinstance(element, str) else element for element in array.flat)
        return b"".join(struct.pack("<I", len(element)) + element for element in elements)
    little = array.astype(array.dtype.newbyteorder("<"), order="C", copy=False)
    return little.reshape(-1).view(np.uint8).data


def _kinds(flat: list[Any]) -> set[type]:
    """The types of the elements. Counting one type is faster than collecting all, and most lists have only one."""
    kinds = list(map(type, flat))
    return {kinds[0]} if kinds and kinds.count(kinds[0]) == len(kinds) else set(kinds)


def _json_name(kind: type) -> str:
    return {str: "text", bool: "booleans", int: "whole numbers", float: "fractions", list: "nested lists", dict: "objects"}.get(
        kind, "null"
    )

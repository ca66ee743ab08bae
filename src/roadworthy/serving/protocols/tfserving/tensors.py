"""TensorProto to arrays and back: elements in ``tensor_content``, or one by one in the field of their type."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np

from roadworthy.core.errors import InvalidRequest, TooLarge
from roadworthy.core.exact import cast_exactly
from roadworthy.core.types import BYTES, Array
from roadworthy.serving.protocols.nested_json import DATA_TYPES, strings
from roadworthy.serving.protocols.oip import tensors
from roadworthy.serving.protocols.proto import tensorflow

_FIELDS = {
    "float32": "float_val", "float64": "double_val", "float16": "half_val", "bool": "bool_val", BYTES: "string_val",
    "int8": "int_val", "int16": "int_val", "int32": "int_val", "uint8": "int_val", "uint16": "int_val",
    "int64": "int64_val", "uint32": "uint32_val", "uint64": "uint64_val",
}  # fmt: skip
# In packed form these fields are a tag and the bytes of the array. Appending the bytes makes no Python object for each element.
_PACKED = {"float32": b"\x2a", "float64": b"\x32", "bool": b"\x5a"}


def to_array(name: str, tensor: Any, limit: int) -> Array:
    """The input called ``name``, a TensorProto; a field that is shorter than the shape repeats its last element.

    Raises InvalidRequest for a dtype that no model takes, an invalid shape, or elements that do not fit it; TooLarge where it would
    fill more than ``limit`` bytes: a few bytes of a request can stand for any number of elements.
    """
    dtype = _dtypes().get(tensor.dtype)
    if dtype is None:
        raise InvalidRequest(f"input {name!r} is {_name(tensor.dtype)}, which no model takes")
    shape = _shape(name, tensor.tensor_shape)
    # A size of 0 counts as 1: NumPy refuses a shape with a huge size even where another size is 0.
    if math.prod(max(size, 1) for size in shape) * np.dtype(dtype).itemsize > limit:
        raise TooLarge(f"input {name!r} has shape {list(shape)}, which is more than the {limit} bytes of this server's limit")
    if tensor.tensor_content:
        if dtype == BYTES:
            return strings(_split(name, tensor.tensor_content, math.prod(shape))).reshape(shape)
        return tensors.from_binary(name, tensors.DATATYPES[dtype], shape, memoryview(tensor.tensor_content))
    return _repeated(name, _typed(name, tensor, dtype), math.prod(shape)).reshape(shape)


def fill(tensor: Any, array: Array) -> None:
    """Write ``array`` to an empty TensorProto, in the field of its type."""
    dtype = BYTES if array.dtype.kind in "SU" else array.dtype.name
    tensor.dtype = tensorflow.DataType.Value(DATA_TYPES[dtype])
    for size in array.shape:
        tensor.tensor_shape.dim.add(size=size)
    if dtype == BYTES:
        tensor.string_val.extend(one.encode() if isinstance(one, str) else one for one in array.flat)
    elif dtype in _PACKED:
        data = array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
        tensor.MergeFromString(_PACKED[dtype] + _varint(len(data)) + data)
    else:
        numbers = array.view(np.uint16) if dtype == "float16" else array
        getattr(tensor, _FIELDS[dtype]).extend(numbers.ravel().tolist())


def enum(dtype: str) -> int:
    """TensorFlow's number of a signature's dtype."""
    number: int = tensorflow.DataType.Value(DATA_TYPES.get(dtype, "DT_STRING"))
    return number


@cache
def _dtypes() -> dict[int, str]:
    return {tensorflow.DataType.Value(name): dtype for dtype, name in DATA_TYPES.items()}


def _name(number: int) -> str:
    return tensorflow.DataType.Name(number) if number in tensorflow.DataType.values() else f"of dtype {number}"


def _shape(name: str, shape: Any) -> tuple[int, ...]:
    sizes = [dim.size for dim in shape.dim]
    if shape.unknown_rank or len(sizes) > tensors.MAX_RANK or any(size < 0 for size in sizes):
        raise InvalidRequest(f"input {name!r} needs a shape: at most {tensors.MAX_RANK} sizes, none of them negative")
    return tuple(sizes)


def _typed(name: str, tensor: Any, dtype: str) -> Array:
    """The elements in the field of ``dtype``, as many as there are."""
    field = getattr(tensor, _FIELDS[dtype])
    if dtype == BYTES:
        return strings(list(field))
    if not field:
        return np.zeros(0, dtype)
    numbers = np.array(field)
    if dtype == "float16":
        if numbers.min() < 0 or numbers.max() > 0xFFFF:
            raise InvalidRequest(f"input {name!r} holds a number in half_val that is not 16 bits")
        return numbers.astype(np.uint16).view(np.float16)
    return cast_exactly(name, numbers, dtype)


def _repeated(name: str, elements: Array, count: int) -> Array:
    if len(elements) == count:
        return elements
    if len(elements) > count:
        raise InvalidRequest(f"input {name!r} has a shape of {count} elements, and {len(elements)} came")
    # The last as an array: NumPy would drop the zeros at the end of a single byte string.
    last = elements[-1:] if len(elements) else strings([b""]) if elements.dtype.hasobject else np.zeros(1, elements.dtype)
    whole = np.empty(count, elements.dtype)
    whole[: len(elements)] = elements
    whole[len(elements) :] = last
    return whole


def _split(name: str, content: bytes, count: int) -> list[bytes]:
    """Byte strings as TensorFlow packs them: all lengths as varints, then all bytes."""
    lengths: list[int] = []
    at = 0
    while len(lengths) < count and at < len(content):
        length = shift = 0
        while at < len(content):
            byte = content[at]
            length |= (byte & 0x7F) << shift
            at, shift = at + 1, shift + 7
            if byte < 0x80 or shift > 28:
                break
        lengths.append(length)
    if len(lengths) != count or at + sum(lengths) != len(content):
        raise InvalidRequest(f"input {name!r} should be {count} byte strings; its tensor_content does not hold so many")
    found: list[bytes] = []
    for length in lengths:
        found.append(content[at : at + length])
        at += length
    return found


def _varint(number: int) -> bytes:
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes((*found, number))

"""Protobuf from untrusted files: a mapped file is walked in place, and only what our own descriptions name is copied out of it.

The wire format is protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from roadworthy.build.sources.parsers import proto
from roadworthy.build.sources.parsers.untrusted import mapped, reading

VARINT, BITS64, BYTES, BITS32 = 0, 1, 2, 5
LARGEST_FIELD = 2**29 - 1
NESTED = 100
"""How deep messages may lie in each other: protobuf's own limit, and so that of every framework's reader."""
VALUES = frozenset({"float_data", "raw_data"})
"""Fields that hold the values of a tensor: they are read where the whole tensor is small."""
SMALL = 4096
"""A message of at most so many bytes is parsed as a whole; a larger one may hold the values of a tensor, and is walked field by field."""


def parse(path: Path, family: str, name: str, what: str) -> Any:
    """The message ``name`` of our description ``family`` (see ``parsers.proto``) at ``path``.

    Raises SourceUnreadable where the file is not a valid ``what``, BackendMissing without protobuf.
    """
    message = proto.new(family, name)
    with reading(path, what):
        _fill(message, mapped(path), 1)
    return message


def wire_types(data: memoryview) -> dict[int, int]:
    """The wire type of each top-level field, by number; ValueError where ``data`` does not parse to its very end."""
    return {number: kind for number, kind, *_ in _spans(data)}


def _fill(message: Any, data: memoryview, depth: int) -> None:
    """Merge ``data`` into ``message``, as protobuf itself would, without the fields that its description does not have.

    Worked example, a GraphDef of one large constant: the GraphDef is walked, its NodeDef is walked, the node's name is parsed, its
    attribute ``value`` is walked down to the TensorProto, whose ``dtype`` is parsed and whose ``tensor_content`` is stepped over.
    """
    if depth > NESTED:
        raise ValueError(f"its messages are nested more than {NESTED} deep")
    known = message.DESCRIPTOR.fields_by_number
    for number, kind, begin, start, end in _spans(data):
        field = known.get(number)
        if field is None or (field.name in VALUES and end - start > SMALL):
            continue
        if field.message_type is not None and kind == BYTES and end - start > SMALL:
            inner = getattr(message, field.name)
            repeated = hasattr(inner, "add")
            _fill(inner.add() if repeated else inner, data[start:end], depth + 1)
            if not repeated:
                # A message counts as present also where nothing of it is known.
                inner.SetInParent()
        else:
            _merge(message, data[begin:end])


def _merge(message: Any, data: memoryview) -> None:
    from google.protobuf.message import DecodeError

    try:
        message.MergeFromString(bytes(data))
    except DecodeError:
        raise ValueError(f"a part of its {message.DESCRIPTOR.name} does not parse, or is nested too deep") from None


def _spans(data: memoryview) -> Iterator[tuple[int, int, int, int, int]]:
    """Of every field its number, its wire type, and where its tag, its value and what follows it begin."""
    at, end = 0, len(data)
    while at < end:
        begin = at
        tag, at = _varint(data, at)
        number, kind = tag >> 3, tag & 7
        if not 0 < number <= LARGEST_FIELD:
            raise ValueError(f"there is no field {number}")
        start = at
        if kind == VARINT:
            _, stop = _varint(data, at)
        elif kind == BYTES:
            length, start = _varint(data, at)
            stop = start + length
        elif kind in (BITS64, BITS32):
            stop = at + (8 if kind == BITS64 else 4)
        else:
            raise ValueError(f"field {number} is of the unknown wire type {kind}")
        if stop > end:
            raise ValueError(f"field {number} claims {stop - start} bytes and {end - start} are left")
        yield number, kind, begin, start, stop
        at = stop


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    """The unsigned number at ``at``, and where it ends."""
    value = shift = 0
    while True:
        if at >= len(data):
            raise ValueError("it ends within a number")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & (2**64 - 1), at
        shift += 7
        if shift > 63:
            raise ValueError("a number in it has no end")

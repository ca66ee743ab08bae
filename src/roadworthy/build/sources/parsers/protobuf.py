"""Protobuf messages from strangers, read in place: a mapped file, bounds checked at every step, nothing copied or built ahead.

The wire format is protobuf.dev/programming-guides/encoding. Which field means what is said by the modules that read
one format each, so that nothing of the framework is needed and no length in a file makes room for itself.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from roadworthy.core.errors import SourceUnreadable

VARINT, BITS64, BYTES, BITS32 = 0, 1, 2, 5
LARGEST_FIELD = 2**29 - 1
SHOWN = 120


@contextmanager
def reading(path: Path, what: str) -> Iterator[None]:
    """Whatever is wrong with the bytes becomes SourceUnreadable: ``path`` is no sound ``what``."""
    try:
        yield
    except (ValueError, IndexError, OverflowError, RecursionError) as problem:
        raise SourceUnreadable(f"{path} is no sound {what}: {problem}; it was cut short or damaged") from None
    except OSError as problem:
        raise SourceUnreadable(f"{path} cannot be read: {problem.strerror}") from None


def mapped(path: Path) -> memoryview:
    """The bytes of the file, mapped and not loaded; they live as long as a view of them does."""
    with open(path, "rb") as file:
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if path.stat().st_size else b"")


def fields(data: memoryview) -> Iterator[tuple[int, int, memoryview]]:
    """Number, wire type and bytes of every field, a varint's bytes included (``number`` reads them); ValueError where one is broken."""
    at, end = 0, len(data)
    while at < end:
        tag, at = _varint(data, at)
        field, kind = tag >> 3, tag & 7
        if not 0 < field <= LARGEST_FIELD:
            raise ValueError(f"there is no field {field}")
        start = at
        if kind == VARINT:
            _, stop = _varint(data, at)
        elif kind == BYTES:
            length, start = _varint(data, at)
            stop = start + length
        elif kind in (BITS64, BITS32):
            stop = at + (8 if kind == BITS64 else 4)
        else:
            raise ValueError(f"field {field} is of the unknown wire type {kind}")
        if stop > end:
            raise ValueError(f"field {field} claims {stop - start} bytes and {end - start} are left")
        yield field, kind, data[start:stop]
        at = stop


def messages(data: memoryview, field: int) -> Iterator[memoryview]:
    """The bytes of every field ``field`` that holds a message or a string."""
    return (value for found, kind, value in fields(data) if found == field and kind == BYTES)


def merged(data: memoryview, field: int) -> Iterator[tuple[int, int, memoryview]]:
    """The fields of the message in ``field``; said in several pieces, they count as one, as any parser has it."""
    for value in messages(data, field):
        yield from fields(value)


def text(data: memoryview, field: int) -> str:
    """The string in ``field``, empty where there is none."""
    found = b""
    for value in messages(data, field):
        found = bytes(value)
    return found.decode(errors="replace")


def texts(data: memoryview, field: int) -> tuple[str, ...]:
    """All strings in ``field``."""
    return tuple(decoded(value) for value in messages(data, field))


def integer(data: memoryview, field: int, otherwise: int = 0) -> int:
    """The integer in ``field``."""
    found = otherwise
    for number_, kind, value in fields(data):
        if number_ == field and kind == VARINT:
            found = number(value)
    return found


def integers(data: memoryview, field: int) -> tuple[int, ...]:
    """All integers in ``field``, packed or not."""
    found: list[int] = []
    for number_, kind, value in fields(data):
        if number_ == field and kind == VARINT:
            found.append(number(value))
        elif number_ == field and kind == BYTES:
            at = 0
            while at < len(value):
                raw, at = _varint(value, at)
                found.append(_signed(raw))
    return tuple(found)


def number(data: memoryview) -> int:
    """A varint field's bytes as the signed 64-bit number that they are."""
    return _signed(_varint(data, 0)[0])


def decoded(data: memoryview) -> str:
    """A string field's bytes as text; what is not UTF-8 is replaced."""
    return bytes(data).decode(errors="replace")


def shown(name: str) -> str:
    """A name from a file as a sentence may hold it: printable, and not endless."""
    plain = "".join(character if character.isprintable() else "?" for character in name[: SHOWN + 1])
    return plain if len(plain) <= SHOWN else plain[:SHOWN] + "..."


def _signed(raw: int) -> int:
    return raw - 2**64 if raw >= 2**63 else raw


def _varint(data: memoryview, at: int) -> tuple[int, int]:
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

"""What every reader of an untrusted file uses: its bytes mapped, its damage as one error, its names fit to be printed."""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from json import loads
from pathlib import Path
from typing import Any

import msgspec

from roadworthy.core.errors import SourceUnreadable

SHOWN = 120
JSON_BYTES = 2**24
"""The largest JSON file that is read: a configuration."""


@contextmanager
def reading(path: Path, what: str) -> Iterator[None]:
    """Turn every error in the bytes of ``path`` into SourceUnreadable: the file is not a valid ``what``."""
    try:
        yield
    except struct.error:
        raise SourceUnreadable(f"{path} is not a valid {what}: an offset leads out of the file; it was cut short or damaged") from None
    except (ValueError, IndexError, OverflowError, RecursionError) as problem:
        raise SourceUnreadable(f"{path} is not a valid {what}: {problem}; it was cut short or damaged") from None
    except OSError as problem:
        raise SourceUnreadable(f"{path} cannot be read: {problem.strerror}") from None


def mapped(path: Path) -> memoryview:
    """The bytes of the file, mapped and not copied; the mapping lasts as long as any view of it."""
    with open(path, "rb") as file:
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if path.stat().st_size else b"")


def json(data: bytes, what: str) -> Any:
    """The decoded JSON; SourceUnreadable, naming ``what``, where it is not valid."""
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
        raise SourceUnreadable(f"{what} is not valid JSON: {problem}") from None


def json_object(path: Path) -> dict[str, Any]:
    """The object in a JSON file as Python writes it, NaN and infinities included.

    Raises SourceUnreadable where it cannot be read, is larger than ``JSON_BYTES``, is not valid, or holds something else.
    """
    with reading(path, "JSON file"):
        if path.stat().st_size > JSON_BYTES:
            raise SourceUnreadable(f"{path} is larger than the {JSON_BYTES} bytes of JSON that are read")
        found = loads(path.read_bytes())
    if not isinstance(found, dict):
        raise SourceUnreadable(f"{path} holds a {type(found).__name__} where an object with names is wanted")
    return found


def printable(text: str) -> str:
    """``text`` from a file with a ``?`` for each character that a terminal would not print."""
    return "".join(character if character.isprintable() else "?" for character in text)


def shown(name: str) -> str:
    """A name from a file, made fit for a message: printable and at most 120 characters long."""
    plain = printable(name[: SHOWN + 1])
    return plain if len(plain) <= SHOWN else plain[:SHOWN] + "..."


def listed(names: tuple[str, ...], most: int = 4) -> str:
    """The first ``most`` names and how many more there are."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")

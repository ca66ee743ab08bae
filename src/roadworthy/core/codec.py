"""Frozen dataclasses to JSON or TOML and back, strictly typed; the one way data leaves or enters a process."""

from __future__ import annotations

import dataclasses
import difflib
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from roadworthy.core.errors import RoadworthyError

T = TypeVar("T")


def _encode(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    raise NotImplementedError(f"{type(value).__name__} has no place in a Roadworthy file")


def _decode(wanted: type, value: Any) -> Any:
    if wanted is Path and isinstance(value, str):
        return Path(value)
    raise NotImplementedError(f"{wanted} has no place in a Roadworthy file")


def to_json(value: object, *, indent: int = 0) -> bytes:
    """``value`` as UTF-8 JSON; non-finite floats become ``null``."""
    data = msgspec.json.encode(value, enc_hook=_encode)
    return msgspec.json.format(data, indent=indent) if indent else data


def from_json(wanted: type[T], data: bytes, *, error: type[RoadworthyError] = RoadworthyError, what: str = "JSON") -> T:
    """``data`` as a ``wanted``; anything missing, extra in type or malformed raises ``error`` naming ``what``."""
    try:
        return msgspec.json.decode(data, type=wanted, dec_hook=_decode)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
        raise error(f"{what}: {problem}") from None


def from_toml(wanted: type[T], text: str, *, error: type[RoadworthyError] = RoadworthyError, what: str = "TOML") -> T:
    """The same for TOML text that a user wrote: an unknown key is an error too."""
    try:
        raw = tomllib.loads(text)
        value = msgspec.convert(raw, type=wanted, dec_hook=_decode)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError, RecursionError) as problem:
        raise error(f"{what}: {problem}") from None
    if stray := _stray(raw, value):
        raise error(f"{what}: {stray}")
    return value


def unknown_key(key: str, table: str, known: Iterable[str]) -> str:
    """The words for a key that ``table`` does not have: the nearest of its ``known`` keys, and all of them."""
    known = list(known)
    near = difflib.get_close_matches(key.rpartition(".")[2], known, 1)
    return f"unknown key {key!r}{f' (did you mean {near[0]}?)' if near else ''}; the keys of {table} are {', '.join(known)}"


def _stray(raw: object, read: object, path: str = "") -> str | None:
    if not isinstance(raw, dict) or not dataclasses.is_dataclass(read):
        return None
    known = [field.name for field in dataclasses.fields(read)]
    for key, value in raw.items():
        here = f"{path}.{key}" if path else key
        if key not in known:
            return unknown_key(here, f"[{path}]" if path else "the file", known)
        if deeper := _stray(value, getattr(read, key), here):
            return deeper
    return None

"""``x:float32[batch,3,32,32]``: an input as the command line says it."""

from __future__ import annotations

import difflib
import re

from roadworthy.core.errors import UsageError
from roadworthy.core.types import BATCH, BYTES, TensorSpec

STRING = "string"
"""How a person says byte strings, an encoded file say."""
DTYPES = ("float32", "float64", "int8", "int16", "int32", "int64", "uint8", "bool", STRING)
FORM = "name:dtype[batch,3,32,32]"


def parse(text: str) -> TensorSpec:
    """The spec that ``text`` says; UsageError points at the place where it stops making sense."""
    name, colon, rest = text.partition(":")
    if not colon or not re.fullmatch(r"\s*[A-Za-z_][\w./-]*\s*", name):
        raise _wrong(text, 0, f"{name.strip()!r} is no name followed by ':'" if name.strip() else "a name is missing")
    dtype, bracket, shape = rest.partition("[")
    at = len(name) + 1
    if dtype.strip() not in DTYPES:
        near = difflib.get_close_matches(dtype.strip(), DTYPES, 1)
        raise _wrong(text, at, f"{dtype.strip()!r} is not one of {', '.join(DTYPES)}" + (f"; did you mean {near[0]}?" if near else ""))
    if not bracket or not shape.rstrip().endswith("]"):
        raise _wrong(text, len(text) if bracket else at + len(dtype), "the shape must stand in [ and ]")
    at += len(dtype) + 1
    inside = shape.rstrip()[:-1]
    sizes: list[int | str] = []
    for axis, part in enumerate(inside.split(",") if inside.strip() else []):
        sizes.append(_size(text, at, axis, part.strip()))
        at += len(part) + 1
    return TensorSpec(name.strip(), BYTES if dtype.strip() == STRING else dtype.strip(), tuple(sizes))


def _size(text: str, at: int, axis: int, part: str) -> int | str:
    if part == BATCH:
        if axis:
            raise _wrong(text, at, f"'{BATCH}' can only be the first size")
        return BATCH
    if not re.fullmatch(r"[0-9]{1,9}", part) or int(part) == 0:
        raise _wrong(text, at, f"{part!r} is neither a positive number nor '{BATCH}'; only the number of samples may be left open")
    return int(part)


def _wrong(text: str, at: int, what: str) -> UsageError:
    return UsageError(f"--input {text!r}, at character {at + 1}: {what}; write it as {FORM}")

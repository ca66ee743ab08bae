"""``x:float32[batch,3,32,32] in 0..255``: the syntax of an input on the command line, with an optional range of its values."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

import numpy as np

from roadworthy.core.errors import UsageError
from roadworthy.core.types import BATCH, BYTES, Range, TensorSpec

STRING = "string"
"""The word for byte strings, an encoded file for example."""
DTYPES = ("float32", "float64", "int8", "int16", "int32", "int64", "uint8", "bool", STRING)
FORM = "name:dtype[batch,3,32,32]"
RANGED = f"{FORM} in LOW..HIGH"
NUMBER = r"[+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?"
BOUNDS = re.compile(rf"\s*in\s+({NUMBER})\s*\.\.\s*({NUMBER})\s*")


def parse(text: str) -> TensorSpec:
    """The spec that ``text`` states, without its range; UsageError with the position of the first mistake."""
    return _said(text)[0]


def parse_all(texts: Iterable[str]) -> tuple[tuple[TensorSpec, ...], tuple[Range, ...]]:
    """The specs that ``texts`` state, and the ranges of those that have one; UsageError as by ``parse``."""
    said = [_said(text) for text in texts]
    return tuple(spec for spec, _ in said), tuple(bounds for _, bounds in said if bounds is not None)


def _said(text: str) -> tuple[TensorSpec, Range | None]:
    name, colon, rest = text.partition(":")
    if not colon or not re.fullmatch(r"\s*[A-Za-z_][\w./-]*\s*", name):
        raise _wrong(text, 0, f"{name.strip()!r} is not a name followed by ':'" if name.strip() else "a name is missing")
    dtype, bracket, shape = rest.partition("[")
    at = len(name) + 1
    if dtype.strip() not in DTYPES:
        near = difflib.get_close_matches(dtype.strip(), DTYPES, 1)
        raise _wrong(text, at, f"{dtype.strip()!r} is not one of {', '.join(DTYPES)}" + (f"; did you mean {near[0]}?" if near else ""))
    inside, closed, bounds = shape.partition("]")
    if not bracket or not closed:
        raise _wrong(text, len(text) if bracket else at + len(dtype), "the shape must stand in [ and ]")
    at += len(dtype) + 1
    sizes: list[int | str] = []
    for axis, part in enumerate(inside.split(",") if inside.strip() else []):
        sizes.append(_size(text, at, axis, part.strip()))
        at += len(part) + 1
    spec = TensorSpec(name.strip(), BYTES if dtype.strip() == STRING else dtype.strip(), tuple(sizes))
    return spec, _range(text, spec, bounds) if bounds.strip() else None


def _size(text: str, at: int, axis: int, part: str) -> int | str:
    if part == BATCH:
        if axis:
            raise _wrong(text, at, f"'{BATCH}' can only be the first size")
        return BATCH
    if not re.fullmatch(r"[0-9]{1,9}", part) or int(part) == 0:
        raise _wrong(text, at, f"{part!r} is neither a positive number nor '{BATCH}'; only the number of samples may be left open")
    return int(part)


def _range(text: str, spec: TensorSpec, bounds: str) -> Range:
    at = len(text) - len(bounds)
    match = BOUNDS.fullmatch(bounds)
    if not match:
        raise _wrong(text, at, f"{bounds.strip()!r} is not a range such as 'in 0..255'", RANGED)
    if spec.dtype == BYTES:
        raise _wrong(text, at, "byte strings have no range", FORM)
    try:
        low, high = (float(number) if spec.dtype.startswith("float") else int(number) for number in match.groups())
    except ValueError:
        raise _wrong(text, at, f"an input of {spec.dtype} holds whole numbers, so its range is written in whole numbers", RANGED) from None
    least, most = _limits(spec.dtype)
    if not least <= low <= high <= most:
        why = f"{low} is more than {high}" if low > high else f"{spec.dtype} holds {least} to {most}"
        raise _wrong(text, at, why, RANGED)
    return Range(spec.name, low, high)


def _limits(dtype: str) -> tuple[int | float, int | float]:
    if dtype == "bool":
        return 0, 1
    if dtype.startswith("float"):
        most = float(np.finfo(dtype).max)
        return -most, most
    return int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)


def _wrong(text: str, at: int, what: str, form: str = FORM) -> UsageError:
    return UsageError(f"--input {text!r}, at character {at + 1}: {what}; write it as {form}")

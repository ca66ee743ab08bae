"""``ids:int64[batch,16] in 0..30521``: the syntax of an input on the command line, its parser, and the one function that writes it."""

from __future__ import annotations

import difflib
import re
import shlex
from collections.abc import Iterable, Sequence

import numpy as np

from roadworthy.core.errors import UsageError
from roadworthy.core.types import ANY_RANK, BATCH, BYTES, STRING, Distribution, Fixed, Range, Stated, TensorSpec

DTYPES = (
    "float16", "bfloat16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "bool",
    "complex64", "complex128", STRING,
)  # fmt: skip
FORM = "NAME:DTYPE[batch,3,32,32]"
VALUED = f"{FORM} in LOW..HIGH, {FORM} = ones|zeros|VALUE or {FORM} ~ normal|uniform"
HEAD = re.compile(rf"(?P<name>.+):\s*(?P<dtype>{'|'.join(DTYPES)})\s*\[(?P<axes>[^\]]*)\]", re.DOTALL)
"""Greedy: the name ends at the last ``:DTYPE[``, because a name may hold anything, a colon and brackets included."""
NUMBER = r"[+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?"
BOUNDS = re.compile(rf"in\s+({NUMBER})\s*\.\.\s*({NUMBER})")
EXAMPLE_SIZE = 16
"""The size in an example where nothing is known of the real one."""


def parse(text: str) -> TensorSpec:
    """The spec that ``text`` states, without its values; UsageError with the position of the first mistake.

    The axis called ``batch`` is the sample axis; without one the tensor holds for the whole call.
    """
    return _read(text)[0]


def parse_all(texts: Iterable[str]) -> tuple[tuple[TensorSpec, ...], tuple[Stated, ...]]:
    """The specs that ``texts`` state, and the values of those that state some; UsageError as by ``parse``."""
    read = [_read(text) for text in texts]
    names = [spec.name for spec, _ in read]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise UsageError(f"--input names {twice!r} twice")
    return tuple(spec for spec, _ in read), tuple(stated for _, stated in read if stated is not None)


def option(spec: TensorSpec, values: str = "", sizes: Sequence[int | str] = ()) -> str:
    """``--input`` and its value for ``spec``, quoted for a shell: what a message shows, and a user can paste.

    ``values`` are written behind it (``in 0..1000``). ``sizes`` are those of one sample, where the shape is not known at all.
    A symbol that the syntax does not have becomes an example size.
    """
    shape = spec.shape if ANY_RANK not in spec.shape else (BATCH, *sizes)
    axes = [size if isinstance(size, int) or size.isidentifier() else EXAMPLE_SIZE for size in shape]
    text = f"{spec.name}:{STRING if spec.dtype == BYTES else spec.dtype}[{','.join(map(str, axes))}]"
    return f"--input {shlex.quote(f'{text} {values}' if values else text)}"


def _read(text: str) -> tuple[TensorSpec, Stated | None]:
    head = HEAD.match(text)
    if head is None:
        raise _headless(text)
    shape = _shape(text, head.start("axes"), head["axes"])
    dtype = BYTES if head["dtype"] == STRING else head["dtype"]
    spec = TensorSpec(head["name"], dtype, shape, sample_axis=shape.index(BATCH) if BATCH in shape else None)
    rest = text[head.end() :]
    return spec, _stated(text, spec, rest.strip(), len(text) - len(rest.lstrip())) if rest.strip() else None


def _headless(text: str) -> UsageError:
    """The error for a text that does not begin with NAME:DTYPE[AXES], at its first mistake."""
    colon = re.search(r":[^:\[\]]*\[", text)
    at = colon.start() if colon else text.rfind(":")
    if at < 0 or (colon is None and "[" in text[at:]):
        return _wrong(text, 0, f"{text.partition('[')[0].strip()!r} is not a name followed by ':' and a type")
    if at == 0:
        return _wrong(text, 0, "a name is missing")
    dtype = re.split(r"[\[\s]", text[at + 1 :].lstrip(), maxsplit=1)[0]
    if dtype not in DTYPES:
        near = difflib.get_close_matches(dtype, DTYPES, 1)
        mean = f"; did you mean {near[0]}?" if near else ""
        return _wrong(text, at + 1, f"{dtype!r} is not one of {', '.join(DTYPES)}{mean}")
    return _wrong(text, len(text), "the shape must stand in [ and ]")


def _shape(text: str, at: int, axes: str) -> tuple[int | str, ...]:
    sizes: list[int | str] = []
    for part in axes.split(",") if axes.strip() else []:
        size = part.strip()
        if size == BATCH and BATCH in sizes:
            raise _wrong(text, at, f"'{BATCH}' stands there twice, and one axis counts the samples")
        if size.isidentifier():
            sizes.append(size)
        elif re.fullmatch(r"[0-9]{1,9}", size) and int(size):
            sizes.append(int(size))
        else:
            raise _wrong(text, at, f"{size!r} is neither a positive number nor the name of an axis")
        at += len(part) + 1
    return tuple(sizes)


def _stated(text: str, spec: TensorSpec, words: str, at: int) -> Stated:
    if words.startswith("="):
        return Fixed(spec.name, _value(text, spec, words[1:].strip(), at))
    if words.startswith("~"):
        return _drawn(text, spec, words[1:].strip(), at)
    match = BOUNDS.fullmatch(words)
    if not match:
        raise _wrong(text, at, f"{words!r} is not a range such as 'in 0..255', a value such as '= ones', or '~ normal'", VALUED)
    if spec.dtype == BYTES or spec.dtype.startswith("complex"):
        raise _wrong(text, at, f"an input of {_word(spec)} has no range", VALUED)
    low, high = (_real(text, spec, number, at) for number in match.groups())
    if low > high:
        raise _wrong(text, at, f"{low} is more than {high}", VALUED)
    return Range(spec.name, low, high)


def _value(text: str, spec: TensorSpec, word: str, at: int) -> int | float | bool | bytes:
    if spec.dtype == BYTES:
        quoted = len(word) > 1 and word[0] == word[-1] == '"'
        return (word[1:-1] if quoted else word).encode(errors="surrogateescape")
    if spec.dtype == "bool":
        words = {"ones": True, "true": True, "1": True, "zeros": False, "false": False, "0": False}
        if word.lower() not in words:
            raise _wrong(text, at, f"{word!r} is neither true nor false", VALUED)
        return words[word.lower()]
    if not re.fullmatch(NUMBER, word) and word not in ("ones", "zeros"):
        raise _wrong(text, at, f"{word!r} is not a value of {_word(spec)}", VALUED)
    return _real(text, spec, {"ones": "1", "zeros": "0"}.get(word, word), at)


def _drawn(text: str, spec: TensorSpec, word: str, at: int) -> Distribution:
    if not spec.dtype.startswith(("float", "bfloat")):
        raise _wrong(text, at, f"only floats are drawn from a distribution, and this is {_word(spec)}", VALUED)
    if word not in ("normal", "uniform"):
        raise _wrong(text, at, f"{word!r} is neither normal nor uniform", VALUED)
    return Distribution(spec.name, "normal" if word == "normal" else "uniform")


def _real(text: str, spec: TensorSpec, number: str, at: int) -> int | float:
    """``number`` as the type of ``spec`` holds it."""
    floating = spec.dtype.startswith(("float", "bfloat", "complex"))
    if not floating and not re.fullmatch(r"[+-]?\d+", number):
        raise _wrong(text, at, f"an input of {spec.dtype} holds whole numbers, and {number} is not written as one", VALUED)
    value = float(number) if floating else int(number)
    least, most = _limits(spec.dtype)
    if not least <= value <= most:
        raise _wrong(text, at, f"{number} does not fit: {spec.dtype} holds {least} to {most}", VALUED)
    return value


def _limits(dtype: str) -> tuple[int | float, int | float]:
    if dtype == "bool":
        return 0, 1
    if dtype.startswith(("float", "bfloat", "complex")):
        most = float(np.finfo("float32" if dtype == "bfloat16" else dtype).max)
        return -most, most
    return int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)


def _word(spec: TensorSpec) -> str:
    return "byte strings" if spec.dtype == BYTES else spec.dtype


def _wrong(text: str, at: int, what: str, form: str = FORM) -> UsageError:
    return UsageError(f"--input {text!r}, at character {at + 1}: {what}; write it as {form}")

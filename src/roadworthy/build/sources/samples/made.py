"""Made-up samples, for deployments without data: which values each input is fed, the samples, and the notes about them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from roadworthy.build.sources.input_syntax import option
from roadworthy.core import samples
from roadworthy.core.errors import DataError
from roadworthy.core.evidence import Note
from roadworthy.core.samples import SampleSet
from roadworthy.core.types import BYTES, Array, Fixed, Range, Stated, TensorSpec

COUNT = 256
HELD = 32
"""So many samples in a row have the same value of what holds for a whole call."""
BLOCKS = 4
"""A sample of constant blocks has at most so many of them along each axis."""
LEAST, MOST = 1, 2
"""The rows in which every value is the lowest, and the highest, of the widest range."""


@dataclass(frozen=True)
class Draw:
    """Values from ``low`` to ``high``, both included.

    ``even`` draws from the uniform distribution; of floats with several axes every second sample consists of constant blocks, as
    pictures do. ``leading`` does the same, and the first value of each sample is ``high``: a mask that hides all of a sample tests
    nothing. ``normal`` draws from the standard normal distribution, whatever the two ends are.
    """

    low: int | float = 0
    high: int | float = 1
    kind: Literal["even", "leading", "normal"] = "even"

    def __str__(self) -> str:
        if self.kind == "normal":
            return "normal noise"
        if self.low == self.high:
            return f"{self.low:g} alone" if isinstance(self.low, float) else f"{self.low} alone"
        return f"{self.low:g} to {self.high:g}" if isinstance(self.low, float) else f"{self.low} to {self.high}"


NORMAL = Draw(kind="normal")
FLOATS = (NORMAL, Draw(0.0, 1.0), Draw(1.0, 1.0))
WHOLE = (Draw(0, 1), Draw(0, 1, "leading"), Draw(1, 1), Draw(0, 0))


@dataclass(frozen=True)
class Fill:
    """The values for the input ``name``: each sample is drawn from one of ``spans``, the widest first.

    ``stated`` are those that the user states, ``shown`` the rows of a table of the model that the input chooses from.
    """

    name: str
    spans: tuple[Draw, ...]
    stated: bool = False
    shown: bool = False


@dataclass(frozen=True)
class Making:
    """How many samples to make up where none are given, of which stated values, and the new directory that they go to.

    Without ``out`` they serve the proofs alone and are not kept.
    """

    count: int = COUNT
    stated: tuple[Stated, ...] = ()
    out: Path | None = None


def first(spec: TensorSpec, given: tuple[Stated, ...]) -> tuple[Fill, ...]:
    """What to try on an input of which nothing is known yet, the most informative first; only the stated values where there are some."""
    stated = next((one for one in given if one.name == spec.name), None)
    if stated is not None:
        return (Fill(spec.name, (_draw(stated),), stated=True),)
    kind = np.dtype(spec.dtype)
    if kind.kind in "fc":
        spans: tuple[Draw, ...] = FLOATS
    elif kind.itemsize == 1 and kind.kind in "iu" and (kind == np.uint8 or spec.quantization):
        spans = (Draw(int(np.iinfo(kind).min), int(np.iinfo(kind).max)), *WHOLE)
    else:
        spans = tuple(span for span in WHOLE if span.kind == "even" or len(spec.shape) > 1)
    return tuple(Fill(spec.name, (span,)) for span in spans)


def _draw(stated: Stated) -> Draw:
    """The values that the user states, as they are drawn."""
    if isinstance(stated, Range):
        return Draw(stated.low, stated.high)
    if isinstance(stated, Fixed):
        assert not isinstance(stated.value, bytes), "byte strings are refused before"
        return Draw(stated.value, stated.value)
    return NORMAL if stated.kind == "normal" else Draw(0.0, 1.0)


def write(path: Path, specs: Sequence[TensorSpec], fills: Sequence[Fill], count: int) -> SampleSet:
    """``count`` samples of every input in the new directory ``path``; always the same.

    An input of a fixed number of samples gets as many as all others: calls are cut to its size later. Raises DataError for byte strings.
    """
    generator = np.random.default_rng(0)
    arrays = {spec.name: rows(spec, fill, count, generator) for spec, fill in zip(specs, fills, strict=True)}
    if any(spec.batched for spec in specs):
        # What holds for a whole call changes rarely: samples with different values of it cannot share one.
        held = np.arange(count) // HELD * HELD
        arrays |= {spec.name: arrays[spec.name][held] for spec in specs if spec.sample_axis is None}
    return samples.write(path, arrays)


def rows(spec: TensorSpec, fill: Fill, count: int, generator: np.random.Generator) -> Array:
    """``count`` samples of one input, [count, ...], of all the spans of its ``fill`` in a random order."""
    if spec.dtype == BYTES:
        raise DataError(f"the model takes byte strings ({spec}), and those cannot be made up; give real ones: --data")
    array = np.empty((count, *(int(size) for size in spec.sample_shape)), spec.dtype)
    turns = generator.permutation(np.arange(count) % len(fill.spans))
    for number, span in enumerate(fill.spans):
        array[turns == number] = _drawn(span, (int(np.sum(turns == number)), *array.shape[1:]), array.dtype, generator)
    widest = fill.spans[0]
    if widest.kind != "normal":
        for row, value in ((LEAST, widest.low), (MOST, widest.high)):
            array[row : row + 1] = value
        if widest.kind == "leading":
            array[LEAST : LEAST + 1].reshape(-1)[:1] = widest.high
    return array


def _drawn(span: Draw, shape: tuple[int, ...], dtype: np.dtype[np.generic], generator: np.random.Generator) -> Array:
    if span.kind == "normal":
        return generator.standard_normal(shape).astype(dtype)
    if dtype.kind not in "fc":
        array: Array = generator.integers(span.low, span.high, shape, dtype, endpoint=True)  # type: ignore[arg-type]
        if span.kind == "leading" and len(array):
            array.reshape(len(array), -1)[:, 0] = span.high
        return array
    array = generator.random(shape)
    if len(shape) > 2:
        array[1::2] = blocks(array[1::2].shape, generator)
    return (span.low + (span.high - span.low) * array).astype(dtype)


def blocks(shape: tuple[int, ...], generator: np.random.Generator) -> Array:
    """Numbers of 0..1, [samples, ...], constant within each of a few blocks: independent noise averages out in a network."""
    array: Array = generator.random((shape[0], *(min(size, BLOCKS) for size in shape[1:])))
    for axis, size in enumerate(shape[1:], 1):
        array = np.take(array, np.arange(size) * array.shape[axis] // size, axis=axis)
    return array


def notes(specs: Sequence[TensorSpec], fills: Sequence[Fill]) -> tuple[Note, ...]:
    """Notes on samples that were made up; whole numbers without a stated range are a warning."""
    by_name = {spec.name: spec for spec in specs}
    return tuple(note for fill in fills if (note := _note(by_name[fill.name], fill)))


def guessed(specs: Sequence[TensorSpec], fills: Sequence[Fill]) -> tuple[TensorSpec, ...]:
    """The inputs of whole numbers that were made up although nothing says which of them the model takes."""
    by_name = {fill.name: fill for fill in fills}
    return tuple(spec for spec in specs if spec.name in by_name and _is_guess(spec, by_name[spec.name]))


def _is_guess(spec: TensorSpec, fill: Fill) -> bool:
    return not (fill.stated or fill.shown) and np.dtype(spec.dtype).kind in "iu" and not covers(spec, fill.spans[0])


def _note(spec: TensorSpec, fill: Fill) -> Note | None:
    widest = fill.spans[0]
    if fill.stated:
        return Note(f"{spec.name!r} was fed values of {widest}, as --input states")
    if fill.shown:
        return Note(f"{spec.name!r} was fed {widest}, the rows of the table that the model looks it up in")
    if np.dtype(spec.dtype).kind not in "iu":
        told = [str(span) for span in fill.spans if span.kind != "normal"]
        return Note(f"{spec.name!r} was also fed made-up values of {', '.join(told)}") if told and not covers(spec, widest) else None
    if not _is_guess(spec, fill):
        return None
    return Note(
        f"{spec.name!r} takes whole numbers ({spec.dtype}), and nothing says which: it was fed made-up ones, {widest}, that the original "
        f"takes. Give real samples with --data, or state the range, for example {option(spec, 'in 0..1000')}",
        warning=True,
    )


def covers(spec: TensorSpec, span: Draw) -> bool:
    """Whether ``span`` holds every value of a type so small that all of them are tried."""
    kind = np.dtype(spec.dtype)
    if kind == np.bool_:
        return (span.low, span.high) == (0, 1)
    return kind.kind in "iu" and kind.itemsize == 1 and (span.low, span.high) == (int(np.iinfo(kind).min), int(np.iinfo(kind).max))

"""Data as it was read to a sample set on disk: images through the contract's steps, files by their content, arrays by their rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from roadworthy.build.data import sample_writer
from roadworthy.build.data.files.numbers import NumberFiles
from roadworthy.build.data.raw_data import ExpectedInputs, RawData
from roadworthy.core import samples as sample_sets
from roadworthy.core.errors import DataError
from roadworthy.core.evidence import Note
from roadworthy.core.samples import SampleSet, file_of
from roadworthy.core.types import Array
from roadworthy.preprocess.image import Preprocessor

T = TypeVar("T")
Tell = Callable[[int, int], None]
"""Told how many samples are written, of how many."""
TOLD = 500
"""Samples between two calls of ``Tell``."""


def write(raw: RawData, name: str, order: Array, expected: ExpectedInputs, out: Path, tell: Tell) -> tuple[SampleSet, tuple[Note, ...]]:
    """The samples of ``raw`` in ``order`` in the new directory ``out``, and notes on how they were read.

    Images and files become the input ``name``. Raises DataError, naming the file, for one that cannot be read.
    """
    if raw.images is None and raw.files is None:
        written = sample_writer.write(out, raw.arrays, raw.targets, order)
        sample_sets.write_source_rows(out, order)
        return written, ()
    notes: tuple[Note, ...] = ()
    with sample_writer.directory(out):
        if raw.images is not None:
            _write_images(out / file_of(name), raw.images, order, expected, tell)
        elif raw.numbers:
            notes = _write_numbers(out / file_of(name), raw.files or (), order, expected, tell)
        else:
            contents = (_content(raw.files[index]) for index in order.tolist()) if raw.files else ()
            sample_writer.write_strings(out, name, (len(order),), _told(contents, len(order), tell))
        sample_writer.write_all_targets(out, raw.targets, order)
        sample_sets.write_source_rows(out, order)
    return SampleSet(out, (name,), len(order), tuple(raw.targets)), notes


def _write_images(path: Path, images: Sequence[Any] | Array, order: Array, expected: ExpectedInputs, tell: Tell) -> None:
    if not expected.contract.takes_images:
        raise DataError(
            "the data is images; say how they become the model's input, by a preprocessing preset or file; to a model that decodes "
            f"them itself give their bytes, by a callable{'; ' if expected.hint else ''}{expected.hint}"
        )
    preprocessor = Preprocessor(expected.contract.image)
    first = preprocessor.one(images[order[0]], name=_name(order[0]))

    def samples() -> Iterator[Array]:
        buffer = np.empty_like(first)
        for index in order.tolist():
            yield preprocessor.one(images[index], out=buffer, name=_name(index))

    sample_writer.write_array(path, first.dtype, (len(order), *first.shape), _told(samples(), len(order), tell))


def _write_numbers(path: Path, files: Sequence[Path], order: Array, expected: ExpectedInputs, tell: Tell) -> tuple[Note, ...]:
    reader = NumberFiles(channels_first=expected.channels_first)
    first = reader.read(files[order[0]])

    def samples() -> Iterator[Array]:
        for index in order.tolist():
            sample = reader.read(files[index])
            if sample.shape != first.shape or sample.dtype != first.dtype:
                raise DataError(
                    f"{files[index]} holds {sample.dtype} {list(sample.shape)}, and {files[order[0]]} {first.dtype} {list(first.shape)}: "
                    "all samples must have one shape and type; cut or pad them first"
                )
            yield sample

    sample_writer.write_array(path, first.dtype, (len(order), *first.shape), _told(samples(), len(order), tell))
    return (Note(f"{reader.said}; each is {list(first.shape)}"),) if reader.said else ()


def _told(items: Iterable[T], count: int, tell: Tell) -> Iterator[T]:
    """``items``, and how many of them have gone by."""
    for number, item in enumerate(items, 1):
        yield item
        if number % TOLD == 0 or number == count:
            tell(number, count)


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as problem:
        raise DataError(f"{file} cannot be read: {problem.strerror or problem}") from None


def _name(index: int) -> str:
    return f"image {index} of the data"

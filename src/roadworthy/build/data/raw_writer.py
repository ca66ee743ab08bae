"""Data as it was read to a sample set on disk: items through the contract's steps, files by their content, arrays by their rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from roadworthy.build.data import sample_writer
from roadworthy.build.data.files.numbers import NumberFiles
from roadworthy.build.data.raw_data import ExpectedInputs, RawData
from roadworthy.core import samples as sample_sets
from roadworthy.core.errors import DataError
from roadworthy.core.evidence import Note
from roadworthy.core.samples import SampleSet, file_of
from roadworthy.core.types import BATCH, Array, TensorSpec
from roadworthy.preprocess import items
from roadworthy.preprocess.contract import ItemKind

T = TypeVar("T")
Tell = Callable[[int, int], None]
"""Told how many samples are written, of how many."""
TOLD = 500
"""Samples between two calls of ``Tell``."""


def write(raw: RawData, name: str, order: Array, expected: ExpectedInputs, out: Path, tell: Tell) -> tuple[SampleSet, tuple[Note, ...]]:
    """The samples of ``raw`` in ``order`` in the new directory ``out``, and notes on how they were read.

    Items and files become the input ``name``. Raises DataError, naming the file, for one that cannot be read.
    """
    if raw.items is None and raw.files is None:
        written = sample_writer.write(out, raw.arrays, raw.targets, order)
        sample_sets.write_source_rows(out, order)
        return written, ()
    notes: tuple[Note, ...] = ()
    names: tuple[str, ...] = (name,)
    with sample_writer.directory(out):
        if raw.items is not None:
            names = _write_items(out, raw.items, order, name, expected, tell)
        elif raw.numbers:
            notes = _write_numbers(out / file_of(name), raw.files or (), order, expected, tell)
        else:
            contents = (_content(raw.files[index]) for index in order.tolist()) if raw.files else ()
            sample_writer.write_strings(out, name, (len(order),), _told(contents, len(order), tell))
        sample_writer.write_all_targets(out, raw.targets, order)
        sample_sets.write_source_rows(out, order)
    return SampleSet(out, names, len(order), tuple(raw.targets)), notes


def _write_items(out: Path, found: Sequence[Any] | Array, order: Array, name: str, expected: ExpectedInputs, tell: Tell) -> tuple[str, ...]:
    contract = expected.contract
    if contract.kind is None:
        raise DataError(
            "the data is images; say how they become the model's input, by a preprocessing preset or file; to a model that decodes "
            f"them itself give their bytes, by a callable{'; ' if expected.hint else ''}{expected.hint}"
        )
    # A text may become several inputs, an image or a sound one.
    specs = tuple(TensorSpec(one, "int64", (BATCH, "tokens")) for one in expected.names) if contract.kind == "text" else ()
    reader = items.reader(contract, specs, name=name).fitting(found)
    first = reader.one(found[order[0]], name=_name(contract.kind, order[0]))

    def samples() -> Iterator[Mapping[str, Array]]:
        for index in order.tolist():
            called = _name(contract.kind or "image", index)
            row = reader.one(found[index], name=called)
            for key, array in row.items():
                if array.shape != first[key].shape:
                    raise DataError(_other_shape(found[index], called, contract.kind, array.shape, first[key].shape))
            yield row

    return sample_writer.write_rows(out, _told(samples(), len(order), tell), len(order))


def _other_shape(item: Any, called: str, kind: ItemKind | None, shape: tuple[int, ...], wanted: tuple[int, ...]) -> str:
    way = "state length in [audio]" if kind == "audio" else "make all sizes one by resize or crop in the preprocessing"
    name = item if isinstance(item, Path) else called
    return f"{name}: gives a sample of shape {list(shape)} where {list(wanted)} is wanted; {way}"


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


def _told(each: Iterable[T], count: int, tell: Tell) -> Iterator[T]:
    """``each``, and how many of them have gone by."""
    for number, item in enumerate(each, 1):
        yield item
        if number % TOLD == 0 or number == count:
            tell(number, count)


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as problem:
        raise DataError(f"{file} cannot be read: {problem.strerror or problem}") from None


def _name(kind: ItemKind, index: int) -> str:
    return f"{items.WORDS[kind][1].removesuffix('s')} {index} of the data"

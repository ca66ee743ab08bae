"""Samples that come in chunks, in one folder on disk: a stream of any length needs the memory of one chunk."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import BinaryIO

import numpy as np

from roadworthy.build.data.live.forms import PythonData
from roadworthy.build.data.live.wanted import Chunk
from roadworthy.build.data.sample_writer import directory
from roadworthy.core.errors import DataError
from roadworthy.core.evidence import Note
from roadworthy.core.samples import SampleSet, Targets, ends_of, file_of, one_each, write_targets
from roadworthy.core.types import BYTES, Array

CONTENTS = "handed-over.json"
"""The file that makes a folder one of samples that were handed over: their inputs, targets, classes and notes."""


@dataclass(frozen=True)
class Spooled:
    """Samples of a Python program: ``inputs`` in memory or mapped, their targets, and what the data says about its classes."""

    inputs: Mapping[str, Array]
    targets: Targets
    classes: tuple[str, ...] = ()
    notes: tuple[Note, ...] = ()


def collect(found: PythonData, folder: Path) -> Spooled:
    """The samples of ``found``: those of a single chunk as they are, others from the new directory ``folder``."""
    first = list(islice(found.chunks, 2))
    if len(first) == 1:
        return Spooled(first[0].inputs, first[0].targets, found.classes, _notes(found, first[0].count))
    samples = _written(chain(first, found.chunks), folder, found.what)
    return Spooled(samples.open(), samples.open_targets(), found.classes, _notes(found, samples.count))


def hand_over(found: PythonData, folder: Path) -> SampleSet:
    """Put the samples of ``found`` into the new directory ``folder``, for another process to ``open_folder``."""
    samples = _written(found.chunks, folder, found.what)
    notes = [[note.text, note.warning] for note in _notes(found, samples.count)]
    contents = {"inputs": samples.inputs, "targets": samples.targets, "count": samples.count, "classes": found.classes, "notes": notes}
    (folder / CONTENTS).write_text(json.dumps(contents), encoding="utf-8")
    return samples


def _notes(found: PythonData, count: int) -> tuple[Note, ...]:
    """The notes of the data, and that it was cut off where it was."""
    if found.limit is None or count < found.limit:
        return found.notes
    return (*found.notes, Note(f"the first {count:,} samples of {found.what} were taken; --samples (samples=) says another number"))


def is_handed_over(folder: Path) -> bool:
    """Whether ``folder`` was written by ``hand_over``."""
    return (folder / CONTENTS).is_file()


def open_folder(folder: Path) -> Spooled:
    """The samples that ``hand_over`` put into ``folder``."""
    contents = json.loads((folder / CONTENTS).read_text(encoding="utf-8"))
    samples = SampleSet(folder, tuple(contents["inputs"]), contents["count"], tuple(contents["targets"]))
    notes = tuple(Note(text, warning) for text, warning in contents["notes"])
    return Spooled(samples.open(), samples.open_targets(), tuple(contents["classes"]), notes)


def _written(found: Iterator[Chunk], folder: Path, what: str) -> SampleSet:
    first = next(found, None)
    if first is None:
        raise DataError(f"{what} holds no samples")
    targets: dict[str, list[Array]] = {name: [] for name in first.targets}
    count = 0
    with directory(folder), ExitStack() as open_files:
        files = {name: open_files.enter_context(_growing(folder, name, array)) for name, array in first.inputs.items()}
        for chunk in chain((first,), found):
            _refuse_other_parts(chunk, first, count, what)
            for name, file in files.items():
                file.append(chunk.inputs[name], f"{what}: {name}, from sample {count} on,")
            for name, held in targets.items():
                held.append(chunk.targets[name])
            count += chunk.count
        for name, held in targets.items():
            write_targets(folder, name, _joined(held))
    return SampleSet(folder, tuple(files), count, tuple(targets))


def _refuse_other_parts(chunk: Chunk, first: Chunk, count: int, what: str) -> None:
    if chunk.inputs.keys() != first.inputs.keys() or chunk.targets.keys() != first.targets.keys():
        raise DataError(f"{what} has other inputs or targets from sample {count} on")


def _joined(held: list[Array]) -> Array:
    """The targets of all chunks; where samples have targets of different lengths, one array a sample."""
    if len({(array.dtype == np.dtype(object), array.shape[1:]) for array in held}) == 1:
        return np.concatenate(held)
    return one_each(row for array in held for row in array)


class _GrowingFile:
    """An ``.npy`` of samples that grows at its end; of byte strings the bytes one after the other, with the file of their ends."""

    def __init__(self, file: BinaryIO, first: Array) -> None:
        self._file, self._dtype, self._shape = file, first.dtype, first.shape[1:]
        self._count, self._ends = 0, [0]
        self.strings = first.dtype == np.dtype(BYTES)
        self._header()

    def append(self, array: Array, what: str) -> None:
        """Samples of the same shape and of a dtype that becomes the first one's without a loss; else DataError with ``what`` in front."""
        same_kind = (array.dtype == np.dtype(BYTES)) == self.strings
        if array.shape[1:] != self._shape or not same_kind or not np.can_cast(array.dtype, self._dtype, "safe"):
            raise DataError(
                f"{what} is {array.dtype} {list(array.shape[1:])}, and before that {self._dtype} {list(self._shape)}: all samples must "
                "have one shape and type"
            )
        self._count += len(array)
        if not self.strings:
            self._file.write(np.ascontiguousarray(array, self._dtype).data)
            return
        for string in array.reshape(-1).tolist():
            self._file.write(string)
            self._ends.append(self._ends[-1] + len(string))

    def ends(self) -> Array:
        """Where each byte string ends, int64 [samples, ...]."""
        return np.array(self._ends[1:], np.int64).reshape(self._count, *self._shape)

    def finish(self) -> None:
        """Write the number of samples into the file's header."""
        self._file.seek(0)
        self._header()

    def _header(self) -> None:
        # NumPy leaves room for the first axis to grow, so that the header has one size.
        dtype = np.dtype(np.uint8) if self.strings else self._dtype
        shape = (self._ends[-1],) if self.strings else (self._count, *self._shape)
        described = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(self._file, described)


@contextmanager
def _growing(folder: Path, name: str, first: Array) -> Iterator[_GrowingFile]:
    with open(folder / file_of(name), "wb") as file:
        growing = _GrowingFile(file, first)
        yield growing
        growing.finish()
    if growing.strings:
        np.save(folder / ends_of(name), growing.ends(), allow_pickle=False)

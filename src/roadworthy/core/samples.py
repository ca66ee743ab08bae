"""Preprocessed samples on disk, mapped and not loaded: what calibration, verification and the race all read."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from urllib.parse import quote

import numpy as np

from roadworthy.core.types import BYTES, Array, Arrays

LABELS = "labels.npy"


def file_of(name: str) -> str:
    """The file's name for the input ``name``, which may hold anything a framework allows, a slash included."""
    return f"in.{quote(name, safe='')}.npy"


def ends_of(name: str) -> str:
    """The file beside it for byte strings: where each one ends in the first file, int64 [count]."""
    return f"ends.{quote(name, safe='')}.npy"


@dataclass(frozen=True)
class SampleSet:
    """A directory with an ``.npy`` for each input (``file_of``), samples first, and ``labels.npy`` (int64 [count]) if labelled.

    Byte strings are stored one after the other as uint8, with a second file that says where each ends: nothing here is pickled.
    """

    path: Path
    inputs: tuple[str, ...]
    count: int
    labelled: bool = False

    def open(self) -> dict[str, Array]:
        """Every input, mapped read-only; byte strings are read into memory."""
        return {name: read_array(self.path, name) for name in self.inputs}

    def feeds(self, start: int, stop: int) -> dict[str, Array]:
        """Samples ``start`` to ``stop`` as C-contiguous arrays of their own in memory, ready for a session."""
        return {name: np.array(read_array(self.path, name, start, stop)) for name in self.inputs}

    def labels(self) -> Array | None:
        """The class index of each sample, if there are labels."""
        return np.load(self.path / LABELS, allow_pickle=False) if self.labelled else None


def read_array(folder: Path, name: str, start: int = 0, stop: int | None = None) -> Array:
    """Samples ``start`` to ``stop`` (all by default) of the input ``name`` of the sample set in ``folder``."""
    array: Array = np.load(folder / file_of(name), mmap_mode="r", allow_pickle=False)
    if not (folder / ends_of(name)).is_file():
        return array[start:stop]
    return split_strings(array, np.load(folder / ends_of(name), allow_pickle=False), start, stop)


def join_strings(strings: Array) -> tuple[Array, Array]:
    """Byte strings of any shape, joined as uint8, and where each ends, int64 of the same shape."""
    ends = np.cumsum([len(string) for string in strings.flat], dtype=np.int64)
    return np.frombuffer(b"".join(strings.flat), np.uint8), ends.reshape(strings.shape)


def split_strings(whole: Array, ends: Array, start: int = 0, stop: int | None = None) -> Array:
    """The byte strings that ``join_strings`` joined, rows ``start`` to ``stop``; ValueError where ``ends`` do not fit ``whole``."""
    bounds = np.concatenate([[0], ends.reshape(-1)])
    if whole.dtype != np.uint8 or whole.ndim != 1 or ends.dtype != np.int64 or (np.diff(bounds) < 0).any() or bounds[-1] > len(whole):
        raise ValueError("the ends of the byte strings do not fit their bytes")
    width = math.prod(ends.shape[1:])
    first, last, _ = slice(start, stop).indices(len(ends))
    strings = np.empty((max(0, last - first), *ends.shape[1:]), BYTES)
    strings.flat[:] = [whole[begin:end].tobytes() for begin, end in pairwise(bounds[first * width : last * width + 1].tolist())]
    return strings


def write_array(folder: Path, name: str, array: Array) -> None:
    """Put ``array``, samples first, into the sample set in ``folder``."""
    if array.dtype == np.dtype(BYTES):
        array, ends = join_strings(array)
        np.save(folder / ends_of(name), ends, allow_pickle=False)
    np.save(folder / file_of(name), array, allow_pickle=False)


def write(path: Path, inputs: Arrays, labels: Array | None = None) -> SampleSet:
    """A sample set of ``inputs`` (samples first) in the new directory ``path``."""
    path.mkdir(parents=True)
    for name, array in inputs.items():
        write_array(path, name, array)
    if labels is not None:
        np.save(path / LABELS, np.asarray(labels, dtype=np.int64), allow_pickle=False)
    return SampleSet(path, tuple(inputs), len(next(iter(inputs.values()))), labels is not None)


def renamed(samples: SampleSet, names: tuple[str, ...]) -> SampleSet:
    """The same samples under the model's own input names, in order; the files are renamed, not copied.

    The names are matched by position, except where the samples have the model's own names already, in any order.
    """
    if set(names) == set(samples.inputs):
        return SampleSet(samples.path, names, samples.count, samples.labelled)
    for old, new in zip(samples.inputs, names, strict=True):
        if old != new:
            (samples.path / file_of(old)).rename(samples.path / file_of(new))
            if (samples.path / ends_of(old)).is_file():
                (samples.path / ends_of(old)).rename(samples.path / ends_of(new))
    return SampleSet(samples.path, names, samples.count, samples.labelled)

"""Preprocessed samples on disk, mapped and not loaded: what calibration, verification and the race all read.

Targets lie beside them: what the answers are held against, as arrays by name, samples first: class indexes, one-hot rows, numbers, masks,
texts. Where samples have targets of different lengths (boxes) the array is an object array [count] of arrays; its file holds the rows of
all samples one after the other, and a second file says where each sample ends. Nothing here is pickled.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import TypeAlias
from urllib.parse import quote

import numpy as np

from roadworthy.core.types import BYTES, Array, Arrays

Targets: TypeAlias = Mapping[str, Array]
LONGEST = 180
"""Characters of a name in a file's name."""
TARGET = ""
"""The name of targets that the user gave as one array, without a name."""
ROWS = "rows.npy"
"""Which row of the user's data each sample is."""


def file_of(name: str) -> str:
    """The file's name for the input ``name``, which may hold anything a framework allows, a slash included."""
    return f"in.{_quoted(name)}.npy"


def ends_of(name: str) -> str:
    """The file beside it for byte strings: where each one ends in the first file, int64 [count]."""
    return f"ends.{_quoted(name)}.npy"


def _quoted(name: str) -> str:
    """``name`` as a part of a file's name; the end of a long one is replaced by a hash, as file systems take 255 bytes."""
    quoted = quote(name, safe="")
    if len(quoted) <= LONGEST:
        return quoted
    return f"{quoted[: LONGEST - 65].rpartition('%')[0] or quoted[: LONGEST - 65]}-{hashlib.sha256(name.encode()).hexdigest()}"


@dataclass(frozen=True)
class SampleSet:
    """A directory with an ``.npy`` for each input (``file_of``) and for each of the ``targets`` (see above), samples first.

    Byte strings are stored one after the other as uint8, with a second file that says where each ends.
    """

    path: Path
    inputs: tuple[str, ...]
    count: int
    targets: tuple[str, ...] = ()

    @property
    def labelled(self) -> bool:
        """Whether there are targets."""
        return bool(self.targets)

    def open(self) -> dict[str, Array]:
        """Every input, mapped read-only; byte strings are read into memory."""
        return {name: read_array(self.path, name) for name in self.inputs}

    def feeds(self, start: int, stop: int) -> dict[str, Array]:
        """Samples ``start`` to ``stop`` as C-contiguous arrays of their own in memory, ready for a session."""
        return {name: np.array(read_array(self.path, name, start, stop)) for name in self.inputs}

    def open_targets(self) -> dict[str, Array]:
        """The targets by name, mapped read-only, samples first; empty where there are none."""
        return {name: read_targets(self.path, name) for name in self.targets}

    def labels(self) -> Array | None:
        """The class index of each sample, int64 [count]; ``None`` where the targets are something else, or there are none."""
        found = self.open_targets().get(TARGET)
        return found if found is not None and found.dtype == np.int64 and found.ndim == 1 else None


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


def write_source_rows(folder: Path, rows: Array) -> None:
    """Say which row of the user's data each sample in ``folder`` is, int64 [count]."""
    np.save(folder / ROWS, rows.astype(np.int64), allow_pickle=False)


def source_rows(samples: SampleSet) -> Array:
    """The row of the user's data that each sample is, int64 [count], in place of its number where that is not known."""
    file = samples.path / ROWS
    return np.asarray(np.load(file, allow_pickle=False)) if file.is_file() else np.arange(samples.count)


def write_array(folder: Path, name: str, array: Array) -> None:
    """Put ``array``, samples first, into the sample set in ``folder``."""
    if array.dtype == np.dtype(BYTES):
        array, ends = join_strings(array)
        np.save(folder / ends_of(name), ends, allow_pickle=False)
    np.save(folder / file_of(name), array, allow_pickle=False)


def write(path: Path, inputs: Arrays, targets: Array | Targets | None = None) -> SampleSet:
    """A sample set of ``inputs`` (samples first) in the new directory ``path``, with one array of targets or several by name."""
    path.mkdir(parents=True)
    for name, array in inputs.items():
        write_array(path, name, array)
    named = {} if targets is None else targets if isinstance(targets, Mapping) else {TARGET: targets}
    for name, array in named.items():
        write_targets(path, name, np.asarray(array))
    return SampleSet(path, tuple(inputs), len(next(iter(inputs.values()))), tuple(named))


def renamed(samples: SampleSet, names: tuple[str, ...]) -> SampleSet:
    """The same samples under the model's own input names, in order; the files are renamed, not copied.

    The names are matched by position, except where the samples have the model's own names already, in any order.
    """
    if set(names) != set(samples.inputs):
        for old, new in zip(samples.inputs, names, strict=True):
            if old != new:
                (samples.path / file_of(old)).rename(samples.path / file_of(new))
                if (samples.path / ends_of(old)).is_file():
                    (samples.path / ends_of(old)).rename(samples.path / ends_of(new))
    return replace(samples, inputs=names)


def with_target(samples: SampleSet, array: Array) -> SampleSet:
    """``samples`` with ``array`` in place of their targets."""
    for name in samples.targets:
        (samples.path / target_file(name)).unlink()
        (samples.path / target_ends(name)).unlink(missing_ok=True)
    write_targets(samples.path, TARGET, array)
    return replace(samples, targets=(TARGET,))


def target_file(name: str) -> str:
    """The file of the targets ``name``."""
    return f"target.{quote(name, safe='') or 'y'}.npy"


def target_ends(name: str) -> str:
    """The file beside it for targets of different lengths: where each sample ends, int64 [count]."""
    return f"target-ends.{quote(name, safe='') or 'y'}.npy"


def as_given(targets: Targets) -> Array | dict[str, Array] | None:
    """``targets`` in the form in which the user gave them: one array, or arrays by name; ``None`` where there are none."""
    if TARGET in targets:
        return targets[TARGET]
    return dict(targets) or None


def read_targets(folder: Path, name: str) -> Array:
    """The targets ``name`` of the sample set in ``folder``, mapped read-only; those of different lengths are read into memory."""
    if not (folder / target_ends(name)).is_file():
        return np.asarray(np.load(folder / target_file(name), mmap_mode="r", allow_pickle=False))
    return split_rows(np.load(folder / target_file(name), allow_pickle=False), np.load(folder / target_ends(name), allow_pickle=False))


def write_targets(folder: Path, name: str, array: Array) -> None:
    """Put the targets ``array``, samples first, into the sample set in ``folder``."""
    if array.dtype == np.dtype(object):
        array, ends = join_rows(array)
        np.save(folder / target_ends(name), ends, allow_pickle=False)
    np.save(folder / target_file(name), array, allow_pickle=False)


def one_each(items: Iterable[Array]) -> Array:
    """Arrays of different lengths, one a sample, as an object array [count]."""
    listed = list(items)
    array = np.empty(len(listed), object)
    for index, item in enumerate(listed):
        array[index] = item
    return array


def join_rows(ragged: Array) -> tuple[Array, Array]:
    """The rows of the arrays in ``ragged`` (object [count]) one after the other, and where each array ends, int64 [count]."""
    return np.concatenate(list(ragged)), np.cumsum([len(rows) for rows in ragged], dtype=np.int64)


def split_rows(whole: Array, ends: Array) -> Array:
    """The arrays that ``join_rows`` joined, one a sample; ValueError where ``ends`` do not fit ``whole``."""
    bounds = np.concatenate([[0], ends])
    if ends.ndim != 1 or ends.dtype.kind not in "iu" or not whole.ndim or (np.diff(bounds) < 0).any() or bounds[-1] != len(whole):
        raise ValueError("the ends of the targets do not fit their rows")
    return one_each(whole[start:stop] for start, stop in pairwise(bounds))

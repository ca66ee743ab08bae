"""Preprocessed samples on disk, mapped and not loaded: what calibration, verification and the race all read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import numpy as np

from roadworthy.core.types import Array, Arrays, Signature, zeros

LABELS = "labels.npy"


def file_of(name: str) -> str:
    """The file's name for the input ``name``, which may hold anything a framework allows, a slash included."""
    return f"in.{quote(name, safe='')}.npy"


@dataclass(frozen=True)
class SampleSet:
    """A directory with an ``.npy`` for each input (``file_of``), samples first, and ``labels.npy`` (int64 [count]) if labelled."""

    path: Path
    inputs: tuple[str, ...]
    count: int
    labelled: bool = False

    def open(self) -> dict[str, Array]:
        """Every input, mapped read-only."""
        return {name: np.load(self.path / file_of(name), mmap_mode="r", allow_pickle=False) for name in self.inputs}

    def feeds(self, start: int, stop: int) -> dict[str, Array]:
        """Samples ``start`` to ``stop`` as C-contiguous arrays of their own in memory, ready for a session."""
        return {name: np.array(array[start:stop]) for name, array in self.open().items()}

    def batches(self, size: int) -> Iterator[dict[str, Array]]:
        """All samples in order, ``size`` at a time; the last batch may be smaller."""
        mapped = self.open()
        for start in range(0, self.count, size):
            yield {name: np.array(array[start : start + size]) for name, array in mapped.items()}

    def labels(self) -> Array | None:
        """The class index of each sample, if there are labels."""
        return np.load(self.path / LABELS, allow_pickle=False) if self.labelled else None


def write(path: Path, inputs: Arrays, labels: Array | None = None) -> SampleSet:
    """A sample set of ``inputs`` (samples first) in the new directory ``path``."""
    path.mkdir(parents=True)
    for name, array in inputs.items():
        np.save(path / file_of(name), array, allow_pickle=False)
    if labels is not None:
        np.save(path / LABELS, np.asarray(labels, dtype=np.int64), allow_pickle=False)
    return SampleSet(path, tuple(inputs), len(next(iter(inputs.values()))), labels is not None)


def renamed(samples: SampleSet, names: tuple[str, ...]) -> SampleSet:
    """The same samples under the model's own input names, in order; the files are renamed, not copied."""
    for old, new in zip(samples.inputs, names, strict=True):
        if old != new:
            (samples.path / file_of(old)).rename(samples.path / file_of(new))
    return SampleSet(samples.path, names, samples.count, samples.labelled)


def noise(signature: Signature, count: int, path: Path) -> SampleSet:
    """``count`` generated samples that fit ``signature``: normal floats, zeros for other dtypes; the same every time."""
    generator = np.random.default_rng(0)
    return write(
        path,
        {
            name: generator.standard_normal(array.shape).astype(array.dtype) if array.dtype.kind == "f" else array
            for name, array in zeros(signature.inputs, count).items()
        },
    )

"""What a training is stopped with and continues from: one file, written whole or not at all."""

from __future__ import annotations

import hashlib
import io
import os
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from roadworthy.build.compress.stages import Lesson, TeachingRecipe
from roadworthy.core import codec
from roadworthy.core.errors import RoadworthyError
from roadworthy.core.samples import SampleSet
from roadworthy.core.types import Array

FILE = "training.zip"
RECORD, STATE, BEST = "record.json", "state", "best"
CHUNK = 1 << 24


@dataclass(frozen=True)
class TrainingRecord:
    """How far a training is: batches learned, seconds spent, its peak rate, its looks so far, the best of them, and why it ended."""

    fingerprint: str
    batches: int
    seconds: float
    rate: float
    lessons: tuple[Lesson, ...]
    best: int
    ended: str = ""


@dataclass(frozen=True)
class Saved:
    """A record with the learner's state at that point, and at the best look."""

    record: TrainingRecord
    state: bytes
    best: bytes


def write(directory: Path, saved: Saved) -> None:
    """Put ``saved`` into ``directory`` in place of what is there; a reader sees the old one or the new one."""
    directory.mkdir(parents=True, exist_ok=True)
    partial = directory / f"{FILE}.partial"
    with zipfile.ZipFile(partial, "w") as archive:
        archive.writestr(RECORD, codec.to_json(saved.record))
        archive.writestr(STATE, saved.state)
        archive.writestr(BEST, saved.best)
    with open(partial, "rb") as file:
        os.fsync(file.fileno())
    partial.replace(directory / FILE)


def read(directory: Path, fingerprint: str) -> Saved | None:
    """What ``write`` put into ``directory`` for this ``fingerprint``; ``None`` where there is nothing, of another training or damaged."""
    try:
        with zipfile.ZipFile(directory / FILE) as archive:
            record = codec.from_json(TrainingRecord, archive.read(RECORD))
            return Saved(record, archive.read(STATE), archive.read(BEST)) if record.fingerprint == fingerprint else None
    except (OSError, zipfile.BadZipFile, KeyError, RoadworthyError):
        return None


def fingerprint(recipe: TeachingRecipe, sets: Iterable[SampleSet], weights: Iterable[Mapping[str, Array]]) -> str:
    """A hash of what decides a training: the recipe, all samples and labels, the weights of the teacher and the student at its start.

    The time it may take is left out: with more time the same training goes on, and ends later.
    """
    found = hashlib.sha256(codec.to_json(replace(recipe, seconds=0.0)))
    for samples in sets:
        for file in sorted(samples.path.glob("*.npy")):
            found.update(file.name.encode())
            with open(file, "rb") as stream:
                while chunk := stream.read(CHUNK):
                    found.update(chunk)
    for arrays in weights:
        for name, array in arrays.items():
            found.update(f"{name} {array.dtype} {array.shape}".encode())
            found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()


def packed(arrays: Mapping[str, Array]) -> bytes:
    """``arrays`` as bytes, for a learner's state."""
    file = io.BytesIO()
    np.savez(file, **{f"a{number}": array for number, array in enumerate(arrays.values())}, names=np.array(list(arrays), str))  # type: ignore[arg-type]
    return file.getvalue()


def unpacked(data: bytes) -> dict[str, Array]:
    """The arrays of ``packed``."""
    with np.load(io.BytesIO(data), allow_pickle=False) as held:
        return {str(name): held[f"a{number}"] for number, name in enumerate(held["names"])}

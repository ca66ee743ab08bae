"""The tensors in Keras's HDF5 files: whether a live model holds all of them, and what does not fit where it does not."""

from __future__ import annotations

import difflib
import hashlib
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from roadworthy.core.errors import ArchitectureMismatch, SourceError
from roadworthy.core.types import Array

WEIGHTS = "model.weights.h5"
"""The member of a ``.keras`` archive that holds them."""
APART = ("optimizer", "optimizer_weights", "seed_generator", "metrics", "_metrics", "compile_metrics")
"""Groups that belong to training."""
LISTED = 6


@dataclass(frozen=True)
class StoredTensor:
    """A tensor of a file: its place there, its shape, and a digest of its values."""

    place: str
    shape: tuple[int, ...]
    digest: str


@contextmanager
def opened(path: Path) -> Iterator[h5py.File]:
    """The HDF5 file that holds the weights of ``path``: itself, or the one in a ``.keras`` archive."""
    if not zipfile.is_zipfile(path):
        with h5py.File(path, "r") as file:
            yield file
        return
    with zipfile.ZipFile(path) as archive, tempfile.TemporaryDirectory() as folder:
        archive.extract(WEIGHTS, folder)
        with h5py.File(Path(folder) / WEIGHTS, "r") as file:
            yield file


def of_file(path: Path) -> tuple[StoredTensor, ...]:
    """Every weight in the file; what only training needs is left out."""
    found: list[StoredTensor] = []

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and (item.dtype.kind in "fiub" or is_bfloat16(item)) and not set(APART) & set(name.split("/")):
            found.append(StoredTensor(name, tuple(item.shape), _digest(array_of(item))))

    with opened(path) as file:
        file.visititems(visit)
    return tuple(found)


def is_bfloat16(item: Any) -> bool:
    """HDF5 has no such type: Keras writes it as two opaque bytes."""
    return bool(item.dtype.kind == "V" and item.dtype.itemsize == 2)


def array_of(item: Any) -> Array:
    """A dataset's values; bfloat16 ones as float32, whose upper half they are."""
    values: Array = np.asarray(item[()])
    return (values.view(np.uint16).astype(np.uint32) << 16).view(np.float32) if is_bfloat16(item) else values


def all_there(model: Any, path: Path, known_as: Path | None = None) -> str:
    """A sentence that every weight of the file is in the model and the other way round, bit for bit.

    ``known_as`` is the file that the user knows, where ``path`` is a copy of it.

    SourceError, or ArchitectureMismatch where the model has weights that the file lacks. A Keras model whose parts could not be
    built again loads without a message and initialises its weights at random at the first call.
    """
    theirs, path = of_file(path), known_as or path
    ours = {_digest(np.asarray(weight.numpy())): weight for weight in model.weights}
    held = {tensor.digest for tensor in theirs}
    lost = [f"{tensor.place} {list(tensor.shape)}" for tensor in theirs if tensor.digest not in ours]
    if lost:
        raise SourceError(
            f"{len(lost)} of the {len(theirs)} weights in {path} did not reach the model ({listed(lost)}): its class does not say how it "
            "is built again; give it a build() or a build_from_config(), or deploy the live model from Python with roadworthy.deploy"
        )
    made = [f"{name_of(weight)} {list(weight.shape)}" for digest, weight in ours.items() if digest not in held]
    if made:
        raise ArchitectureMismatch(f"{len(made)} weights of the model are not in {path} ({listed(made)})")
    if not theirs:
        return "neither the file nor the model has weights"
    return f"all {len(theirs)} weight tensors of the file are in the model, bit for bit"


def mismatch(expected: tuple[StoredTensor, ...], found: tuple[StoredTensor, ...], path: Path) -> ArchitectureMismatch | None:
    """An error that lists what of a weights file does not fit an architecture; None where places and shapes agree."""
    ours, theirs = ({tensor.place: list(tensor.shape) for tensor in tensors} for tensors in (expected, found))
    missing = [_near(place, theirs.keys() - ours.keys()) for place in ours if place not in theirs]
    unexpected = [_near(place, ours.keys() - theirs.keys()) for place in theirs if place not in ours]
    other = [
        f"{place} is {theirs[place]} in the file and {shape} in the architecture"
        for place, shape in ours.items()
        if place in theirs and theirs[place] != shape
    ]
    parts = [
        f"{words}: {listed(places)}"
        for words, places in (("missing in the file", missing), ("unexpected in the file", unexpected), ("of another shape", other))
        if places
    ]
    if not parts:
        return None
    return ArchitectureMismatch(
        f"the weights in {path} do not fit the architecture ({len(ours)} tensors); {'; '.join(parts)}; "
        "pass the --arch that the weights were trained with"
    )


def name_of(weight: Any) -> str:
    """A variable's name with its layers': Keras 3 calls that its path."""
    return str(getattr(weight, "path", weight.name))


def listed(items: list[str]) -> str:
    """The first few, and how many more."""
    return ", ".join(items[:LISTED]) + (f" and {len(items) - LISTED} more" if len(items) > LISTED else "")


def _near(place: str, others: set[str]) -> str:
    near = difflib.get_close_matches(place, sorted(others)[:2000], 1, 0.6)
    return f"{place} (nearest: {near[0]})" if near else place


def _digest(array: Array) -> str:
    # A weight of half precision is float32 in the model; nothing is lost on the way, so the digests agree.
    array = np.ascontiguousarray(array, np.float32 if array.dtype.kind == "f" else None)
    return hashlib.sha256(f"{array.shape}{array.dtype}".encode() + array.tobytes()).hexdigest()

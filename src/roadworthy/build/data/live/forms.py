"""Data of a Python program: which form it has, and its samples in chunks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from roadworthy.build.data.live import chunks, frames, parts, sets, values
from roadworthy.build.data.live.wanted import Chunk, Items, Wanted
from roadworthy.build.data.user_targets import read_targets
from roadworthy.core.errors import DataError
from roadworthy.core.evidence import Note
from roadworthy.core.samples import Targets
from roadworthy.core.types import Array

FORMS = (
    "arrays or tensors, (x, y), a dict of them by input name, a list of samples or of (x, y) pairs, a DataFrame, a generator, "
    "or a data set of PyTorch, TensorFlow, Keras or Hugging Face"
)


@dataclass(frozen=True)
class PythonData:
    """Samples in ``chunks``, which may be gone through once; the names of their ``classes`` where the data has them.

    ``limit`` is where ``what`` was cut off, if it has as many samples.
    """

    chunks: Iterator[Chunk]
    what: str
    limit: int | None = None
    classes: tuple[str, ...] = ()
    notes: tuple[Note, ...] = ()


def read(data: Any, wanted: Wanted, what: str) -> PythonData:
    """The samples in ``data``, a value of any form in ``FORMS``; raises DataError, with ``what`` in front, for any other."""
    adaptor = sets.adaptor_of(data)
    if adaptor is not None:
        return _of_items(adaptor(data, wanted), wanted)
    if isinstance(data, tuple):
        return replace(_whole(_of_tuple(data, wanted, what), what), notes=_on_sparse(data[0]))
    if isinstance(data, Mapping) or frames.is_frame(data) or values.is_array(data) or values.is_sparse(data):
        return replace(_whole(_named(data, wanted, what), what), notes=_on_sparse(data))
    if isinstance(data, list):
        return _of_list(data, wanted, what)
    if isinstance(data, str | bytes) or not (isinstance(data, Iterable) or hasattr(data, "__getitem__")):
        raise DataError(f"{what} is {type(data).__name__}; it must be {FORMS}")
    if hasattr(data, "__getitem__") and sets.has_length(data):
        return _of_items(sets.indexed(data, wanted), wanted)
    return _of_items(Items(f"the {type(data).__name__}", iter(data), None, ends=sets.has_length(data)), wanted)


def _of_items(found: Items, wanted: Wanted) -> PythonData:
    """What comes item by item: all of it, or its first samples where fewer are wanted or it does not say where it ends."""
    limit = None if found.picked else wanted.limit or (None if found.ends else sets.ENDLESS)
    return PythonData(chunks.chunks(found, replace(wanted, limit=limit)), found.what, limit, found.classes, found.notes)


def _whole(chunk: Chunk, what: str) -> PythonData:
    return PythonData(iter((chunk,)), what)


def _on_sparse(x: Any) -> tuple[Note, ...]:
    """A note where an input is sparse."""
    found = x.values() if isinstance(x, Mapping) else x if isinstance(x, tuple) else (x,)
    return (Note("sparse inputs were made dense"),) if any(map(values.is_sparse, found)) else ()


def _of_tuple(data: tuple[Any, ...], wanted: Wanted, what: str) -> Chunk:
    """``(x, y)``, or whole arrays by position for a model of as many inputs."""
    x, y = parts.parted(data, wanted, what)
    chunk, targets = _named(x, wanted, what), _targets(y, what)
    if chunk.targets and targets:
        raise DataError(f"{what} has targets twice: y of (x, y), and in x")
    return Chunk(chunk.inputs, targets or chunk.targets)


def _targets(y: Any, what: str) -> Targets:
    if frames.is_frame(y):
        return frames.targets_of(y, tuple(map(str, y.columns)), what)
    return read_targets(frames.array_of(y, f"{what}: y") if frames.is_series(y) else y, what)


def _named(x: Any, wanted: Wanted, what: str) -> Chunk:
    """Whole arrays by name: a mapping, a DataFrame, one array, or several in a list or tuple by position."""
    if frames.is_frame(x):
        return frames.chunk_of(x, wanted, what)
    if not isinstance(x, Mapping):
        wanted.refuse_targets(what)
    x, y = parts.of_mapping(x, wanted, what) if isinstance(x, Mapping) else (x, None)
    several = isinstance(x, Mapping | tuple) or (isinstance(x, list) and _are_inputs(x, wanted))
    named = parts.named_inputs(x, wanted) if several else {wanted.only: x}
    return Chunk({name: _array(value, f"{what}: {name}") for name, value in named.items()}, _targets(y, what))


def _array(value: Any, what: str) -> Array:
    """One whole array; a list of arrays, pictures or paths is stacked."""
    if frames.is_series(value):
        return frames.array_of(value, what)
    if isinstance(value, list | tuple) and value and (values.is_array(value[0]) or isinstance(value[0], Image.Image | Path)):
        stacked = chunks.chunks(Items(what, value), Wanted())
        return np.concatenate([next(iter(chunk.inputs.values())) for chunk in stacked])
    return values.array_of(value, what)


def _of_list(data: list[Any], wanted: Wanted, what: str) -> PythonData:
    """A list of pairs, of rows by name, of samples; or ``[x, y]`` where the two have as many samples and one input is wanted."""
    if not data:
        raise DataError(f"{what} holds no samples")
    if all(isinstance(item, tuple) for item in data) or all(isinstance(item, Mapping) for item in data):
        return _of_items(Items("the list", data, picked=True), wanted)
    if _are_inputs(data, wanted):
        return _whole(_named(data, wanted, what), what)
    if len(data) == 2 and all(map(values.is_array, data)) and _may_be_x_and_y(*data):
        if len(wanted.names) == 1:
            return _whole(_of_tuple(tuple(data), wanted, what), what)
        raise DataError(f"{what} is a list of two arrays: give a tuple (x, y), or a dict of arrays by input name")
    wanted.refuse_targets(what)
    return _whole(Chunk({wanted.only: _array(data, what)}, {}), what)


def _may_be_x_and_y(first: Any, second: Any) -> bool:
    """Whether two arrays have as many rows, of different shapes: then they are not two samples."""
    return len(first.shape) > 0 < len(second.shape) and first.shape[0] == second.shape[0] and first.shape != second.shape


def _are_inputs(items: list[Any], wanted: Wanted) -> bool:
    """Whether a list holds the arrays of several inputs, and not samples."""
    return len(items) > 1 and len(items) == len(wanted.names) and all(map(values.is_array, items))

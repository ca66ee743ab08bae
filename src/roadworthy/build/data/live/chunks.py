"""Items of a data set, one sample or one batch each, as chunks of samples."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, islice
from typing import Any

import numpy as np
from PIL import Image

from roadworthy.build.data.live.parts import item_of
from roadworthy.build.data.live.values import content
from roadworthy.build.data.live.wanted import Chunk, Item, Items, Wanted
from roadworthy.build.data.user_targets import read_targets
from roadworthy.core.errors import DataError, RoadworthyError
from roadworthy.core.text import named_line
from roadworthy.core.types import BYTES, Array

GROUP = 256
"""Samples of one chunk, where an item is one sample."""
PEEKED = 4
"""Items that are looked at to see whether an item is one sample or several."""


def chunks(found: Items, wanted: Wanted) -> Iterator[Chunk]:
    """The samples of ``found`` in chunks, no more than ``wanted.limit``. Raises DataError, naming the item, for one that does not fit."""
    items = (item_of(item, wanted, f"{found.what}, item {number}", weighted=found.weighted) for number, item in _numbered(found))
    first = list(islice(items, PEEKED))
    batched = _are_batches(first) if found.batched is None else found.batched
    made = (_batches if batched else _stacked)(chain(first, items), found.what)
    return made if wanted.limit is None else _limited(made, wanted.limit)


def _numbered(found: Items) -> Iterator[tuple[int, Any]]:
    """The items with their numbers; what their own code raises is a DataError that says at which item."""
    count = 0
    try:
        for item in found.items:
            yield count, item
            count += 1
    except RoadworthyError:
        raise
    except Exception as problem:
        raise DataError(f"{found.what} raised {named_line(problem)} at item {count}", detail=repr(problem)) from problem


def _are_batches(items: Sequence[Item]) -> bool:
    """Whether each item is several samples: all its arrays have one length, and its targets are not a one-hot row of that length."""
    return bool(items) and all(map(_is_batch, items)) and not all(_is_one_hot_row(item.y) for item in items)


def _is_batch(item: Item) -> bool:
    parts = [*item.inputs.values(), item.y]
    return all(getattr(part, "ndim", 0) for part in parts) and len({len(part) for part in parts}) == 1


def _is_one_hot_row(y: Any) -> bool:
    array = np.asarray(y)
    return array.ndim == 1 and array.dtype.kind in "biuf" and bool(np.isin(array, (0, 1)).all()) and array.sum() == 1


def _batches(items: Iterator[Item], what: str) -> Iterator[Chunk]:
    """Batches as they are, without empty ones; DataError names one whose arrays are not of one length."""
    for number, item in enumerate(items):
        targets = read_targets(item.y, f"{what}, item {number}")
        counts = {len(array) if array.ndim else 0 for array in (*item.inputs.values(), *targets.values())}
        if len(counts) > 1:
            raise DataError(f"{what}, item {number}: the parts of a batch have different numbers of samples ({sorted(counts)})")
        if counts != {0}:
            yield Chunk(item.inputs, targets)


def _stacked(items: Iterator[Item], what: str) -> Iterator[Chunk]:
    """Single samples, stacked ``GROUP`` at a time."""
    start = 0
    while group := list(islice(items, GROUP)):
        for number, item in enumerate(group, start):
            if item.inputs.keys() != group[0].inputs.keys() or (item.y is None) != (group[0].y is None):
                raise DataError(f"{what}, item {number} does not have the same parts as item {start}")
        inputs = {name: _stack([item.inputs[name] for item in group], f"{what}: {name}", start) for name in group[0].inputs}
        yield Chunk(inputs, {} if group[0].y is None else read_targets([item.y for item in group], what))
        start += len(group)


def _stack(values: Sequence[Array], what: str, start: int) -> Array:
    """One array [samples, ...] of single samples; pictures of different sizes become PNG."""
    odd = next((number for number, value in enumerate(values) if value.shape != values[0].shape), None)
    if odd is None:
        return np.stack(values)
    if not all(map(_is_picture, values)):
        raise DataError(
            f"{what} of item {start + odd} has the shape {list(values[odd].shape)}, and that of item {start} {list(values[0].shape)}: "
            "all samples must have one shape; pad or cut them first"
        )
    array = np.empty(len(values), BYTES)
    array[:] = [content(Image.fromarray(value.squeeze()), what) for value in values]
    return array


def _is_picture(array: Array) -> bool:
    return array.dtype == np.uint8 and (array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (1, 3)))


def _limited(found: Iterator[Chunk], limit: int) -> Iterator[Chunk]:
    """The first ``limit`` samples; no chunk is asked for after them."""
    for chunk in found:
        kept = min(limit, chunk.count)
        yield Chunk({name: array[:kept] for name, array in chunk.inputs.items()}, {name: y[:kept] for name, y in chunk.targets.items()})
        limit -= kept
        if limit == 0:
            return

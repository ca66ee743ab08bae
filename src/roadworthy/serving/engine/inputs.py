"""Converts Python values to the arrays that a session takes: tells images from tensors, and keeps byte strings unchanged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from roadworthy.core.errors import DataError, InvalidRequest
from roadworthy.core.exact import as_array, cast_exactly
from roadworthy.core.types import BYTES, Array, TensorSpec
from roadworthy.preprocess.contract import ItemKind


def items_of(item: Any, kind: ItemKind) -> list[Any] | None:
    """``item`` as a list of items of ``kind``, or ``None`` where it is a tensor."""
    return _images_of(item) if kind == "image" else _others_of(item, kind)


def _others_of(item: Any, kind: ItemKind) -> list[Any] | None:
    """``item`` as texts or wav files: text itself is a text where those are taken, and else a path."""
    if isinstance(item, str):
        return [item if kind == "text" else Path(item)]
    if isinstance(item, (bytes, bytearray, memoryview, Path)):
        return [item]
    if isinstance(item, np.ndarray) and item.ndim == 1 and item.dtype.kind in "OUT":
        item = item.tolist()
    if isinstance(item, (list, tuple)) and item:
        each = [_others_of(one, kind) if not isinstance(one, (list, tuple)) else None for one in item]
        return [one for (one,) in filter(None, each)] if all(each) else None
    return None


def _images_of(item: Any) -> list[Any] | None:
    """``item`` as a list of images, or ``None`` where it is a tensor."""
    if isinstance(item, np.ndarray):
        if item.dtype != np.uint8 or item.ndim not in (2, 3, 4):
            return None
        return list(item) if item.ndim == 4 else [item]
    if isinstance(item, str):
        return [Path(item)]
    if isinstance(item, (bytes, bytearray, memoryview, Path)) or hasattr(item, "getpixel"):
        return [item]
    if isinstance(item, (list, tuple)) and item:
        each = [_images_of(one) for one in item]
        return [images[0] for images in each if images] if all(each) else None
    return None


def as_input(item: Any, spec: TensorSpec) -> Array:
    """``item`` with the dtype of ``spec``, by the rule of ``core.exact``, and with a batch dimension."""
    if spec.dtype == BYTES:
        return spec.with_sample_axis(_strings(item, spec))
    return spec.with_sample_axis(cast_exactly(spec.name, as_array(spec.name, item), spec.dtype))


def _strings(item: Any, spec: TensorSpec) -> Array:
    """``item``, nested to any depth, as byte strings. Not by NumPy, which drops the zeros at the end of ``bytes``."""
    if isinstance(item, np.ndarray):
        if item.dtype.kind == "S":
            raise InvalidRequest(
                f"input {spec.name!r} is {item.dtype}, which drops the zeros at the ends of byte strings; give a list of bytes instead"
            )
        item = item.tolist()
    if isinstance(item, (list, tuple)):
        rows = [_strings(one, spec) for one in item]
        if len({row.shape for row in rows}) > 1:
            raise InvalidRequest(f"input {spec.name!r} holds rows of different shapes; the model takes {spec}")
        array = np.empty((len(rows), *(rows[0].shape if rows else ())), BYTES)
        for index, row in enumerate(rows):
            array[index] = row if row.ndim else row[()]
        return array
    array = np.empty((), BYTES)
    array[()] = _string(item, spec)
    return array


def _string(item: Any, spec: TensorSpec) -> bytes:
    if isinstance(item, Path):
        try:
            return item.read_bytes()
        except OSError as problem:
            raise DataError(f"{item} cannot be read: {problem.strerror or problem}") from None
    if isinstance(item, str):
        return item.encode()
    if isinstance(item, (bytes, bytearray, memoryview)):
        return bytes(item)
    raise InvalidRequest(f"input {spec.name!r} holds {type(item).__name__} where the model takes byte strings ({spec})")

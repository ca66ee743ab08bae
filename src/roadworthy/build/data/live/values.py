"""One value of a Python program as an array: tensors of any library, texts and byte strings, pictures. No framework is imported."""

from __future__ import annotations

from collections.abc import Iterable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from roadworthy.core.errors import DataError
from roadworthy.core.types import BYTES, Array

NARROW = ("bfloat16", "float8")
"""Types of float that NumPy lacks; float32 holds each of their values exactly."""
LOST = "which has lost the zeros at the ends of its byte strings: give them as a list or an object array of bytes, or as a folder of files"


def array_of(value: Any, what: str) -> Array:
    """``value`` as an array in memory: numbers, or texts (as UTF-8), byte strings and pictures (as PNG) as objects.

    A tensor leaves its gradient and its device, a sparse one becomes dense. Raises DataError, with ``what`` in front, for anything else.
    """
    if isinstance(value, str | bytes | Path | Image.Image):
        return scalar(content(value, what))
    if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        raise DataError(f"{what} has masked values, which no model takes; fill them first, for example with .filled(0)")
    if isinstance(value, list | tuple) and holds_strings(value):
        return strings(value, what)
    try:
        array = np.asarray(_plain(value, what))
    except (TypeError, ValueError, RuntimeError) as problem:
        why = "its rows have different lengths; pad or cut them first" if "inhomogeneous" in str(problem) else str(problem)
        raise DataError(f"{what} cannot be read as an array: {why}") from None
    except MemoryError:
        raise DataError(
            f"{what} does not fit into memory as an array of shape {list(getattr(value, 'shape', []))}; use fewer samples"
        ) from None
    return _checked(array, what)


def scalar(string: bytes) -> Array:
    """One byte string as an array without axes."""
    array = np.empty((), BYTES)
    array[()] = string
    return array


def strings(values: Any, what: str) -> Array:
    """Texts, byte strings, paths and pictures, nested in lists to any depth, as an object array of bytes."""
    nested = np.array(values, BYTES)
    return column(nested.reshape(-1).tolist(), what).reshape(nested.shape)


def column(values: Iterable[Any], what: str) -> Array:
    """Texts and byte strings as an object array of bytes [n], the content of files where the first text is the path of one.

    Raises DataError, with the row, for anything else.
    """
    listed = list(values)
    files = bool(listed) and _is_file(listed[0])
    held = [content(Path(value) if files and isinstance(value, str) else value, f"{what}, row {row}") for row, value in enumerate(listed)]
    array = np.empty(len(held), BYTES)
    array[:] = held
    return array


def _is_file(value: Any) -> bool:
    """Whether a text is the path of a file, and so stands for its content."""
    try:
        return isinstance(value, str) and bool(Path(value).suffix) and Path(value).is_file()
    except (OSError, ValueError):
        return False


def content(value: Any, what: str) -> bytes:
    """A text as UTF-8, a byte string as it is, a picture as PNG, a path as the content of its file."""
    if isinstance(value, bytes | bytearray):
        return bytes(value)
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, Image.Image):
        return encoded(value)
    if isinstance(value, Path):
        try:
            return value.read_bytes()
        except OSError as problem:
            raise DataError(f"{what}: {value} cannot be read: {problem.strerror or problem}") from None
    missing = value is None or (isinstance(value, float) and value != value)
    raise DataError(f"{what} has no text" if missing else f"{what} is {type(value).__name__}, where others are texts or byte strings")


def encoded(picture: Image.Image) -> bytes:
    """A picture as PNG, without a loss."""
    held = BytesIO()
    picture = picture if picture.mode in ("1", "L", "LA", "P", "RGB", "RGBA") else picture.convert("RGB")
    picture.save(held, "PNG", compress_level=1)
    return held.getvalue()


def holds_strings(values: Any) -> bool:
    """Whether lists, nested to any depth, hold texts, byte strings, paths or pictures; the first of each list tells."""
    while isinstance(values, list | tuple) and values:
        values = values[0]
    return isinstance(values, str | bytes | Path | Image.Image)


def is_array(value: Any) -> bool:
    """Whether ``value`` is an array or tensor of any library, and no plain number."""
    return hasattr(value, "__array__") and not isinstance(value, np.generic)


def is_sparse(value: Any) -> bool:
    """Whether ``value`` is a sparse array of SciPy or a sparse tensor of PyTorch."""
    return hasattr(value, "toarray") or "sparse" in str(getattr(value, "layout", ""))


def _plain(value: Any, what: str) -> Any:
    """``value`` as something that NumPy reads: off the gradient tape and its device, dense, of a type that NumPy has."""
    kind = type(value).__name__
    if kind in ("RaggedTensor", "RaggedTensorValue", "SparseTensor"):
        raise DataError(f"{what} is a {kind}; make it dense first, for example with .to_tensor() or tf.sparse.to_dense(...)")
    for step in ("detach", "cpu"):
        if callable(method := getattr(value, step, None)):
            value = method()
    if is_sparse(value):
        value = value.toarray() if hasattr(value, "toarray") else value.to_dense()
    name = str(getattr(value, "dtype", ""))
    if name.startswith(tuple(f"torch.{narrow}" for narrow in NARROW)):
        value = value.float()
    return value


def _checked(array: Array, what: str) -> Array:
    if array.dtype.kind == "V" and array.dtype.name.startswith(NARROW):
        return np.asarray(array.astype(np.float32))
    if array.dtype.kind == "S":
        raise DataError(f"{what} is {array.dtype}, {LOST}")
    if array.dtype.kind in "OUT":
        return column(array.reshape(-1).tolist(), what).reshape(array.shape)
    if array.dtype.kind not in "biufc":
        raise DataError(f"{what} is {array.dtype}; it must be numbers, texts or byte strings")
    return array

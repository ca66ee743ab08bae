"""The headers of array files, read strictly: safetensors, and the ``.npy`` members of an ``.npz``."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import IO

import msgspec
import numpy as np

from roadworthy.core import codec
from roadworthy.core.errors import SourceUnreadable
from roadworthy.core.types import TensorSpec

HEADER = 32 * 2**20
"""Bytes of JSON that are read at most; the format itself allows 100 MB, which no model comes near."""
WIDTHS = {
    "F64": ("float64", 8), "F32": ("float32", 4), "F16": ("float16", 2), "BF16": ("bfloat16", 2), "I64": ("int64", 8), "I32": ("int32", 4),
    "I16": ("int16", 2), "I8": ("int8", 1), "U8": ("uint8", 1), "U16": ("uint16", 2), "U32": ("uint32", 4), "U64": ("uint64", 8),
    "BOOL": ("bool", 1), "F8_E4M3": ("float8_e4m3fn", 1), "F8_E5M2": ("float8_e5m2", 1),
}  # fmt: skip


class Entry(msgspec.Struct):
    """One tensor of a safetensors header."""

    dtype: str
    shape: list[int]
    data_offsets: tuple[int, int]


def safetensors(path: Path) -> tuple[TensorSpec, ...]:
    """The tensors of a safetensors file (huggingface/safetensors, format description), in the order of their bytes.

    Raises SourceUnreadable where the header lies: about its own length, a dtype, a shape, or offsets that overlap,
    leave holes or lead out of the file.
    """
    size = path.stat().st_size
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > HEADER:
            raise _bad(path, f"its header claims {length} bytes, more than the {HEADER} that are read")
        if 8 + length > size:
            raise _bad(path, f"its header claims {length} bytes and the file has {size}; it was cut short")
        header = codec.from_json(dict[str, msgspec.Raw], file.read(length), error=SourceUnreadable, what=f"{path}: the header")
    header.pop("__metadata__", None)
    entries = {
        name: codec.from_json(Entry, bytes(raw), error=SourceUnreadable, what=f"{path}: {name[:200]}") for name, raw in header.items()
    }
    end, specs = 0, []
    for name, entry in sorted(entries.items(), key=lambda item: item[1].data_offsets):
        if entry.dtype not in WIDTHS:
            raise _bad(path, f"{name[:200]} has the dtype {entry.dtype[:20]!r}, which is not known here")
        dtype, width = WIDTHS[entry.dtype]
        begin, stop = entry.data_offsets
        if any(axis < 0 for axis in entry.shape) or stop - begin != math.prod(entry.shape) * width:
            raise _bad(path, f"{name[:200]} claims the shape {entry.shape[:8]} and {stop - begin} bytes, which do not agree")
        if begin != end:
            raise _bad(path, f"the bytes of {name[:200]} overlap another tensor's or leave a hole")
        end = stop
        specs.append(TensorSpec(name, dtype, tuple(entry.shape)))
    if 8 + length + end != size:
        raise _bad(path, f"its tensors take {end} bytes and the file holds {size - 8 - length}; it was cut short or added to")
    return tuple(specs)


def npy(data: bytes, name: str, path: Path) -> TensorSpec:
    """The array that one ``.npy`` member holds, by its header."""
    file: IO[bytes] = io.BytesIO(data)
    try:
        major = np.lib.format.read_magic(file)[0]
        read = np.lib.format.read_array_header_1_0 if major == 1 else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(file)
    except (ValueError, SyntaxError, TypeError, EOFError, OverflowError, MemoryError, RecursionError) as problem:
        raise SourceUnreadable(f"{path}: {name} is not an array ({str(problem)[:120]})") from None
    return TensorSpec(name.removesuffix(".npy"), str(dtype), tuple(shape))


def _bad(path: Path, why: str) -> SourceUnreadable:
    return SourceUnreadable(f"{path} is not a sound safetensors file: {why}")

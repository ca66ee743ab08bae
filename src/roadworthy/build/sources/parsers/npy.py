"""The header of one ``.npy`` member of an archive."""

from __future__ import annotations

import io
from pathlib import Path
from typing import IO

import numpy as np

from roadworthy.core.errors import SourceUnreadable
from roadworthy.core.types import TensorSpec


def read(data: bytes, name: str, path: Path) -> TensorSpec:
    """The array that the member ``name`` of ``path`` holds; SourceUnreadable where it is not one."""
    file: IO[bytes] = io.BytesIO(data)
    try:
        major = np.lib.format.read_magic(file)[0]
        read = np.lib.format.read_array_header_1_0 if major == 1 else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(file)
    except (ValueError, SyntaxError, TypeError, EOFError, OverflowError, MemoryError, RecursionError) as problem:
        raise SourceUnreadable(f"{path}: {name} is not an array ({str(problem)[:120]})") from None
    return TensorSpec(name.removesuffix(".npy"), str(dtype), tuple(shape))

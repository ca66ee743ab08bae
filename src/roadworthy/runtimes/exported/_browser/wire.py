"""Arrays as bytes and back, exactly: the size of a JSON object, the object with each array's name, dtype and shape, and their bytes."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator

import numpy as np

from roadworthy.core.errors import StepFailed
from roadworthy.core.types import Array, Arrays


def packed(feeds: Arrays) -> bytes:
    """``feeds`` in one piece, little endian."""
    arrays = {name: np.ascontiguousarray(array) for name, array in feeds.items()}
    stated = [
        {"name": name, "dtype": array.dtype.name, "shape": list(array.shape), "bytes": array.nbytes} for name, array in arrays.items()
    ]
    header = json.dumps({"error": "", "arrays": stated}).encode()
    return b"".join([struct.pack("<I", len(header)), header, *(array.tobytes() for array in arrays.values())])


def unpacked(data: bytes) -> Iterator[tuple[str, Array]]:
    """Each array with its name; StepFailed for what says that the page failed, ValueError for what is not in that form."""
    if len(data) < 4:
        raise ValueError("the header is missing")
    (size,) = struct.unpack_from("<I", data)
    place = 4 + size
    header = json.loads(data[4:place])
    if header["error"]:
        raise StepFailed(header["error"])
    for stated in header["arrays"]:
        count = int(np.prod(stated["shape"], dtype=np.int64))
        # A copy: the caller may keep and change it.
        yield stated["name"], np.frombuffer(data, stated["dtype"], count, place).reshape(stated["shape"]).copy()
        place += stated["bytes"]

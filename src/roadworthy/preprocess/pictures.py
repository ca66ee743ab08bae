"""The first images of a data set as the user gave them, on disk: what the preprocessing is proven on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from roadworthy.core.types import Array
from roadworthy.preprocess.pixels import ImageLike

MOST = 300
PIXELS = ".npy"
"""The suffix of a file of uint8 pixels; any other file is an image file, told by its content."""
PNG_MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")


@dataclass(frozen=True)
class Pictures:
    """``files`` hold one image each; ``names`` are the user's paths, or which image of the data each is."""

    files: tuple[Path, ...]
    names: tuple[str, ...]

    def open(self, index: int) -> ImageLike:
        """An image in a form that ``ImageDecoder.decode`` takes."""
        file = self.files[index]
        return np.load(file, allow_pickle=False) if file.suffix == PIXELS else file

    def first(self, count: int) -> Pictures:
        """At most ``count`` of them."""
        return Pictures(self.files[:count], self.names[:count])


def keep(images: Sequence[Any] | Array, order: Array, out: Path) -> Pictures:
    """The first images by ``order``, at most ``MOST``: files stay where they are, those in memory are written below ``out``."""
    files, names = [], []
    for number, row in enumerate(order[:MOST].tolist()):
        item = images[row]
        if isinstance(item, Path):
            files.append(item.absolute())
            names.append(str(item))
            continue
        out.mkdir(exist_ok=True)
        files.append(_written(item, out / str(number)))
        names.append(f"image {row} of the data")
    return Pictures(tuple(files), tuple(names))


def _written(item: Any, where: Path) -> Path:
    if isinstance(item, bytes | bytearray | memoryview):
        file = where.with_suffix(".image")
        file.write_bytes(item)
        return file
    if isinstance(item, np.ndarray):
        file = where.with_suffix(PIXELS)
        np.save(file, item, allow_pickle=False)
        return file
    # A Pillow image: without loss, in its own mode where PNG has that.
    file = where.with_suffix(".png")
    (item if item.mode in PNG_MODES else item.convert("RGB")).save(file, compress_level=1)
    return file

"""Decompression bombs in BMP, GIF and TIFF files, found by their structure before they are decoded; see ``image_guards``.

A run-length coded BMP is decoded in an interpreted loop, over its pixels and not its bytes. A GIF may hold a million comments, and a
TIFF a million strips, one object each; its compressions are many, and some have bombs of their own.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from roadworthy.core.errors import InvalidRequest

MAX_RUN_LENGTH_PIXELS = 1_000_000
"""The pixels of a BMP with run-length coding."""

TILE_PIXELS = 1_000_000
"""A tile of a TIFF may have so many pixels, or as many as the image."""

TIFF_COMPRESSIONS = {1: "none", 5: "LZW", 8: "Deflate", 32946: "Deflate", 32773: "PackBits"}
"""Those that are decoded: their work is bounded by the pixels."""

_TIFF_HEADERS = (b"II*\0", b"MM\0*")
ORDINARY_BLOCKS = 32
"""Parts of a GIF before the first frame, in which that frame is looked for."""
_BIG_TIFF_HEADERS = (b"II+\0", b"MM\0+")
_TIFF_UNITS = {1: 1, 2: 1, 3: 2, 4: 4}
_WIDTH, _HEIGHT, _COMPRESSION, _STRIPS, _TILE_WIDTH, _TILE_HEIGHT, _TILES = 256, 257, 259, 273, 322, 323, 324


def pixels(image: bytes) -> int:
    """The pixels by the header of a BMP, GIF or TIFF; 0 where the header cannot be read."""
    if image.startswith(b"BM"):
        return _bmp(image)[0]
    if image.startswith(b"GIF8"):
        # The first frame may reach past the canvas, and then Pillow makes the canvas larger.
        width, height = _numbers("<HH", image, 6)
        for block in _gif_blocks(image, ORDINARY_BLOCKS):
            if block.frame:
                left, top, across, below = block.frame
                width, height = max(width, left + across), max(height, top + below)
        return width * height
    if image.startswith(_TIFF_HEADERS):
        tags = _tiff_tags(image)
        return tags.get(_WIDTH, (0, 0))[1] * tags.get(_HEIGHT, (0, 0))[1]
    return 0


def refuse_many_pieces(image: bytes, name: str, most: int) -> None:
    """Raises InvalidRequest for a BMP, GIF or TIFF, called ``name``, of more than ``most`` pieces or of a coding that has no bound."""
    if image.startswith(b"BM"):
        size, compression = _bmp(image)
        if compression in (1, 2) and size > MAX_RUN_LENGTH_PIXELS:
            raise InvalidRequest(
                f"{name} is a BMP of more than {MAX_RUN_LENGTH_PIXELS} pixels with run-length coding; send it uncompressed"
            )
    elif image.startswith(b"GIF8"):
        if sum(1 for _ in _gif_blocks(image, most + 1)) > most:
            raise InvalidRequest(f"{name} is a GIF with more than {most} blocks before its first frame")
    elif image.startswith(_BIG_TIFF_HEADERS):
        raise InvalidRequest(f"{name} is a BigTIFF; send it as a TIFF, a PNG or a JPEG")
    elif image.startswith(_TIFF_HEADERS):
        _refuse_tiff(image, name, most)


def _refuse_tiff(image: bytes, name: str, most: int) -> None:
    tags = _tiff_tags(image)
    compression = tags.get(_COMPRESSION, (1, 1))[1]
    if compression not in TIFF_COMPRESSIONS:
        known = ", ".join(dict.fromkeys(TIFF_COMPRESSIONS.values()))
        raise InvalidRequest(f"{name} is a TIFF with the compression {compression}; the server reads {known}")
    pieces = max(len(tags), *(tags.get(tag, (0, 0))[0] for tag in (_STRIPS, _TILES)))
    if pieces > most:
        raise InvalidRequest(f"{name} is a TIFF with more than {most} strips, tiles or tags")
    tile = tags.get(_TILE_WIDTH, (0, 0))[1] * tags.get(_TILE_HEIGHT, (0, 0))[1]
    if tile > max(TILE_PIXELS, pixels(image)):
        raise InvalidRequest(f"{name} is a TIFF with tiles of {tile} pixels, more than the image has")


def _bmp(image: bytes) -> tuple[int, int]:
    """Pixels and compression."""
    (header,) = _numbers("<I", image, 14)
    if header == 12:
        width, height = _numbers("<HH", image, 18)
        return width * height, 0
    width, height = _numbers("<ii", image, 18)
    return abs(width * height), _numbers("<I", image, 30)[0]


@dataclass(frozen=True)
class _Block:
    """A block of a GIF; ``frame`` is its left, top, width and height where it is one."""

    frame: tuple[int, int, int, int] | None = None


def _gif_blocks(image: bytes, most: int) -> Iterator[_Block]:
    """The parts of the extensions before the first frame, at most about ``most``, and the first frame."""
    (flags,) = _numbers("<B", image, 10)
    at = 13 + (3 << ((flags & 7) + 1) if flags & 0x80 else 0)
    found = 0
    while at < len(image) and found <= most:
        if image[at] == 0x2C:
            left, top, width, height = _numbers("<HHHH", image, at + 1)
            yield _Block((left, top, width, height))
            return
        if image[at] == 0x21:
            at += 2
            while at < len(image) and image[at] and found <= most:
                at += 1 + image[at]
                found += 1
                yield _Block()
        at += 1
        found += 1
        yield _Block()


def _tiff_tags(image: bytes) -> dict[int, tuple[int, int]]:
    """How many values each tag of the first directory has, and the first of them; 0 where it is not a whole number."""
    order = "<" if image.startswith(b"II") else ">"
    (at,) = _numbers(f"{order}I", image, 4)
    (entries,) = _numbers(f"{order}H", image, at)
    tags: dict[int, tuple[int, int]] = {}
    for entry in range(at + 2, min(at + 2 + 12 * entries, len(image) - 11), 12):
        tag, kind, count = struct.unpack_from(f"{order}HHI", image, entry)
        unit = _TIFF_UNITS.get(kind, 0)
        place = entry + 8 if count * unit <= 4 else _numbers(f"{order}I", image, entry + 8)[0]
        first = _numbers(order + {1: "B", 2: "B", 3: "H", 4: "I"}[kind], image, place)[0] if unit else 0
        # Pillow takes the first of two entries of one tag.
        tags.setdefault(tag, (count, first))
    return tags


def _numbers(form: str, data: bytes, at: int) -> tuple[int, ...]:
    """The numbers at ``at``; zeros where the data end before."""
    size = struct.calcsize(form)
    return struct.unpack(form, data[at : at + size].ljust(size, b"\0"))

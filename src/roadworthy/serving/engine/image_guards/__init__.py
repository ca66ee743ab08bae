"""Decompression bombs: images that are small to send and take very long to decode, found by their structure before they are decoded.

A limit on pixels does not bound the work of a decoder. A progressive JPEG may pass over all pixels once for each scan, and a scan takes
about forty bytes. A PNG may hold a million empty chunks, and a JPEG a million empty segments; each is one round of an interpreted loop.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from roadworthy.core.errors import InvalidRequest
from roadworthy.serving.engine.image_guards import bmp_gif_tiff

MAX_SCANS = 100
"""Scans of a JPEG. A progressive JPEG has about ten."""

MAX_PIECES = 1000
"""Segments of a JPEG, or chunks of a PNG in addition to one for every ``PIECE_BYTES`` bytes."""

PIECE_BYTES = 512

HEADER_BYTES = 256 * 1024
"""The size of a JPEG is searched in this many bytes: colour profiles and previews may precede it."""

_MARKER = re.compile(rb"\xff([^\x00\xff\xd0-\xd7])")
"""A marker other than a stuffed byte or a restart marker, which are the only ones inside the data of a scan."""

_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_SCAN, _END = 0xDA, 0xD9


def pixels(image: bytes) -> int:
    """The pixels by the header of an image that can be decoded; 0 where the header cannot be read."""
    if image.startswith(b"\x89PNG"):
        return _big(image[16:20]) * _big(image[20:24])
    if image.startswith(b"\xff\xd8"):
        image = image[:HEADER_BYTES]
        for number, (marker, at) in enumerate(_segments(image)):
            if marker in _FRAMES:
                return _big(image[at + 3 : at + 5]) * _big(image[at + 5 : at + 7])
            if marker == _SCAN or number > MAX_PIECES:
                break
    if image[8:12] == b"WEBP":
        match image[12:16]:
            case b"VP8X":
                return (_little(image[24:27]) + 1) * (_little(image[27:30]) + 1)
            case b"VP8L":
                sizes = _little(image[21:25])
                return ((sizes & 0x3FFF) + 1) * ((sizes >> 14 & 0x3FFF) + 1)
            case b"VP8 ":
                return (_little(image[26:28]) & 0x3FFF) * (_little(image[28:30]) & 0x3FFF)
    return bmp_gif_tiff.pixels(image)


def refuse_many_pieces(image: bytes, name: str) -> None:
    """Raises InvalidRequest for an image, called ``name``, with more chunks, segments or scans than any encoder writes."""
    if image.startswith(b"\x89PNG"):
        at, left = 8, MAX_PIECES + len(image) // PIECE_BYTES
        while at < len(image):
            at += 12 + _big(image[at : at + 4])
            left -= 1
            if left < 0:
                raise InvalidRequest(f"{name} is a PNG with more than {MAX_PIECES + len(image) // PIECE_BYTES} chunks")
    elif image.startswith(b"\xff\xd8"):
        scans, end = 0, 2
        for number, (marker, at) in enumerate(_segments(image)):
            scans += marker == _SCAN
            # Bytes between two segments of the header are invalid; a decoder skips them one by one.
            if scans > MAX_SCANS or number > MAX_PIECES or (not scans and at - end > MAX_PIECES):
                raise InvalidRequest(f"{name} is a JPEG with more than {MAX_SCANS} scans or {MAX_PIECES} segments")
            end = at + _big(image[at : at + 2])
    else:
        bmp_gif_tiff.refuse_many_pieces(image, name, MAX_PIECES + len(image) // PIECE_BYTES)


def _segments(jpeg: bytes) -> Iterator[tuple[int, int]]:
    """Every marker that has a segment and the offset of that segment, up to the end of the first image."""
    at = 2
    while found := _MARKER.search(jpeg, at):
        marker, at = found[1][0], found.end()
        if marker == _END:
            return
        if marker not in (0x01, 0xD8):
            yield marker, at
            at += max(2, _big(jpeg[at : at + 2]))


def _big(number: bytes) -> int:
    return int.from_bytes(number, "big")


def _little(number: bytes) -> int:
    return int.from_bytes(number, "little")

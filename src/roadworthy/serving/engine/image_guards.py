"""Images that are small to send and endless to decode: told by their structure, before a decoder sees them.

Pixels alone do not bound a decoder's work. A progressive JPEG may go over all of them once a scan, and a scan takes some
forty bytes; a PNG or a JPEG may hold a million empty pieces, each a round of an interpreted loop.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from roadworthy.core.errors import InvalidRequest

SCANS = 100
"""Passes over a JPEG. What is written for the web has about ten."""

PIECES = 1000
"""Segments of a JPEG, and chunks of a PNG beside one for every ``PIECE`` bytes."""

PIECE = 512

HEADER = 256 * 1024
"""Bytes in which a header is looked for; colour profiles and previews come before a JPEG's size."""

_MARKER = re.compile(rb"\xff([^\x00\xff\xd0-\xd7])")
"""A marker that is neither a stuffed byte nor a restart: the only ones inside a scan's data."""

_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_SCAN, _END = 0xDA, 0xD9


def pixels(image: bytes) -> int:
    """What the header of a JPEG, PNG or WebP says; 0 where it says nothing that can be read."""
    if image.startswith(b"\x89PNG"):
        return _big(image[16:20]) * _big(image[20:24])
    if image.startswith(b"\xff\xd8"):
        image = image[:HEADER]
        for number, (marker, at) in enumerate(_segments(image)):
            if marker in _FRAMES:
                return _big(image[at + 3 : at + 5]) * _big(image[at + 5 : at + 7])
            if marker == _SCAN or number > PIECES:
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
    return 0


def refuse_endless(image: bytes, name: str) -> None:
    """Raises InvalidRequest for an image, called ``name``, in more pieces than anybody's encoder writes."""
    if image.startswith(b"\x89PNG"):
        at, left = 8, PIECES + len(image) // PIECE
        while at < len(image):
            at += 12 + _big(image[at : at + 4])
            left -= 1
            if left < 0:
                raise InvalidRequest(f"{name} is a PNG in more than {PIECES + len(image) // PIECE} chunks")
    elif image.startswith(b"\xff\xd8"):
        scans, end = 0, 2
        for number, (marker, at) in enumerate(_segments(image)):
            scans += marker == _SCAN
            # Between two segments of the header nothing belongs; a reader skips it byte by byte.
            if scans > SCANS or number > PIECES or (not scans and at - end > PIECES):
                raise InvalidRequest(f"{name} is a JPEG in more than {SCANS} scans or {PIECES} segments")
            end = at + _big(image[at : at + 2])


def _segments(jpeg: bytes) -> Iterator[tuple[int, int]]:
    """Every marker that has a segment, and where that begins, to the end of the first image."""
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

"""Compressed bodies: what a client sends is decompressed within a bound, and answers are compressed where the client asks for it."""

from __future__ import annotations

import zlib

from roadworthy.core.errors import InvalidRequest, TooLarge
from roadworthy.serving.protocols.messages import UnsupportedBody

GZIP, ZLIB = 31, 15
"""What zlib calls the two wrappers, with the largest window."""

CODINGS = {b"gzip": GZIP, b"x-gzip": GZIP, b"deflate": ZLIB}
"""Content codings by name; ``deflate`` is the one with zlib's wrapper, as HTTP has it (RFC 9110, 8.4.1.2)."""

LEAST = 1024
"""Bytes from which an answer is worth compressing."""


def check(coding: bytes) -> None:
    """Raise UnsupportedBody for a ``Content-Encoding`` that this server does not read."""
    if coding.lower() not in CODINGS and coding.lower() != b"identity":
        raise UnsupportedBody("this server reads a body without Content-Encoding, or with gzip or deflate, once")


def decompress(body: bytes, coding: bytes, limit: int) -> bytes:
    """``body`` decompressed, with never more than ``limit`` bytes in memory.

    Raises TooLarge where there would be more, InvalidRequest where it is not in that coding, ends in the middle or goes on
    behind its end (a second gzip member is refused: a body of many empty ones would keep the server busy for nothing).
    """
    window = CODINGS.get(coding.lower())
    if window is None:
        return body
    reader = zlib.decompressobj(window)
    try:
        whole = reader.decompress(body, limit + 1)
    except zlib.error:
        raise InvalidRequest(f"the body is not valid {coding.decode('latin-1')}, which its Content-Encoding names") from None
    if len(whole) > limit:
        raise TooLarge(f"the body decompresses to more than {limit} bytes, which is this server's limit")
    if not reader.eof:
        raise InvalidRequest(f"the body stops in the middle of its {coding.decode('latin-1')} data")
    if reader.unused_data:
        raise InvalidRequest(f"the body goes on after its {coding.decode('latin-1')} data")
    return whole


def wanted(accept: bytes) -> bytes | None:
    """The coding that an ``Accept-Encoding`` asks for: gzip, else deflate, else none."""
    weights: dict[bytes, bool] = {}
    for item in accept.lower().split(b","):
        name, _, weight = item.partition(b";")
        weights[name.strip()] = weight.replace(b" ", b"").rstrip(b"0") not in (b"q=", b"q=0.")
    every = weights.get(b"*", False)
    return next((name for name in (b"gzip", b"deflate") if weights.get(name, every)), None)


def compress(body: bytes, coding: bytes) -> bytes:
    """``body`` compressed at the fastest level: the others cost several times as much for a few per cent."""
    return zlib.compress(body, 1, CODINGS[coding])

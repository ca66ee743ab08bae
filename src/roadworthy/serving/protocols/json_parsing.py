"""JSON from clients: its depth of nesting is checked before it is parsed."""

from __future__ import annotations

from typing import Any

import numpy as np
import orjson

from roadworthy.core.errors import InvalidRequest

_AS_BRACKETS = bytes.maketrans(b"{}", b"[]")
_IGNORED = bytes(set(range(256)).difference(b'[]{}"'))
_BLOCK = 2**20


def parsed(body: bytes, depth: int) -> Any:
    """``body`` as JSON; raises InvalidRequest where it is not JSON (which has no NaN), or is nested deeper than ``depth``."""
    check_depth(body, depth)
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as problem:
        raise InvalidRequest(f"the request is not JSON: {problem}") from None


def check_depth(body: bytes, depth: int) -> None:
    """Raises InvalidRequest where ``body`` is nested deeper than ``depth``, in linear time. A body that is not JSON may pass."""
    if _at_most(body, b"[", depth // 2) and _at_most(body, b"{", depth // 2):
        return
    # Brackets in strings do not count, and an escaped quote does not end a string.
    if b"\\" in body:
        body = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    marks = np.frombuffer(body.translate(_AS_BRACKETS, _IGNORED), np.int8)
    level, text = 0, 0
    for start in range(0, len(marks), _BLOCK):
        piece = marks[start : start + _BLOCK]
        quotes = piece == ord('"')
        # Odd from the quote that opens a string to the one that closes it, which is even already.
        within = text + np.cumsum(quotes)
        # 1 for an opening bracket, which is 91, and -1 for a closing one, which is 93.
        levels = level + np.cumsum(np.where(quotes | (within % 2 == 1), 0, 92 - piece))
        if levels.max() > depth:
            raise InvalidRequest(f"the request's JSON is nested deeper than {depth}, which is this server's limit")
        level, text = int(levels[-1]), int(within[-1])


def _at_most(body: bytes, one: bytes, times: int) -> bool:
    """Whether the byte ``one`` occurs at most ``times`` times. Where it is rare, searching is several times faster than counting."""
    place = -1
    for _ in range(times + 1):
        place = body.find(one, place + 1)
        if place < 0:
            return True
    return False

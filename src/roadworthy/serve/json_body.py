"""JSON from strangers: how deep it is nested is known before it is parsed."""

from __future__ import annotations

from typing import Any

import numpy as np
import orjson

from roadworthy.core.errors import InvalidRequest

_ALIKE = bytes.maketrans(b"{}", b"[]")
_OTHERS = bytes(set(range(256)).difference(b'[]{}"'))
_AT_ONCE = 2**20


def parsed(body: bytes, depth: int) -> Any:
    """What ``body`` says; raises InvalidRequest where it is no JSON, or nested deeper than ``depth``. JSON knows no NaN."""
    check_depth(body, depth)
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as problem:
        raise InvalidRequest(f"the request is not JSON: {problem}") from None


def check_depth(body: bytes, depth: int) -> None:
    """Raises InvalidRequest where ``body`` is nested deeper than ``depth``, in linear time. What is no JSON may pass."""
    if body.count(b"[") + body.count(b"{") <= depth:
        return
    # Brackets in strings do not count, and an escaped quote ends none.
    if b"\\" in body:
        body = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    brackets = np.frombuffer(b"".join(body.translate(_ALIKE, _OTHERS).split(b'"')[::2]), np.int8)
    level = 0
    for start in range(0, len(brackets), _AT_ONCE):
        # 1 for an opening bracket, which is 91, and -1 for a closing one, which is 93.
        levels = level + np.cumsum(92 - brackets[start : start + _AT_ONCE], dtype=np.int64)
        if levels.max() > depth:
            raise InvalidRequest(f"the request's JSON is nested deeper than {depth}, which is this server's limit")
        level = int(levels[-1])

"""How deep JSON is nested is known before it is parsed, whatever its strings hold."""

from __future__ import annotations

import json
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadworthy.core.errors import InvalidRequest
from roadworthy.serving.protocols.json_parsing import check_depth, parsed

MIB = 2**20
VALUES = st.recursive(
    st.text('[]{}"\\ax', max_size=6) | st.integers(-(2**63), 2**64 - 1) | st.none(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text('[]{}"\\', max_size=3), inner, max_size=3),
    max_leaves=30,
)


def depth_of(value: object) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(depth_of, inner), default=0)


@given(VALUES, st.integers(0, 8), st.booleans())
def test_the_limit_is_where_the_nesting_is(value: object, limit: int, spaced: bool) -> None:
    body = json.dumps(value, indent=1 if spaced else None).encode()
    if depth_of(value) <= limit:
        assert parsed(body, limit) == value
    else:
        with pytest.raises(InvalidRequest, match=f"deeper than {limit}"):
            parsed(body, limit)


@given(st.text('[]{}"\\:,1', max_size=40).map(str.encode), st.integers(0, 4))
def test_what_is_no_json_is_refused_too(body: bytes, limit: int) -> None:
    try:
        assert depth_of(parsed(body, limit)) <= limit
    except InvalidRequest:
        pass


@pytest.mark.parametrize(
    "body",
    [b"[" * 16 * MIB, b"[]" * 8 * MIB, b"[" * 8 * MIB + b"]" * 8 * MIB, (b"[" * 32 + b"]" * 32) * (MIB // 4), b'\\"[' * 5 * MIB,
     b"\\" * 16 * MIB, b'"' * 16 * MIB + b"[" * 40],
    ids=["opens", "pairs", "deep", "just so deep", "escaped quotes", "escapes", "quotes"],
)  # fmt: skip
def test_the_largest_bodies_cost_little(body: bytes) -> None:
    """In memory; a search that goes over such a body more than a few times would not come to its end within this suite's limit."""
    for limit in (32, 31):
        try:
            check_depth(body, limit)
        except InvalidRequest:
            pass
    tracemalloc.start()
    try:
        check_depth(body, 32)
    except InvalidRequest:
        pass
    assert tracemalloc.get_traced_memory()[1] < 6 * len(body)
    tracemalloc.stop()

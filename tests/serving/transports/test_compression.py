"""Packed bodies both ways, and no bomb among them."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadworthy.core.errors import InvalidRequest, RequestError, TooLarge
from roadworthy.serving.limits import ServerLimits
from roadworthy.serving.protocols.messages import UnsupportedBody
from roadworthy.serving.transports.http import compression
from support.servers.listening import Listening


@given(st.binary(max_size=5000), st.sampled_from([b"gzip", b"deflate"]))
def test_there_and_back(body: bytes, coding: bytes) -> None:
    packed = compression.compress(body, coding)
    assert compression.decompress(packed, coding, 5000) == body
    assert compression.decompress(packed, coding.upper(), len(body)) == body
    with pytest.raises(InvalidRequest):
        compression.decompress(packed[:-1], coding, 5000)
    with pytest.raises(InvalidRequest):
        compression.decompress(packed + b"x", coding, 5000)
    if body:
        with pytest.raises(TooLarge):
            compression.decompress(packed, coding, len(body) - 1)


def test_the_forms_of_the_standard_library() -> None:
    assert compression.decompress(gzip.compress(b"abc"), b"gzip", 10) == b"abc"
    assert compression.decompress(zlib.compress(b"abc"), b"deflate", 10) == b"abc"
    assert compression.decompress(b"abc", b"identity", 3) == b"abc"


@given(st.binary(max_size=200), st.sampled_from([b"gzip", b"deflate"]))
def test_what_is_not_packed(body: bytes, coding: bytes) -> None:
    try:
        compression.decompress(body, coding, 1000)
    except RequestError as problem:
        assert problem.status == 400


@pytest.mark.slow
def test_a_bomb_takes_neither_memory_nor_time(monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = zlib.compress(bytes(1 << 30), 9, 31)
    assert len(bomb) < 2 << 20
    tracemalloc.start()
    made: list[Counting] = []

    class Counting:
        """zlib's own reader; it counts what it unpacked."""

        def __init__(self, window: int) -> None:
            self.reader, self.unpacked = really(window), 0
            made.append(self)

        def decompress(self, data: bytes, most: int = 0) -> bytes:
            found = self.reader.decompress(data, most)
            self.unpacked += len(found)
            return found

    really = zlib.decompressobj
    monkeypatch.setattr(compression.zlib, "decompressobj", Counting)
    with pytest.raises(TooLarge):
        compression.decompress(bomb, b"gzip", 1 << 20)
    assert tracemalloc.get_traced_memory()[1] < 8 << 20
    assert sum(one.unpacked for one in made) == (1 << 20) + 1, "no more of it is unpacked than shows that it is too large"
    tracemalloc.stop()


@pytest.mark.parametrize(
    ("accept", "coding"),
    [
        (b"gzip", b"gzip"), (b"deflate", b"deflate"), (b"gzip, deflate, br", b"gzip"), (b"br;q=1.0, GZIP;q=0.8, *;q=0.1", b"gzip"),
        (b"gzip;q=0, deflate", b"deflate"), (b"gzip; q=0.000", None), (b"*", b"gzip"), (b"*;q=0", None), (b"", None), (b"br", None),
        (b"identity", None), (b"gzip;q=0, *", b"deflate"), (b",;=,gzip;q=", None),
    ],
)  # fmt: skip
def test_what_a_client_would_like(accept: bytes, coding: bytes | None) -> None:
    assert compression.wanted(accept) == coding


def test_content_encodings_that_are_not_read() -> None:
    for coding in (b"br", b"gzip, gzip", b"zstd", b"", b"*"):
        with pytest.raises(UnsupportedBody):
            compression.check(coding)


@pytest.mark.parametrize("size", [10, 20_000, 300_000])
def test_over_http(size: int) -> None:
    with Listening(limits=ServerLimits(body=400_000)) as listening, httpx.Client(base_url=listening.url) as client:
        body = bytes(range(250)) * (size // 250)
        for packed, coding in ((gzip.compress(body), "gzip"), (zlib.compress(body), "deflate"), (body, "identity")):
            answer = client.post("/t/echo", content=packed, headers={"content-encoding": coding})
            assert answer.content == body and listening.protocol.calls[-1].body == body
            assert answer.headers.get("content-encoding") == ("gzip" if size > 1024 else None)
        plain = client.post("/t/echo", content=body, headers={"accept-encoding": "identity"})
        assert plain.content == body and "content-encoding" not in plain.headers
        assert client.post("/t/echo", content=body, headers={"accept-encoding": "deflate"}).content == body
        assert "content-encoding" not in client.get(f"/t/big/{size}").headers
        assert client.head(f"/t/json/{size}").content == b""


def test_over_http_what_is_refused() -> None:
    with Listening(limits=ServerLimits(body=100_000)) as listening, httpx.Client(base_url=listening.url) as client:
        for content, coding, status in (
            (gzip.compress(bytes(100_001)), "gzip", 413),
            (gzip.compress(bytes(50_000_000)), "gzip", 413),
            (b"not that", "gzip", 400),
            (gzip.compress(b"abc")[:-3], "gzip", 400),
            (b"abc", "br", 415),
        ):
            answer = client.post("/t/echo", content=content, headers={"content-encoding": coding})
            assert answer.status_code == status and "rehearsal" in answer.text
        assert listening.protocol.calls == []
        assert client.get("/t/health").status_code == 200

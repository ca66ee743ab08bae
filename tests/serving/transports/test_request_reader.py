"""The request reader without a socket: however a stream of bytes is cut, the events are the same."""

from __future__ import annotations

import random
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roadworthy.serving.limits import ServerLimits
from roadworthy.serving.transports.http.long_body import FIRST, LEAST
from roadworthy.serving.transports.http.request_reader import (
    BodyMemory,
    Event,
    Expected,
    HeadReceived,
    RequestReader,
    RequestReceived,
    RequestRejected,
)

LIMITS = ServerLimits(body=4 << 20, head=16 * 1024)
HOST = b" HTTP/1.1\r\nhost: a\r\n"


def told(event: Event) -> tuple[Any, ...]:
    """What an event says, comparable."""
    match event:
        case HeadReceived(request, length, expects):
            return "head", request.method, request.path, request.query, dict(request.headers), length, expects
        case RequestReceived(request, keep_alive):
            return "request", request.path, bytes(request.body), keep_alive
        case RequestRejected(request, problem):
            return "rejected", request.path if request else None, problem.status, problem.message


@dataclass
class Heard:
    """The events of one stream, and the reader at its end."""

    events: list[tuple[Any, ...]]
    reader: RequestReader


def heard(pieces: list[bytes], long_bodies: bool = False, room: int = 1 << 30) -> Heard:
    """Read ``pieces``; with ``long_bodies`` as a connection does, which lets a long body come past the parser."""
    reader = RequestReader(LIMITS, BodyMemory(room))
    events: list[Event] = []
    for piece in pieces:
        data = memoryview(piece)
        while len(data):
            if reader.in_long_body:
                place = reader.room()
                count = min(len(place), len(data))
                place[:count] = data[:count]
                del place
                events += reader.received(count)
                data = data[count:]
            else:
                events += reader.receive(data)
                data = data[:0]
            if long_bodies and reader.expected is Expected.BODY:
                reader.begin_long_body()
    return Heard([told(event) for event in events], reader)


def cut(stream: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted({place % (len(stream) + 1) for place in places}), len(stream)]
    return [stream[start:end] for start, end in pairwise(edges) if end > start]


def chunked(body: bytes, size: int) -> bytes:
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"%x;x=y\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\ntrailer: 1\r\n\r\n"


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    method = draw(st.sampled_from((b"GET", b"POST", b"PUT", b"OPTIONS")))
    target = draw(st.sampled_from((b"/", b"/a%20b?x=%41", b"/v2/models/m/infer", b"http://other:80/c?d", b"/e#f")))
    lines = draw(
        st.lists(
            st.sampled_from(
                (b"x-a: 1\r\n", b"X-A: 2\r\n", b"expect: 100-continue\r\n", b"connection: keep-alive\r\n", b"accept: */*\r\n",
                 b"connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\n", b"x-long: " + b"z" * 3000 + b"\r\n")
            ),
            max_size=3,
            unique=True,
        )
    )  # fmt: skip
    body = draw(st.binary(max_size=300))
    head = method + b" " + target + HOST + b"".join(lines)
    match draw(st.sampled_from(("none", "length", "chunked"))):
        case "length":
            return head + b"content-length: %d\r\n\r\n%b" % (len(body), body)
        case "chunked":
            return head + b"transfer-encoding: chunked\r\n\r\n" + chunked(body, draw(st.integers(1, 100)))
    return head + b"\r\n"


ENDS = (
    b"",
    b"GET /last HTTP/1.0\r\n\r\n",
    b"GET /last" + HOST + b"connection: close\r\n\r\nGET /never" + HOST + b"\r\n",
    b"GARBAGE\r\n\r\nGET /never" + HOST + b"\r\n",
    b"GET / HTTP/1.1\r\n\r\nGET /never" + HOST + b"\r\n",
    b"POST /bad" + HOST + b"content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n",
    b"POST /bad" + HOST + b"transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    b"POST /bad" + HOST + b"transfer-encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n",
    b"POST /half" + HOST + b"content-length: 30\r\n\r\nabc",
    b"GET /half" + HOST + b"x-a: ",
)


@settings(max_examples=100, deadline=None)
@given(st.lists(requests(), max_size=5), st.sampled_from(ENDS), st.lists(st.integers(0, 10_000), max_size=40), st.booleans())
def test_the_events_do_not_depend_on_how_the_bytes_are_cut(sent: list[bytes], end: bytes, places: list[int], long_bodies: bool) -> None:
    stream = b"".join(sent) + end
    whole = heard([stream], long_bodies)
    for pieces in (cut(stream, places), [bytes([byte]) for byte in stream]):
        pieced = heard(pieces, long_bodies)
        assert pieced.events == whole.events
        assert pieced.reader.finished == whole.reader.finished
        assert whole.reader.finished or pieced.reader.expected is whole.reader.expected
    received = [event for event in whole.events if event[0] == "request"]
    assert len(received) >= len(sent)
    assert b"/never" not in repr(whole.events).encode()
    assert all((event[0] == "request" and event[3]) or event[0] == "head" for event in whole.events[:-1]), "an end is the end"


@pytest.mark.parametrize("extra", [-1, 0, 1])
@pytest.mark.parametrize("size", [LEAST, FIRST, 2 * FIRST])
def test_a_long_body_is_the_same_past_the_parser(size: int, extra: int) -> None:
    body = random.Random(size).randbytes(size + extra)
    stream = b"POST /a" + HOST + b"content-length: %d\r\n\r\n%bGET /b" % (len(body), body) + HOST + b"\r\n"
    expected = heard([stream]).events
    for places in ([100], [100, 5000], [100, size // 2], [100, size // 2, len(stream) - 60]):
        assert heard(cut(stream, places), long_bodies=True).events == expected
    assert [event[0] for event in expected] == ["head", "request", "head", "request"]


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=400), st.lists(st.integers(0, 400), max_size=10))
def test_bytes_that_are_not_http_end_in_a_rejection_or_wait_for_more(stream: bytes, places: list[int]) -> None:
    whole = heard([stream])
    assert heard(cut(stream, places)).events == whole.events
    assert all(event[0] != "rejected" for event in whole.events[:-1])


def test_what_is_too_large_is_rejected_in_any_cut() -> None:
    head = b"GET /" + HOST + b"x: " + b"a" * 20_000
    filler = b"".join(b"x-%d: %b\r\n" % (number, b"a" * 1000) for number in range(20))
    body = b"POST /" + HOST + b"transfer-encoding: chunked\r\n\r\n" + chunked(bytes(5 << 20), 1 << 20)
    stuffing = b"POST /" + HOST + b"transfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\nx: " + b"a" * 40_000
    for stream, status in ((head, 431), (b"GET /" + HOST + filler + b"\r\n", 431), (body, 413), (stuffing, 431)):
        # What is in one read with a part of a body does not count: that bounds it by the size of a read.
        for size in (1000, 16_384, *([] if stream is stuffing else [len(stream)])):
            events = heard([stream[at : at + size] for at in range(0, len(stream), size)]).events
            assert events[-1][0] == "rejected" and events[-1][2] == status


def test_bodies_that_memory_has_no_room_for_are_rejected() -> None:
    stream = b"POST /a" + HOST + b"content-length: 100000\r\n\r\n" + bytes(100_000)
    for long_bodies in (False, True):
        pieces = [stream[at : at + 1000] for at in range(0, len(stream), 1000)]
        full = heard(pieces, long_bodies, room=50_000)
        assert [event[0] for event in full.events] == ["head", "rejected"] and full.events[-1][2] == 503
        full.reader.close()
        assert full.reader._memory.held == 0


def test_a_skipped_body_is_read_and_not_kept() -> None:
    reader = RequestReader(ServerLimits(head=1000), BodyMemory(1 << 20))
    (head,) = reader.receive(b"POST /a" + HOST + b"content-length: 20000\r\n\r\n")
    assert isinstance(head, HeadReceived)
    reader.skip_body(head.request)
    events = [event for _ in range(20) for event in reader.receive(bytes(1000))]
    assert [told(event) for event in events] == [("request", "/a", b"", True)]
    assert reader._memory.held == 0

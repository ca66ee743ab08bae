"""One HTTP connection, by real sockets: answers in order, no slow or greedy client delays another, no request is smuggled."""

from __future__ import annotations

import random
import re
import select
import socket
import threading
import time

import httpx
import pytest

from roadworthy.serving.limits import ServerLimits
from roadworthy.serving.transports.http.connection_pool import ONE_READ
from roadworthy.serving.transports.http.long_body import FIRST, LEAST
from support.servers.listening import Listening, everything
from support.waiting import HANG_SECONDS, eventually

HOST = b" HTTP/1.1\r\nhost: a\r\n"
CLOSE = b"connection: close\r\n"


def get(path: str, *lines: str) -> bytes:
    return b"GET " + path.encode() + HOST + b"".join(line.encode() + b"\r\n" for line in lines) + b"\r\n"


def post(path: str, body: bytes, *lines: str) -> bytes:
    return (
        b"POST "
        + path.encode()
        + HOST
        + b"".join(line.encode() + b"\r\n" for line in (f"content-length: {len(body)}", *lines))
        + b"\r\n"
        + body
    )


def statuses(answer: bytes) -> list[int]:
    return [int(code) for code in re.findall(rb"HTTP/1\.1 (\d{3}) ", answer)]


def status(answer: bytes) -> int:
    assert answer.startswith(b"HTTP/1.1 "), answer
    return int(answer.split(b" ", 2)[1])


# What is HTTP


def test_one_connection_many_requests() -> None:
    with Listening() as listening, httpx.Client(base_url=listening.url, headers={"accept-encoding": "identity"}) as client:
        for size in (0, 1, 1000, 100_000, 3_000_000):
            body = bytes(range(256)) * (size // 256) + b"z" * (size % 256)
            answer = client.post("/t/echo", content=body)
            assert answer.status_code == 200 and answer.content == body
        assert client.post("/t/echo", content=iter([b"ab", b"c" * 70_000, b"d"])).content == b"ab" + b"c" * 70_000 + b"d"
        assert len(listening.connections) == 1
        head = client.head("/t/json/5000")
        assert head.headers["content-length"] == "5002" and head.content == b""
        assert client.get("/t/nothing").status_code == 204
        assert client.get("/elsewhere").json() == {"error": "Not Found"}
        assert len(listening.connections) == 1
        assert listening.counters.answered == {
            ("rehearsal", "m", "200"): 6, ("rehearsal", "", "200"): 1, ("rehearsal", "", "204"): 1, ("http", "", "404"): 1,
        }  # fmt: skip


def test_a_request_in_single_bytes() -> None:
    with Listening() as listening, listening.connect() as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in post("/t/echo/a%20b?q=%41", b"hello", "X-Odd: 1", "x-odd: 2", "connection: close"):
            client.sendall(bytes([byte]))
        answer = everything(client)
        assert status(answer) == 200 and answer.endswith(b"\r\n\r\nhello") and b"connection: close" in answer
        call = listening.protocol.calls[0]
        assert (call.method, call.path, call.query, call.headers[b"x-odd"]) == ("POST", "/t/echo/a b", "q=%41", b"1, 2")


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        ("http://elsewhere:80/t/echo?a=1", "/t/echo", "a=1"),
        ("http://elsewhere", "/", ""),
        ("http://elsewhere?x", "/", "x"),
        ("/t/echo/http://a/b", "/t/echo/http://a/b", ""),
        ("/t/echo/%C3%BC%ff%2f", "/t/echo/ü�/", ""),
        ("/t/echo#part", "/t/echo", ""),
        ("*", "*", ""),
    ],
)
def test_targets(target: str, path: str, query: str) -> None:
    with Listening() as listening:
        method = b"OPTIONS " if target == "*" else b"GET "
        answer = listening.talk(method + target.encode() + HOST + CLOSE + b"\r\n")
        if path.startswith("/t/"):
            assert (listening.protocol.calls[0].path, listening.protocol.calls[0].query) == (path, query)
        else:
            assert status(answer) == 404


def test_http_1_0_and_the_wish_to_stay() -> None:
    with Listening() as listening:
        assert b"connection: close" in listening.talk(b"GET /t/echo HTTP/1.0\r\n\r\n")
        with listening.connect() as client:
            for _ in range(2):
                client.sendall(b"GET /t/echo HTTP/1.0\r\nconnection: keep-alive\r\n\r\n")
                assert b"connection: keep-alive" in client.recv(1 << 16)


def test_pipelined_requests_are_answered_in_order() -> None:
    with Listening() as listening:
        delays = (0.2, 0, 0.05, 0)
        sent = b"".join(get(f"/t/slow/{delay}?{index}") for index, delay in enumerate(delays))
        sent += get("/elsewhere") + get("/t/fail") + post("/t/echo", b"last", "connection: close")
        for answer in (listening.talk(sent), listening.talk(sent[:30], sent[30:100], sent[100:], pause=0.05)):
            assert statuses(answer) == [200, 200, 200, 200, 404, 500, 200]
            assert [piece[-1:] for piece in answer.split(b"HTTP/1.1 ")[1:5]] == [b"0", b"1", b"2", b"3"] and answer.endswith(b"last")


def test_no_more_is_read_ahead_than_fits() -> None:
    """A client that pipelines without end while its first request is in hand is held up by its own socket, not kept in memory."""
    with Listening() as listening, listening.connect() as client:
        client.sendall(get("/t/slow/1"))
        assert eventually(lambda: bool(listening.protocol.started))
        client.settimeout(0.3)
        sent, flood = 0, get("/t/slow/0") * 2000
        with pytest.raises(TimeoutError):
            while sent < 64 << 20:
                sent += client.send(flood)
        assert len(listening.protocol.started) == 1


def test_too_many_at_once_have_to_be_sent_again() -> None:
    with Listening() as listening:
        answer = listening.talk(get("/t/slow/0.01") * 1000)
        assert statuses(answer) == [200] * 34
        assert answer.count(b"connection: close") == 1


def test_a_body_that_waits_for_leave() -> None:
    head = post("/t/echo", b"", "expect: 100-continue", "connection: close").replace(b"content-length: 0", b"content-length: 5")
    with Listening() as listening:
        with listening.connect() as client:
            client.sendall(head)
            assert client.recv(1 << 16) == b"HTTP/1.1 100 Continue\r\n\r\n"
            client.sendall(b"hello")
            assert everything(client).endswith(b"hello")
        refused = listening.talk(head.replace(b"/t/echo", b"/elsewhere"))
        assert status(refused) == 404 and b"connection: close" in refused and b"100 Continue" not in refused


@pytest.mark.parametrize("framing", ["content-length: 5\r\n\r\nhello", "transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"])
def test_an_upgrade_that_is_not_taken_up_keeps_its_body(framing: str) -> None:
    """As Java's HTTP client asks for HTTP/2 with its first request."""
    head = b"POST /t/echo" + HOST + b"connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAE\r\n"
    whole = head + framing.encode() + get("/t/slow/0?next", "connection: close")
    with Listening() as listening:
        for answer in (listening.talk(whole), listening.talk(*(bytes([byte]) for byte in whole))):
            first, second = answer.split(b"HTTP/1.1 200")[1:]
            assert first.endswith(b"hello") and second.endswith(b"next")
        websocket = get("/t/echo", "connection: upgrade", "upgrade: websocket") + get("/t/echo", "connection: close")
        assert listening.talk(websocket).count(b"HTTP/1.1 200") == 2


# What is not


@pytest.mark.parametrize(
    "sent",
    [
        b"GARBAGE\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01",
        b"GET / HTTP/9.9\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /\xc3\xbc" + HOST + b"\r\n",
        b"GET / HTTP/1.1\r\nhost : a\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: a\r\n folded\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: a\nx: b\r\n\r\n",
        b"GET /t/echo HTTP/1.1\r\n\r\n",
        b"GET /t/echo HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n",
        b"POST /t/echo" + HOST + b"content-length: -1\r\n\r\n",
        b"POST /t/echo" + HOST + b"content-length: 1_0\r\n\r\n",
        b"POST /t/echo" + HOST + b"content-length: 3\r\ncontent-length: 3\r\n\r\nabc",
        b"POST /t/echo" + HOST + b"content-length: 3, 3\r\n\r\nabc",
        b"POST /t/echo" + HOST + b"content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /t/echo" + HOST + b"transfer-encoding: chunked\r\ncontent-length: 3\r\n\r\n0\r\n\r\n",
        b"POST /t/echo" + HOST + b"transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"POST /t/echo" + HOST + b"transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        b"POST /t/echo" + HOST + b"transfer-encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n",
        b"POST /t/echo" + HOST + b"transfer-encoding: chunked\r\n\r\n3\r\nabcdef\r\n0\r\n\r\n",
    ],
)  # fmt: skip
def test_what_is_no_request_is_refused_and_nothing_behind_it_is_heard(sent: bytes) -> None:
    with Listening() as listening:
        answer = listening.talk(sent + get("/t/echo"))
        assert statuses(answer) == [400] and b"connection: close" in answer
        assert listening.protocol.calls == []
        assert sum(listening.counters.answered.values()) == 1


def test_trailers_do_not_become_the_next_requests_headers() -> None:
    with Listening() as listening:
        chunked = b"POST /t/echo" + HOST + b"transfer-encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n0\r\nauthorization: x\r\n\r\n"
        listening.talk(chunked + get("/t/echo", "connection: close"))
        assert [b"authorization" in call.headers for call in listening.protocol.calls] == [False, False]


# What is too much


def test_heads_above_the_limit() -> None:
    filler = [b"x-%d: " % number + b"a" * 1000 + b"\r\n" for number in range(9)]
    with Listening(limits=ServerLimits(head=8192)) as listening:
        for answer in (
            listening.talk(b"GET /t/echo" + HOST + b"".join(filler) + b"\r\n"),
            listening.talk(b"GET /t/echo" + HOST, *filler, pause=0.005),
            listening.talk(b"GET /" + b"a" * 9000),
        ):
            assert b"HTTP/1.1 431" in answer and b"larger than this server's limit" in answer
        assert listening.talk(post("/t/echo", bytes(100_000), "connection: close")).startswith(b"HTTP/1.1 200")


def test_bodies_above_the_limit() -> None:
    with Listening(limits=ServerLimits(body=4096)) as listening:
        assert status(listening.talk(post("/t/echo", bytes(4096), "connection: close"))) == 200
        assert status(listening.talk(post("/t/echo", bytes(4097), "connection: close"))) == 413
        with httpx.Client(base_url=listening.url) as client:
            assert client.post("/t/echo", content=bytes(8 << 20)).status_code == 413
            assert client.post("/t/echo", content=iter([bytes(1000)] * 5000)).status_code == 413
        stuffing = b"POST /t/echo" + HOST + b"transfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\nx: "
        endless = listening.talk(stuffing, *[b"a" * 8192] * 20, pause=0.002)
        assert status(endless) == 431
        assert len(listening.protocol.calls) == 1


def test_all_bodies_together_have_a_bound() -> None:
    with Listening() as listening, listening.connect() as first, httpx.Client(base_url=listening.url) as client:
        listening.connections.memory.room = 3_000_000
        first.sendall(b"POST /t/echo" + HOST + b"content-length: 2500000\r\n\r\n" + bytes(2_000_000))
        assert eventually(lambda: listening.connections.memory.held == 2_000_000)
        for content in (bytes(1_500_000), iter([bytes(1_500_000)])):
            refused = client.post("/t/echo", content=content)
            assert refused.status_code == 503 and refused.headers["retry-after"] == "1" and "fill the memory" in refused.text
        assert client.post("/t/echo", content=bytes(500_000)).status_code == 200
        first.sendall(bytes(500_000))
        assert first.recv(1 << 16).startswith(b"HTTP/1.1 200")
        assert eventually(lambda: listening.connections.memory.held == 0)
        assert client.post("/t/echo", content=bytes(2_500_000)).content == bytes(2_500_000)


@pytest.mark.parametrize("extra", [-1, 0, 1])
@pytest.mark.parametrize("size", [LEAST, ONE_READ, FIRST, 3 * FIRST])
def test_long_bodies_at_every_edge(size: int, extra: int) -> None:
    body = random.Random(size).randbytes(size + extra)
    with Listening() as listening:
        whole = post("/t/echo", body) + get("/t/slow/0?behind", "connection: close")
        for pieces in ((whole,), (whole[:100], whole[100:-50], whole[-50:]), (whole[: size // 2], whole[size // 2 :])):
            answer = listening.talk(*pieces, pause=0.01)
            assert statuses(answer)[:1] == [200] and answer.partition(b"\r\n\r\n")[2].startswith(body) and answer.endswith(b"behind")


def test_a_small_refused_body_costs_no_connection() -> None:
    with Listening() as listening, httpx.Client(base_url=listening.url) as client:
        for _ in range(3):
            assert client.post("/elsewhere", content=bytes(5000)).status_code == 404
        assert listening.connections._open and client.get("/t/echo").status_code == 200
        assert len(listening.connections) == 1


def test_one_connection_too_many() -> None:
    with Listening(limits=ServerLimits(connections=3)) as listening:
        others = [listening.connect() for _ in range(3)]
        assert eventually(lambda: len(listening.connections) == 3)
        refused = listening.talk(get("/t/echo"))
        assert status(refused) == 503 and b"retry-after: 1" in refused and b"connection: close" in refused
        others.pop().close()
        assert eventually(lambda: len(listening.connections) < 3)
        assert status(listening.talk(get("/t/echo", "connection: close"))) == 200
        for other in others:
            other.close()


# What is too slow

SHORT = ServerLimits(head_seconds=0.4, body_seconds=0.4, idle_seconds=0.4, send_seconds=0.4)


def test_slow_heads_and_slow_bodies_are_told_even_when_they_trickle() -> None:
    with Listening(limits=SHORT) as listening:
        for start, trickle, code, says in (
            (b"GET /t/e", b"c", 408, b"headers did not arrive"),
            (b"GET /t/echo" + HOST, b"x", 408, b"headers did not arrive"),
            (b"POST /t/echo" + HOST + b"content-length: 1000\r\n\r\n", b"x", 408, b"body did not arrive"),
            (b"POST /t/echo" + HOST + b"transfer-encoding: chunked\r\n\r\n", b"1\r\na\r\n", 408, b"body did not arrive"),
            (get("/t/slow/0.05") + b"POST /t/echo" + HOST + b"content-length: 9\r\n\r\n", b"", 408, b"body did not arrive"),
            (get("/t/slow/0.05") + b"GE", b"", 408, b"headers did not arrive"),
        ):
            begun = time.monotonic()
            answer = trickled(listening, start, trickle)
            assert says in answer and b"HTTP/1.1 %d" % code in answer and b"connection: close" in answer
            assert time.monotonic() - begun > 0.3
        assert all(not call.body for call in listening.protocol.calls)


def trickled(listening: Listening, start: bytes, trickle: bytes) -> bytes:
    """The answer to ``start`` with ``trickle`` behind it over and over, until the server has had enough."""
    with listening.connect() as client:
        client.sendall(start)
        for _ in range(1000):
            found, _, _ = select.select([client], [], [], 0.1)
            if found and b"408" in client.recv(1 << 16, socket.MSG_PEEK):
                break
            client.sendall(trickle)
        return everything(client)


def test_silence_is_ended_silently() -> None:
    with Listening(limits=SHORT) as listening:
        begun = time.monotonic()
        assert listening.talk() == b""
        assert listening.talk(b"\r\n") == b""
        answer = listening.talk(get("/t/echo"))
        assert statuses(answer) == [200]
        assert time.monotonic() - begun > 1.0
        assert eventually(lambda: len(listening.connections) == 0)


def test_a_refused_client_that_goes_on_sending_is_cut_off() -> None:
    with Listening(limits=SHORT) as listening, listening.connect() as client:
        client.sendall(b"POST /elsewhere" + HOST + b"content-length: 900000000\r\n\r\n")
        begun = time.monotonic()
        with pytest.raises(ConnectionError):
            while time.monotonic() - begun < HANG_SECONDS:
                client.sendall(bytes(1000))
                time.sleep(0.01)
        assert time.monotonic() - begun > 0.3 and eventually(lambda: len(listening.connections) == 0)


def test_an_answer_takes_as_long_as_it_takes() -> None:
    with Listening(limits=SHORT) as listening:
        assert status(listening.talk(get("/t/slow/1.5", "connection: close"))) == 200


@pytest.mark.parametrize("closing", ["", "connection: close"])
def test_a_client_that_does_not_read_its_answer_is_disconnected(closing: str) -> None:
    with Listening(limits=ServerLimits(send_seconds=0.4)) as listening:
        with listening.connect() as client:
            client.sendall(get("/t/big/50000000", *filter(None, [closing])))
            assert eventually(lambda: len(listening.connections) == 1)
            assert eventually(lambda: len(listening.connections) == 0)
            with pytest.raises(ConnectionResetError):
                everything(client)
        assert status(listening.talk(get("/t/echo", "connection: close"))) == 200


def test_a_client_that_reads_in_time_gets_the_whole_answer() -> None:
    with Listening() as listening:
        assert len(listening.talk(get("/t/big/20000000", "connection: close"))) > 20_000_000
        assert len(listening.talk(get("/t/big/3000000") * 3 + get("/t/big/1", "connection: close"))) > 9_000_001


def test_five_hundred_silent_connections_delay_no_request() -> None:
    with Listening() as listening:
        silent = [listening.connect() for _ in range(500)]
        assert eventually(lambda: len(listening.connections) == 500)
        assert status(listening.talk(get("/t/echo", "connection: close"))) == 200
        assert len(listening.connections) == 500, "it was answered while they said nothing"
        for client in silent:
            client.close()
        assert eventually(lambda: len(listening.connections) == 0)
        assert eventually(lambda: listening.call(lambda: listening.connections._timer) is None)


# Clients that disconnect, and the server's own end


def test_the_work_of_a_client_that_goes_away_is_given_up() -> None:
    with Listening() as listening:
        for how in ("close", "reset"):
            client = listening.connect()
            client.sendall(get(f"/t/slow/0.5?{how}") + get("/t/slow/0?behind"))
            assert eventually(lambda how=how: how in listening.protocol.started)  # type: ignore[misc]
            if how == "reset":
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            client.close()
        assert eventually(lambda: listening.counters.answered == {("rehearsal", "", "499"): 2})
        time.sleep(0.8)
        assert listening.protocol.finished == [] and "behind" not in listening.protocol.started


def test_a_failure_is_an_answer_and_the_connection_stays(caplog: pytest.LogCaptureFixture) -> None:
    with Listening() as listening, httpx.Client(base_url=listening.url) as client:
        failed = client.get("/t/fail", headers={"x-request-id": "abc"})
        assert failed.status_code == 500 and "rehearsal" in failed.text and "ZeroDivision" not in failed.text
        assert failed.headers["x-request-id"] == "abc"
        assert "on purpose" in caplog.text and caplog.records[0].fields == {"request": "abc"}  # type: ignore[attr-defined]
        assert client.get("/t/cancelled").status_code == 500
        assert client.get("/t/echo").status_code == 200
        assert len(listening.connections) == 1


def test_draining() -> None:
    with Listening() as listening, listening.connect() as silent, listening.connect() as busy, listening.connect() as late:
        busy.sendall(get("/t/held?x"))
        assert eventually(lambda: bool(listening.protocol.started) and len(listening.connections) == 3)
        drained = threading.Event()
        thread = threading.Thread(target=lambda: (listening.call(listening.connections.drain), drained.set()))
        thread.start()
        assert eventually(lambda: listening.connections.draining)
        late.sendall(get("/t/echo"))
        assert b"connection: close" in everything(late)
        assert everything(silent) == b"" and not drained.is_set()
        listening.protocol.gate.set()
        answer = everything(busy)
        assert status(answer) == 200 and b"connection: close" in answer and answer.endswith(b"x")
        assert drained.wait(HANG_SECONDS)
        thread.join()
        assert len(listening.connections) == 0


def test_aborting_cuts_off_what_is_in_hand() -> None:
    with Listening() as listening, listening.connect() as client:
        client.sendall(get("/t/slow/30"))
        assert eventually(lambda: bool(listening.protocol.started))
        listening.call(listening.connections.abort)
        with pytest.raises(ConnectionError):
            assert everything(client) == b""
            raise ConnectionError
        assert eventually(lambda: listening.counters.answered == {("rehearsal", "", "499"): 1})

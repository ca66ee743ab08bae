"""The load generator against servers that misbehave in one way each: every request is accounted for, under the right name."""

from __future__ import annotations

import socket
import socketserver
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.waiting import HANG_SECONDS

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks" / "serving"))
from load import Load, run, start

Conduct = Callable[[socket.socket, int], bool]
"""Answers the request of that number on a connection; false ends the connection."""
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


@contextmanager
def server(conduct: Conduct) -> Iterator[int]:
    """The port of a server whose connections are conducted so."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            data, number = b"", 0
            while piece := self.request.recv(65536):
                data += piece
                head, end, _ = data.partition(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length: ")[2].split(b"\r")[0]) if end else 0
                if end and len(data) == len(head) + 4 + length:
                    data = b""
                    if not conduct(self.request, number):
                        return
                    number += 1

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        request_queue_size = 128

        def handle_error(self, request: object, address: object) -> None:
            pass

    with Server(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield running.server_address[1]
        running.shutdown()


def say(*pieces: bytes, keep: bool = True, pause: float = 0.0) -> Conduct:
    def conduct(connection: socket.socket, number: int) -> bool:
        for piece in pieces:
            time.sleep(pause)
            connection.sendall(piece)
        return keep

    return conduct


def accounted(load: Load) -> None:
    assert load.sent == load.answered + sum(load.errors.values())


GOOD = {
    "sized": say(OK),
    "in pieces": say(b"HTTP/1.1 20", b"0 OK\r\nContent-", b"Length: 2\r\n\r", b"\no", b"k", pause=0.001),
    "chunked": say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n1;x=y\r\nk\r\n0\r\ntrailer: a\r\n\r\n"),
    "until its end": say(b"HTTP/1.1 200 OK\r\n\r\nok", keep=False),
    "closing": say(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok", keep=False),
    "old": say(b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok", keep=False),
    "interim": say(b"HTTP/1.1 100 Continue\r\n\r\n", OK),
}


@pytest.mark.parametrize("name", GOOD)
def test_every_way_to_end_an_answer(name: str) -> None:
    with server(GOOD[name]) as port:
        found = run("127.0.0.1", port, body=b"x" * 3_000_000, connections=3, seconds=0.3, expected=b"ok")
    assert found.clean and found.good and (found.good.smallest, found.good.largest, found.good.first) == (2, 2, b"ok")
    accounted(found)


BAD = {
    "mismatch": say(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nno"),
    "closed": say(keep=False),
    "cut": say(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok", keep=False),
    "malformed": say(b"SMTP nonsense\r\n\r\n"),
    "timeout": say(),
}


@pytest.mark.parametrize("kind", BAD)
@pytest.mark.parametrize("rate", [None, 300.0])
def test_every_error_has_its_name(kind: str, rate: float | None) -> None:
    patience = 0.1 if kind == "timeout" else HANG_SECONDS
    with server(BAD[kind]) as port:
        found = run(
            "127.0.0.1",
            port,
            body=b"x",
            connections=3,
            seconds=0.3,
            rate=rate,
            expected=b"ok",
            timeout=patience,
        )
    assert set(found.errors) == {kind} and not found.answers
    accounted(found)


def test_a_refused_connection_is_an_error_and_tried_again() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        found = run("127.0.0.1", unused.getsockname()[1], connections=2, seconds=1.0)
    assert set(found.errors) == {"connect"} and 2 < found.sent < 300
    accounted(found)


def test_statuses_are_told_apart() -> None:
    def conduct(connection: socket.socket, number: int) -> bool:
        connection.sendall(b"HTTP/1.1 503 Busy\r\ncontent-length: 4\r\n\r\nwait" if number % 2 else OK)
        return True

    with server(conduct) as port:
        found = run("127.0.0.1", port, connections=1, seconds=0.2)
    assert set(found.answers) == {200, 503} and found.answers[503].first == b"wait"
    assert abs(found.answers[200].count - found.answers[503].count) <= 1
    assert found.per_second * found.seconds <= found.answers[200].count
    accounted(found)


def test_the_even_rate_is_kept_and_the_wait_of_what_is_due_counts() -> None:
    """One connection and a server that stalls once for half a second: what was due meanwhile waited, on average half as long."""

    def conduct(connection: socket.socket, number: int) -> bool:
        time.sleep(0.5 if number == 50 else 0)
        connection.sendall(OK)
        return True

    with server(conduct) as port:
        found = run("127.0.0.1", port, connections=1, seconds=1.0, rate=200, even=True)
    assert found.sent + found.unsent in (199, 200)
    assert found.good and found.good.mean_ms > 100 and found.good.max_ms >= 500
    accounted(found)


def test_a_stopped_load_still_accounts_for_everything() -> None:
    with server(say(OK)) as port, start("127.0.0.1", port, connections=4, seconds=600) as running:
        time.sleep(0.3)
        found = running.stop()
    assert found.clean and found.seconds > 0.2
    accounted(found)


def test_the_warm_time_is_not_counted() -> None:
    """A server that answers more at first: what it answered then is forgotten."""
    begun = time.monotonic()

    def conduct(connection: socket.socket, number: int) -> bool:
        early = time.monotonic() < begun + 0.5
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nearly" if early else OK)
        return True

    with server(conduct) as port:
        found = run("127.0.0.1", port, connections=2, seconds=0.3, warm=1.0)
    assert found.clean and found.good and (found.good.smallest, found.good.largest) == (2, 2)
    assert found.seconds > 0.2
    accounted(found)

"""Clients that are slow with head, body or reading, and many that say nothing: others never notice, each is closed by its deadline."""

from __future__ import annotations

import socket
import ssl
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from dependability.harness import DIALECTS, Server, ask, connected, quantile, record, row, tree
from support.waiting import HANG_SECONDS, until

pytestmark = pytest.mark.slow

SECONDS = 1.0
LIMITS = {"head_seconds": SECONDS, "body_seconds": SECONDS, "idle_seconds": SECONDS, "send_seconds": SECONDS}
"""How late each is closed, and what others wait meanwhile, is recorded and held to its bounds by ``run.py``."""


def trickle(url: str, start: bytes, piece: bytes) -> tuple[bytes, float]:
    """Sends ``start``, then ``piece`` every 50 ms until the server closes: what it said, and after how many seconds."""
    begun = time.monotonic()
    said = b""
    with connected(url) as client:
        client.sendall(start)
        client.settimeout(0.05)
        while time.monotonic() - begun < HANG_SECONDS:
            try:
                got = client.recv(1 << 16)
                if not got:
                    break
                said += got
            except TimeoutError:
                pass
            except ConnectionError:
                break
            try:
                client.sendall(piece)
            except OSError:
                continue
    return said, time.monotonic() - begun


def silent_reader(url: str) -> float:
    """Asks for far more than the buffers hold, reads none of it; the seconds until the server has given it up."""
    begun = time.monotonic()
    with connected(url, buffer=4096) as client:
        client.sendall(BIG)
        while time.monotonic() - begun < HANG_SECONDS:
            state = client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
            if state != ESTABLISHED:
                return time.monotonic() - begun
            time.sleep(0.05)
    raise AssertionError("a client that reads nothing is never given up")


ESTABLISHED = 1
_ROWS = b",".join([b"0,0,0.123456"] * 300_000)
_BODY = b'{"inputs":[{"name":"x","shape":[300000,3],"datatype":"FP32","data":[%s]}]}' % _ROWS
BIG = b"POST /v2/models/breaker/infer HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n%s" % (len(_BODY), _BODY)


def others(url: str, seconds: float) -> list[float]:
    """Latencies of well-behaved requests for so long, sorted; every one is answered."""
    taken = []
    with httpx.Client(base_url=url, timeout=HANG_SECONDS) as client:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            begun = time.perf_counter()
            answer = ask(client, row())
            assert answer.status_code == 200, answer.text
            taken.append(time.perf_counter() - begun)
            time.sleep(0.005)
    return sorted(taken)


def test_slow_heads_slow_bodies_slow_readers(serve: Callable[..., Server], breaker: Path) -> None:
    url = serve(breaker, limits=LIMITS).wait_ready()
    quiet = others(url, 1)
    count = 5
    with ThreadPoolExecutor(3 * count + 1) as pool:
        heads = [pool.submit(trickle, url, b"POST /v2/models/breaker/infer HTTP/1.1\r\n", b"a: b\r\n") for _ in range(count)]
        bodies = [
            pool.submit(trickle, url, b"POST /v2/models/breaker/infer HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9999\r\n\r\n", b" ")
            for _ in range(count)
        ]
        readers = [pool.submit(silent_reader, url) for _ in range(count)]
        beside = others(url, SECONDS)
        ended = {name: [one.result() for one in many] for name, many in (("heads", heads), ("bodies", bodies))}
        given_up = [one.result() for one in readers]
    record(
        "slow",
        "trickle",
        injected=f"{count} clients each trickle their head, trickle their body, never read their answer; limits of {SECONDS:g} s",
        held="each is closed by its deadline, the slow requests with 408; others unaffected",
        heads_closed_s=max(s for _, s in ended["heads"]),
        bodies_closed_s=max(s for _, s in ended["bodies"]),
        readers_closed_s=max(given_up),
        others_p90_ms=1e3 * quantile(beside, 0.9),
        others_p99_ms=1e3 * quantile(beside, 0.99),
        quiet_p99_ms=1e3 * quantile(quiet, 0.99),
    )
    for name, many in ended.items():
        for said, _ in many:
            assert said.startswith(b"HTTP/1.1 408"), (name, said)


def test_five_hundred_idle_connections(serve: Callable[..., Server], breaker: Path) -> None:
    server = serve(breaker, limits=LIMITS)
    url = server.wait_ready()
    quiet = others(url, 1)
    before = tree(server.process.pid)
    idle = [connected(url) for _ in range(500)]
    begun = time.monotonic()
    held = tree(server.process.pid)
    beside = others(url, SECONDS / 2)
    for one in idle:
        assert one.recv(1) == b""
        one.close()
    closed = time.monotonic() - begun
    until(lambda: tree(server.process.pid).descriptors - before.descriptors < 10, "descriptors returned")
    after = tree(server.process.pid)
    record(
        "slow",
        "idle",
        injected="500 connections that say nothing",
        held="others unaffected; all closed by the deadline; memory and descriptors returned",
        others_p90_ms=1e3 * quantile(beside, 0.9),
        others_p99_ms=1e3 * quantile(beside, 0.99),
        quiet_p99_ms=1e3 * quantile(quiet, 0.99),
        closed_s=closed,
        kib_a_connection=(held.memory - before.memory) / 500 / 1024,
        descriptors_left=after.descriptors - before.descriptors,
    )
    with httpx.Client(base_url=url) as client:
        assert ask(client, row()).status_code == 200


def test_more_connections_than_are_allowed(serve: Callable[..., Server], breaker: Path) -> None:
    """Beyond the limit a newcomer is told so at once, and the places are free again when the others leave."""
    url = serve(breaker, workers=1, limits={"connections": 20}).wait_ready()
    crowd = [connected(url) for _ in range(20)]
    asked: list[httpx.Response] = []

    def says(status: int) -> bool:
        asked.append(httpx.post(f"{url}/v2/models/breaker/infer", content=DIALECTS["oip"].body(row())))
        return asked[-1].status_code == status

    until(lambda: says(503), "the next one is refused")
    assert asked[-1].headers["retry-after"]
    for one in crowd:
        one.close()
    until(lambda: says(200), "the places are free again")


def test_handshakes_that_are_never_finished(serve: Callable[..., Server], breaker: Path, tmp_path: Path) -> None:
    """Under TLS the first words are the handshake's: who does not say them, or says nonsense, is closed by the deadline of a head."""
    words = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"]
    words += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", "key.pem", "-out", "certificate.pem"]
    subprocess.run(["openssl", *words], cwd=tmp_path, check=True, capture_output=True)
    server = serve(breaker, limits=LIMITS, certificate=str(tmp_path / "certificate.pem"), key=str(tmp_path / "key.pem"))
    url = server.wait_ready()
    trust = ssl.create_default_context(cafile=str(tmp_path / "certificate.pem"))
    with ExitStack() as stack, httpx.Client(base_url=url, timeout=HANG_SECONDS, verify=trust) as client:
        assert ask(client, row()).status_code == 200
        stalled = [stack.enter_context(connected(url)) for _ in range(20)]
        for one in stalled[:10]:
            one.sendall(b"\x16\x03\x01\x02\x00\x01")
        begun = time.monotonic()
        assert ask(client, row()).status_code == 200
        for one in stalled:
            try:
                while one.recv(1 << 16):
                    pass
            except ConnectionError:
                pass
        closed = time.monotonic() - begun
        assert ask(client, row()).status_code == 200
        stack.enter_context(connected(url))
        assert server.stop() == 0
    record(
        "slow",
        "handshakes",
        injected="20 clients that never finish their TLS handshake",
        held="closed by the deadline of a head; others answered; SIGTERM waits for none",
        closed_s=closed,
    )

"""A real server process: it listens before it is ready, answers while it is busy, refuses what lies, and drains."""

from __future__ import annotations

import json
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest

from roadworthy.serving.engine.local import LocalEngine
from support.models import bundles
from support.servers.serving import LABELS, Server, binary_request, in_flight, json_request, leaving, outputs_of, write_echo
from support.waiting import HANG_SECONDS, until

pytestmark = pytest.mark.slow

Serve = Callable[..., Server]


def slow(seconds: float, count: int = 1) -> dict[str, object]:
    """A request that the echo answers ``seconds`` late."""
    return json_request({"x": np.array([[0, seconds]] * count, np.float32)})


def test_several_bundles_from_start_to_sigterm(serve: Serve, null_bundle: Path, picture_bundle: Path, png: bytes) -> None:
    server = serve(null_bundle, picture_bundle)
    with server.client() as client, LocalEngine(null_bundle) as model:
        x = np.random.default_rng(2).random((5, 12)).astype(np.float32)
        want = model(x).outputs["y"]
        body, headers = binary_request({"x": x}, parameters={"binary_data_output": True})
        for answered in (
            client.post("/v2/models/linear/infer", json=json_request({"x": x})),
            client.post("/v2/models/linear/versions/1/infer", content=body, headers=headers),
        ):
            assert answered.status_code == 200
            assert np.array_equal(outputs_of(answered.content, answered.headers)["y"], want)
        answered = client.post("/v2/models/picture/infer", content=png, headers={"Content-Type": "image/png"})
        assert outputs_of(answered.content, answered.headers)["label"][0] in LABELS
        assert client.get("/metrics").status_code == 200
    assert server.stop() == 0
    assert complaints(server) == []


HELD = json_request({"x": np.array([[-2, 0]], np.float32)})
"""A request that the echo answers once ``gate`` exists."""


def complaints(server: Server) -> list[str]:
    """What it wrote to standard error but for how each model uses the host."""
    return [line for line in server.errors().splitlines() if " ms a sample" not in line]


def test_it_is_live_but_not_ready_until_the_golden_samples_pass(serve: Serve, tmp_path: Path) -> None:
    port = free_port()
    server = serve(write_echo(tmp_path / "late", "late"), port=port)
    with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
        while True:
            try:
                live = client.get("/v2/health/live")
                break
            except httpx.ConnectError:
                time.sleep(0.01)
        assert live.status_code == 200 and live.json() == {"live": True}
        early = client.get("/v2/health/ready")
        assert early.status_code == 503 and early.json() == {"ready": False}
        waiting = client.post("/v2/models/echo/infer", json=slow(0))
        assert waiting.status_code == 503 and waiting.headers["retry-after"] and "still being opened" in waiting.json()["error"]
        server.wait_ready()
        assert client.get("/v2/health/ready").json() == {"ready": True}
        assert client.post("/v2/models/echo/infer", json=slow(0)).status_code == 200


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_health_answers_while_a_slow_model_computes(serve: Serve, steady_bundle: Path, gate: Path) -> None:
    server = serve(steady_bundle)
    with server.client() as client, ThreadPoolExecutor(1) as pool:
        answer = pool.submit(httpx.post, f"{server.wait_ready()}/v2/models/echo/infer", json=HELD, timeout=HANG_SECONDS)
        wait_in_flight(client, 1)
        for _ in range(20):
            assert client.get("/v2/health/ready").status_code == 200
        assert not answer.done()
        gate.touch()
        assert answer.result().status_code == 200


def wait_in_flight(client: httpx.Client, count: int) -> None:
    until(lambda: in_flight(client) == count, "the requests arrive")


def test_a_model_slower_than_expected_gets_a_thread(serve: Serve, echo_bundle: Path, gate: Path) -> None:
    """Cheap on its golden samples, it holds the server up once; the next time health answers meanwhile."""
    server = serve(echo_bundle, workers=1)
    with server.client() as client, ThreadPoolExecutor(1) as pool:
        assert client.post("/v2/models/echo/infer", json=slow(0.1)).status_code == 200
        answer = pool.submit(httpx.post, f"{server.wait_ready()}/v2/models/echo/infer", json=HELD, timeout=HANG_SECONDS)
        wait_in_flight(client, 1)
        assert not answer.done()
        gate.touch()
        assert answer.result().status_code == 200


def test_a_cheap_request_waits_for_a_long_one_without_holding_the_server_up(serve: Serve, echo_bundle: Path, gate: Path) -> None:
    server = serve(echo_bundle, workers=1)
    url = f"{server.wait_ready()}/v2/models/echo/infer"
    many = np.zeros((20_000, 2), np.float32)
    many[0, 0] = -2
    with server.client() as client, ThreadPoolExecutor(2) as pool:
        long = pool.submit(httpx.post, url, json=json_request({"x": many}), timeout=HANG_SECONDS)
        wait_in_flight(client, 1)
        short = pool.submit(httpx.post, url, json=slow(0), timeout=HANG_SECONDS)
        wait_in_flight(client, 2)
        assert not long.done()
        gate.touch()
        assert [answer.result().status_code for answer in (long, short)] == [200, 200]


def test_one_call_at_a_time_and_no_queue_without_an_end(serve: Serve, steady_bundle: Path, gate: Path) -> None:
    """The runtime raises when two calls overlap; beyond one in a call and three that wait the next is refused at once."""
    server = serve(steady_bundle, workers=1, batch=1, limits={"pending": 3})
    url = f"{server.wait_ready()}/v2/models/echo/infer"
    with server.client() as client, ThreadPoolExecutor(4) as pool:
        answers = [pool.submit(httpx.post, url, json=HELD, timeout=HANG_SECONDS) for _ in range(4)]
        wait_in_flight(client, 4)
        refused = client.post(url, json=slow(0))
        assert refused.status_code == 503 and refused.headers["retry-after"] == "1"
        assert "3 requests waiting" in refused.json()["error"]
        gate.touch()
        assert [answer.result().status_code for answer in answers] == [200] * 4
        assert client.post(url, json=slow(0)).status_code == 200


def test_sigterm_answers_all_that_was_accepted(serve: Serve, steady_bundle: Path, gate: Path) -> None:
    server = serve(steady_bundle)
    url = server.wait_ready()
    with server.client() as client, ThreadPoolExecutor(6) as pool:
        answers = [pool.submit(httpx.post, f"{url}/v2/models/echo/infer", json=HELD, timeout=HANG_SECONDS) for _ in range(6)]
        wait_in_flight(client, 6)
        server.process.send_signal(signal.SIGTERM)
        assert leaving(client) == (503, "close")
        gate.touch()
        assert [answer.result().status_code for answer in answers] == [200] * 6
    assert server.ended() == 0
    with pytest.raises(httpx.ConnectError):
        httpx.get(url)


def test_sigterm_under_load_cuts_no_response(serve: Serve, null_bundle: Path) -> None:
    """Clients hammer it without a pause; what began before the signal is answered, and no answer is ever cut short."""
    server = serve(null_bundle)
    url = server.wait_ready()
    faults: list[str] = []
    counts: list[int] = []
    signalled = threading.Event()
    began: set[int] = set()

    def hammer() -> None:
        count = 0
        with httpx.Client(base_url=url) as client:
            try:
                while True:
                    late = signalled.is_set()
                    answered = client.post("/v2/models/linear/infer", json=json_request({"x": np.zeros((1, 12), np.float32)}))
                    count += 1
                    began.add(threading.get_ident())
                    if answered.status_code != 200:
                        faults.append(answered.text)
            except (httpx.ConnectError, httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError) as problem:
                if not late or "incomplete" in str(problem):
                    faults.append(repr(problem))
        counts.append(count)

    threads = [threading.Thread(target=hammer) for _ in range(4)]
    for thread in threads:
        thread.start()
    until(lambda: len(began) == 4, "each is answered")
    signalled.set()
    assert server.stop() == 0
    for thread in threads:
        thread.join(HANG_SECONDS)
    assert min(counts) > 0
    assert faults == []


def test_a_second_signal_ends_it_at_once(serve: Serve, steady_bundle: Path) -> None:
    server = serve(steady_bundle)
    url = server.wait_ready()
    with server.client() as client, ThreadPoolExecutor(1) as pool:
        answer = pool.submit(httpx.post, f"{url}/v2/models/echo/infer", json=slow(20), timeout=HANG_SECONDS)
        wait_in_flight(client, 1)
        server.process.send_signal(signal.SIGTERM)
        assert leaving(client) == (503, "close")
        assert server.stop() == -signal.SIGTERM
        assert isinstance(answer.exception(), httpx.HTTPError)


def test_a_flipped_byte_keeps_a_bundle_out_with_the_files_name(serve: Serve, null_bundle: Path, tmp_path: Path) -> None:
    damaged = bundles.write_bundle(tmp_path / "damaged", name="damaged")
    file = damaged / "variants" / "null-fp32-t1" / "model.npz"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    alone = serve(damaged)
    assert alone.ended() == 6
    assert "variants/null-fp32-t1/model.npz" in alone.errors() and "Traceback" not in alone.errors()

    server = serve(null_bundle, damaged)
    server.count = 1
    with server.client() as client:
        assert client.get("/v2/health/ready").status_code == 200
        assert client.get("/v2/models/linear/ready").status_code == 200
        assert client.get("/v2/models/damaged/ready").status_code in (400, 503)
    assert server.stop() == 0
    assert "not served: " in server.errors() and "variants/null-fp32-t1/model.npz" in server.errors()


def test_a_bundle_with_wrong_golden_answers_is_never_served(serve: Serve, tmp_path: Path) -> None:
    server = serve(write_echo(tmp_path / "lying", "lying"))
    assert server.ended() == 6
    assert "golden answers are off by" in server.errors()
    assert server.process.stdout and server.process.stdout.read() == ""


def test_two_bundles_of_one_name(serve: Serve, null_bundle: Path, tmp_path: Path) -> None:
    server = serve(null_bundle, bundles.write_bundle(tmp_path / "again"))
    assert server.ended() == 2
    assert "are both 'linear' version 1" in server.errors()


@pytest.mark.parametrize("options", [{"host": "no.such.host.invalid"}, {"host": "203.0.113.7"}])
def test_addresses_that_cannot_be(serve: Serve, null_bundle: Path, options: dict[str, object]) -> None:
    server = serve(null_bundle, **options)
    assert server.ended() in (2, 7)
    assert str(options["host"]) in server.errors() and "Traceback" not in server.errors()


def test_a_port_that_is_taken(serve: Serve, null_bundle: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        server = serve(null_bundle, port=other.getsockname()[1])
        assert server.ended() == 2
        assert "is in use" in server.errors()


def test_the_notes_of_a_bundle_reach_standard_error(serve: Serve, tmp_path: Path) -> None:
    server = serve(bundles.write_bundle(tmp_path / "b", host=bundles.other_host()))
    server.wait_ready()
    assert server.stop() == 0
    assert "certified on Imaginary CPU" in server.errors()


# Beneath HTTP


def talk(url: str, *pieces: bytes, pause: float = 0.0) -> bytes:
    """Send ``pieces`` and read until the server closes, or says nothing for two seconds."""
    with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), timeout=2) as connection:
        answer = b""
        try:
            for piece in pieces:
                connection.sendall(piece)
                time.sleep(pause)
            while chunk := connection.recv(1 << 16):
                answer += chunk
        except (TimeoutError, ConnectionError):
            pass
        return answer


HEAD = b"POST /v2/models/linear/infer HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n"


def test_what_is_wrong_with_the_request_itself(serve: Serve, null_bundle: Path) -> None:
    server = serve(null_bundle, limits={"body": 4096, "head": 8192, "body_seconds": 0.5})
    url = server.wait_ready()
    good = json.dumps(json_request({"x": np.zeros((1, 12), np.float32)})).encode()

    chunked = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (good[:50], good[50:])) + b"0\r\n\r\n"
    assert talk(url, HEAD + b"transfer-encoding: chunked\r\n\r\n" + chunked).startswith(b"HTTP/1.1 200")
    flood = b"transfer-encoding: chunked\r\n\r\n" + (b"400\r\n" + bytes(1024) + b"\r\n") * 8 + b"0\r\n\r\n"
    assert talk(url, HEAD + flood).startswith(b"HTTP/1.1 413")
    assert talk(url, HEAD + b"content-length: 5000\r\n\r\n" + bytes(5000)).startswith(b"HTTP/1.1 413")
    expecting = talk(url, HEAD.replace(b"connection: close\r\n", b"") + b"expect: 100-continue\r\ncontent-length: 5000\r\n\r\n")
    assert expecting.startswith(b"HTTP/1.1 413") and b"connection: close" in expecting

    slow_body = talk(url, HEAD + b"content-length: 100\r\n\r\n", b"{")
    assert slow_body.startswith(b"HTTP/1.1 408") and b"did not arrive" in slow_body

    for lines in (
        b"GARBAGE\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        HEAD + b"content-length: -1\r\n\r\n",
        HEAD + b"content-length: 1\r\ncontent-length: 2\r\n\r\n",
    ):
        answer = talk(url, lines)
        assert answer.startswith(b"HTTP/1.1 4") and b'{"error":' in answer, answer

    line = b"x-filler: " + b"a" * 1000 + b"\r\n"
    assert b"larger than this server's limit" in talk(url, HEAD, *([line] * 9), pause=0.005)
    assert b"larger than this server's limit" in talk(url, b"GET /" + b"a" * 9000)

    assert talk(url, HEAD + b"content-length: %d\r\n\r\n" % len(good) + good).startswith(b"HTTP/1.1 200")
    assert server.stop() == 0
    assert "Traceback" not in server.errors()


def test_a_large_body_gets_its_refusal_even_while_it_is_still_being_sent(serve: Serve, null_bundle: Path) -> None:
    with serve(null_bundle, limits={"body": 1 << 20}).client() as client:
        answered = client.post("/v2/models/linear/infer", content=bytes(8 << 20))
        assert answered.status_code == 413
        assert client.get("/v2/health/live").status_code == 200


def test_a_client_that_disconnects_disturbs_no_other(serve: Serve, null_bundle: Path) -> None:
    server = serve(null_bundle)
    url = server.wait_ready()
    for _ in range(5):
        with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2]))) as connection:
            connection.sendall(HEAD + b"content-length: 100\r\n\r\n{")
    with server.client() as client:
        assert client.get("/v2/health/ready").status_code == 200
    assert server.stop() == 0
    assert complaints(server) == []


def test_serve_is_a_function_of_the_package() -> None:
    """No module of the package hides it, whichever is imported first."""
    import subprocess

    for first in ("", "import roadworthy.serving.server;"):
        script = (
            f"{first}import roadworthy as rw, types\n"
            "assert isinstance(rw.serve, types.FunctionType)\n"
            "try: rw.serve([])\nexcept rw.core.errors.UsageError as problem: print(problem)"
        )
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert "nothing to serve" in done.stdout

"""Standard error in JSON lines: what failed always, each request where that is asked for, and no request waits for the reader."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys

import pytest

from roadworthy.serving.observability.logs import JsonLines, RequestLog
from support.servers.listening import Listening
from support.waiting import HANG_SECONDS

SCRIPT = """
import logging, sys, httpx
sys.path[:0] = {path!r}
from support.servers.listening import Listening
from roadworthy.serving.observability import logs
logs.configure()
with Listening(requests=logs.RequestLog() if {requests} else None) as listening, httpx.Client(base_url=listening.url) as client:
    client.post("/t/echo?q", content=b"ab", headers={{"x-request-id": "mine"}})
    client.get("/t/fail")
    client.get("/elsewhere")
    listening.talk(b"GARBAGE\\r\\n\\r\\n")
"""


def lines(*, requests: bool) -> list[dict[str, object]]:
    script = SCRIPT.format(path=sys.path, requests=requests)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=HANG_SECONDS)
    return [json.loads(line) for line in done.stderr.splitlines()]


def test_one_line_a_request() -> None:
    echo, fault, failed, nowhere, garbage = lines(requests=True)
    assert {name: echo[name] for name in ("id", "protocol", "method", "path", "model", "status", "bytes")} == {
        "id": "mine", "protocol": "rehearsal", "method": "POST", "path": "/t/echo", "model": "m", "status": 200, "bytes": 2,
    }  # fmt: skip
    assert isinstance(echo["ms"], float) and str(echo["client"]).startswith("127.0.0.1:") and str(echo["time"]).endswith("Z")
    assert fault["level"] == "error" and "ZeroDivisionError: on purpose" in str(fault["exception"])
    assert failed["status"] == 500 and failed["id"] == fault["request"]
    assert (nowhere["status"], nowhere["protocol"]) == (404, "http") and garbage["status"] == 400


def test_without_it_only_what_failed() -> None:
    (fault,) = lines(requests=False)
    assert fault["level"] == "error" and fault["logger"] == "roadworthy.serving.transports.http.app"


def test_a_line_of_anything_is_json() -> None:
    record = logging.makeLogRecord({"msg": "%s\n\x00", "args": ("ü",), "fields": {"a": object(), "b": b"\xff"}})
    line = JsonLines().format(record)
    assert "\n" not in line and json.loads(line)["message"] == "ü\n\x00"


def test_a_reader_that_is_stuck_delays_no_request() -> None:
    """More than a pipe takes and than may wait: requests go on being answered."""
    script = (
        f"import sys; sys.path[:0] = {sys.path!r}\n"
        + """
import logging, os, time
from roadworthy.serving.observability import logs
logs.configure()
for _ in range(20_000):
    logs.REQUESTS.info("x" * 100)
print("done", flush=True)
os._exit(0)
"""
    )
    reading, writing = os.pipe()
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=writing)
    try:
        assert process.wait(HANG_SECONDS) == 0 and process.stdout is not None
        assert process.stdout.read() == b"done\n"
    finally:
        process.kill()
        process.wait()
        os.close(reading)
        os.close(writing)
        assert process.stdout is not None
        process.stdout.close()


def test_off_it_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> None:
        raise AssertionError("written without being asked for")

    monkeypatch.setattr(RequestLog, "write", never)
    with Listening() as listening:
        assert listening.talk(b"GET /t/echo HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 200")

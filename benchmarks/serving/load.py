"""The load generator's face: ``run("127.0.0.1", 8000, body=..., connections=8, seconds=5)`` gives a ``Load``.

The work is done by ``load.cpp`` in one thread of a process of its own, built by g++ on first use, so that what drives a server
costs little beside it and is the same for every server.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
SOURCES = tuple(HERE / name for name in ("load.cpp", "load_histogram.hpp", "load_response.hpp"))
BUILT = HERE.parent / "results"
DEAF = "closed", "reset", "cut"
"""Kinds of error where a connection ended with a request on it: before the answer began (without or with a reset), or within it."""


@dataclass(frozen=True)
class Answers:
    """What was answered with one status: how often, latencies in milliseconds, body sizes in bytes, the beginning of the first body."""

    count: int
    mean_ms: float
    p50_ms: float
    p90_ms: float
    p99_ms: float
    p999_ms: float
    max_ms: float
    smallest: int
    largest: int
    first: bytes


@dataclass(frozen=True)
class Load:
    """What one run saw. Every request sent is in ``answers``, by status, or in ``errors``, by kind, and never in both.

    Kinds of error: ``connect`` refused or failed, ``timeout``, ``malformed``, ``mismatch`` (the body does not begin as expected), and
    ``DEAF``. ``unsent`` were due at the fixed rate and found no free connection before the end. ``per_second`` counts the answers of
    2xx that came before the end; ``cpu_seconds`` is the generator's own.
    """

    seconds: float
    sent: int
    unsent: int
    per_second: float
    opened: int
    cpu_seconds: float
    answers: Mapping[int, Answers]
    errors: Mapping[str, int]

    @property
    def answered(self) -> int:
        """Requests answered, whatever the status."""
        return sum(one.count for one in self.answers.values())

    @property
    def good(self) -> Answers | None:
        """The answers of status 200, if there were any."""
        return self.answers.get(200)

    @property
    def clean(self) -> bool:
        """Whether every request was sent and answered with 200."""
        return not self.errors and not self.unsent and set(self.answers) == {200}


class Running:
    """A load under way in the background: ``with start(...) as load: ...; found = load.stop()``."""

    def __init__(self, words: list[str], request: bytes) -> None:
        self._process = subprocess.Popen([str(built()), *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._process.stdin
        self._process.stdin.write(request)
        self._process.stdin.close()
        self._process.stdin = None

    def wait(self) -> Load:
        """Its figures, when its time is over."""
        output, _ = self._process.communicate()
        if self._process.returncode:
            raise RuntimeError(f"the load generator ended with {self._process.returncode}")
        found = json.loads(output)
        good = found.pop("good")
        answers = {int(status): Answers(**one | {"first": bytes.fromhex(one["first"])}) for status, one in found.pop("answers").items()}
        return Load(**found, answers=answers, per_second=good / found["seconds"] if found["seconds"] else 0.0)

    def stop(self) -> Load:
        """Its figures now: nothing more is sent, and what is under way is waited for."""
        self._process.send_signal(signal.SIGTERM)
        return self.wait()

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *exception: object) -> None:
        self._process.kill()
        self._process.wait()
        if self._process.stdout:
            self._process.stdout.close()


def start(
    host: str,
    port: int,
    method: str = "POST",
    path: str = "/",
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
    *,
    connections: int = 1,
    seconds: float = 1.0,
    rate: float | None = None,
    even: bool = False,
    timeout: float = 10.0,
    expected: bytes = b"",
    seed: int = 0,
    warm: float = 0.0,
) -> Running:
    """Send one request over and over for ``seconds``, on up to ``connections`` connections that are kept alive.

    Without ``rate`` each connection sends again as soon as it is answered (closed loop). With it so many requests a second are due,
    by a Poisson process or, with ``even``, evenly, and latency counts from the moment each was due (open loop). A request without an
    answer after ``timeout`` seconds is an error and costs its connection, as is an answer whose body does not begin with ``expected``.
    For ``warm`` seconds beforehand the load is the same and is not counted, except for what is under way when they end.
    """
    fields = {"Host": f"{host}:{port}", "Content-Length": str(len(body))} | dict(headers or {})
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    request = f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + body
    words = (host, port, connections, seconds, rate or 0, int(even), timeout, seed, expected.hex(), warm)
    return Running([str(word) for word in words], request)


def run(host: str, port: int, *request: Any, **options: Any) -> Load:
    """``start`` with the same arguments, waited for."""
    with start(host, port, *request, **options) as running:
        return running.wait()


def built() -> Path:
    """The generator's program, compiled where it is not there yet for these sources."""
    digest = hashlib.sha256(b"".join(source.read_bytes() for source in SOURCES)).hexdigest()[:12]
    program = BUILT / f"load-{digest}"
    if not program.exists():
        BUILT.mkdir(exist_ok=True)
        mine = program.with_suffix(f".{os.getpid()}")
        subprocess.run(["g++", "-std=c++17", "-O2", "-o", mine, SOURCES[0]], check=True)
        mine.replace(program)  # at once, as another process may be building it too
    return program


if __name__ == "__main__":
    host, port, path, connections, seconds, *rate = sys.argv[1:]
    print(run(host, int(port), "GET", path, connections=int(connections), seconds=float(seconds), rate=float(rate[0]) if rate else None))

"""Mixed load: three protocols over HTTP and two over gRPC, swaps, malformed requests and clients that hang up; and books of all of it."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import httpx

from dependability.harness import DIALECTS, ask, connected, row, tree
from dependability.hostile import requests
from dependability.swaps import Address, by_tfserving_grpc
from roadworthy.serving.protocols import proto
from support.waiting import HANG_SECONDS


@dataclass
class Books:
    """What the clients counted: answers by protocol, model and code as the server's metrics name them; and what should not have been."""

    answered: Counter[tuple[str, str]] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    hung_up: int = 0
    swaps: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self, protocol: str, code: str) -> None:
        """One more answer."""
        with self.lock:
            self.answered[protocol, code] += 1


@dataclass(frozen=True)
class Sample:
    """The server's processes at one moment, and seconds since the beginning."""

    at: float
    memory: int
    descriptors: int
    threads: int


def run(at: Address, models: Path, server: int, seconds: float, *, every: float = 0.5) -> tuple[Books, list[Sample]]:
    """So many seconds of everything at once against a server of ``models`` whose supervisor has the process id ``server``.

    Samples are taken ``every`` so many seconds. When this returns, all clients have ended.
    """
    books, over = Books(), threading.Event()
    jobs: list[Callable[[], None]] = [
        *(lambda dialect=dialect: _asks(at, books, dialect, over) for dialect in DIALECTS),  # type: ignore[misc]
        lambda: _asks_grpc(at, books, over),
        lambda: _malformed(at, books, over),
        lambda: _hangs_up(at, books, over),
        lambda: _swaps(at, models, books, over),
    ]
    threads = [threading.Thread(target=_guarded, args=(job, books)) for job in jobs]
    begun = time.monotonic()
    for thread in threads:
        thread.start()
    samples = []
    while time.monotonic() - begun < seconds:
        now = tree(server)
        samples.append(Sample(time.monotonic() - begun, now.memory, now.descriptors, now.threads))
        time.sleep(every)
    over.set()
    for thread in threads:
        thread.join()
    return books, samples


def _guarded(job: Callable[[], None], books: Books) -> None:
    try:
        job()
    except Exception as problem:  # a client that fell silently would make the books look well
        books.wrong.append(repr(problem))


def _asks(at: Address, books: Books, dialect: str, over: threading.Event) -> None:
    with httpx.Client(base_url=at.url, timeout=HANG_SECONDS) as client:
        while not over.wait(0.005):
            answered = ask(client, row(), dialect=dialect)
            books.count(dialect, str(answered.status_code))
            if answered.status_code != 200:
                books.wrong.append(f"{dialect}: {answered.status_code} {answered.text[:200]}")


def _asks_grpc(at: Address, books: Books, over: threading.Event) -> None:
    inference = proto.inference
    tensor = inference.ModelInferRequest.InferInputTensor(name="x", datatype="FP32", shape=[1, 3])
    tensor.contents.fp32_contents.extend(row())
    good = inference.ModelInferRequest(model_name="breaker", inputs=[tensor]).SerializeToString()
    with grpc.insecure_channel(at.grpc) as channel:
        call = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        number = 0
        while not over.wait(0.01):
            number += 1
            broken = number % 5 == 0
            try:
                call(good[: len(good) // 2] if broken else good, timeout=HANG_SECONDS)
                code = "OK"
            except grpc.RpcError as problem:
                code = problem.code().name
            books.count("oip", code)
            if code != ("INVALID_ARGUMENT" if broken else "OK"):
                books.wrong.append(f"gRPC: {code} for a {'broken' if broken else 'good'} request")


def _malformed(at: Address, books: Books, over: threading.Event) -> None:
    kinds = [one for one in requests() if "/picture" not in one.path and len(one.body) < 1 << 20]
    number = 0
    with httpx.Client(base_url=at.url, timeout=HANG_SECONDS) as client:
        while not over.wait(0.02):
            bad = kinds[number % len(kinds)]
            number += 1
            try:
                answered = client.request(bad.method, bad.path, content=bad.body, headers=bad.headers)
            except httpx.TransportError as problem:
                books.wrong.append(f"{bad.what}: {problem!r}")
                continue
            books.count(protocol_of(answered.request.url.path), str(answered.status_code))
            if not 400 <= answered.status_code < 500:
                books.wrong.append(f"{bad.what}: {answered.status_code}")


def protocol_of(path: str) -> str:
    """By which protocol's name the server counts an answer at this path."""
    first = path.split("/")[1]
    return {"v1": "tfserving", "v2": "oip", "predictions": "torchserve"}.get(first, "http")


def _hangs_up(at: Address, books: Books, over: threading.Event) -> None:
    body = DIALECTS["oip"].body(row())
    while not over.wait(0.1):
        with contextlib.suppress(OSError), connected(at.url) as client:
            client.sendall(
                b"POST /v2/models/breaker/infer HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body[:-5])
            )
            books.hung_up += 1


def _swaps(at: Address, models: Path, books: Books, over: threading.Event) -> None:
    """Between two versions, back and forth, so that what is known of versions that were does not grow."""
    swap = by_tfserving_grpc(models)
    while not over.wait(1.0):
        books.swaps += 1
        swap(at, 1 + books.swaps % 2)
        books.count("tfserving", "OK")


def served(url: str) -> Counter[tuple[str, str]]:
    """What the server says it answered, by protocol and code."""
    counted: Counter[tuple[str, str]] = Counter()
    for line in httpx.get(f"{url}/metrics", timeout=HANG_SECONDS).text.splitlines():
        if line.startswith("roadworthy_requests_total{"):
            labels = dict(pair.split("=", 1) for pair in line[line.index("{") + 1 : line.index("}")].split(","))
            counted[labels["protocol"].strip('"'), labels["code"].strip('"')] += int(float(line.rpartition(" ")[2]))
    return counted


def growth(samples: list[Sample], what: str) -> float:
    """How much the median of the last fifth is above that of the second fifth: the first is for getting warm."""
    fifth = max(1, len(samples) // 5)

    def middle(part: list[Sample]) -> float:
        return float(sorted(getattr(one, what) for one in part)[len(part) // 2])

    return middle(samples[-fifth:]) - middle(samples[fifth : 2 * fifth])

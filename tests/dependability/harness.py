"""Shared by the fault tests: bundles that fail on request, requests in every protocol, figures of processes, records of the results."""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from http.client import HTTPConnection
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import numpy as np
import psutil

from roadworthy.core.host import this_host
from roadworthy.core.stages import Plan
from roadworthy.core.types import Signature, TensorSpec
from support.models import bundles
from support.servers import serving
from support.waiting import HANG_SECONDS, until

REPOSITORY = Path(__file__).resolve().parents[2]
PLUGIN = Path(__file__).parent / "plugin"
RECORDS = REPOSITORY / "benchmarks" / "results" / "dependability"
ECHO, SLEEP, RAISE, HANG, HANG_LOCKED, EXIT, SEGFAULT, DEVOUR, HOLD = range(9)
"""The operations of the breaker runtime; see plugin/roadworthy_breaker.py."""

BREAKER = Signature((TensorSpec("x", "float32", ("batch", 3)),), (TensorSpec("y", "float32", ("batch", 3)),))


class Server(serving.Server):
    """``serve_as`` with these settings in a process of its own; ``limits`` are those that are not ``PATIENT``'s."""

    @property
    def grpc_address(self) -> str:
        """Where it speaks gRPC, once it is ready."""
        until(lambda: any(line.startswith("gRPC at ") for line in self._errors), "the address of gRPC")
        return next(line for line in self._errors if line.startswith("gRPC at ")).removeprefix("gRPC at ").strip()


def write_breaker(target: Path, flavour: str = "", *, name: str = "breaker", version: str = "1") -> Path:
    """A bundle of the breaker runtime; its answers are its input plus the number in ``plus<number>`` of the flavour."""
    plan = Plan("breaker", flavour=flavour)
    variant = replace(bundles.NULL, name=plan.name, plan=plan, path=f"variants/{plan.name}")
    plus = int(flavour.partition("plus")[2] or 0)
    x = np.zeros((4, 3), np.float32)
    x[:, 1] = np.linspace(0, 1, 4)
    return bundles.write_bundle(
        target, name=name, version=version, signature=BREAKER, variants=(variant,), golden={"in.x": x, "out.y": x + plus}
    )


def row(deed: int = ECHO, amount: float = 0.0, tag: int = 0) -> list[float]:
    """One sample of the breaker's input."""
    return [deed, amount, tag]


@dataclass(frozen=True)
class Dialect:
    """One inference over HTTP in a protocol's own form: its path, its body, its answer's numbers."""

    path: Callable[[str], str]
    body: Callable[[list[float]], bytes]
    values: Callable[[Any], list[float]]


DIALECTS = {
    "oip": Dialect(
        lambda name: f"/v2/models/{name}/infer",
        lambda x: json.dumps({"inputs": [{"name": "x", "shape": [1, 3], "datatype": "FP32", "data": x}]}).encode(),
        lambda answer: answer["outputs"][0]["data"],
    ),
    "tfserving": Dialect(
        lambda name: f"/v1/models/{name}:predict",
        lambda x: json.dumps({"instances": [x]}).encode(),
        lambda answer: answer["predictions"][0],
    ),
    "torchserve": Dialect(
        lambda name: f"/predictions/{name}",
        lambda x: json.dumps({"data": [x]}).encode(),
        lambda answer: answer[0],
    ),
}
JSON = {"Content-Type": "application/json"}


def fresh_ask(url: str, x: list[float] | None = None) -> httpx.Response:
    """One inference of one sample over a connection of its own."""
    with httpx.Client(base_url=url, timeout=HANG_SECONDS) as client:
        return ask(client, x or row())


def load_newest(url: str) -> httpx.Response:
    """The answer to the command to load the newest version of the breaker; it comes when the version answers or is refused."""
    return httpx.post(f"{url}/v2/repository/models/breaker/load", json={}, timeout=HANG_SECONDS)


def outcome(request: Callable[[], httpx.Response]) -> str:
    """The status of the answer, or how the connection ended."""
    try:
        return str(request().status_code)
    except httpx.TransportError as problem:
        return type(problem).__name__


def ask(client: httpx.Client, x: list[float], *, dialect: str = "oip", name: str = "breaker") -> httpx.Response:
    """One inference of one sample."""
    spoken = DIALECTS[dialect]
    return client.post(spoken.path(name), content=spoken.body(x), headers=JSON)


LASTING = {"seconds": 3 * HANG_SECONDS, "timeout": HANG_SECONDS}
"""For load that goes on until a test stops it, and that waits for slow answers."""


@cache
def load() -> ModuleType:
    """The load generator of benchmarks/serving."""
    place = REPOSITORY / "benchmarks" / "serving" / "load.py"
    spec = importlib.util.spec_from_file_location("load_generator", place)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def constant_load(url: str, *, connections: int = 8, **options: float) -> Any:
    """Requests to the breaker from so many ``connections`` until it is stopped; ``rate`` limits them to so many a second."""
    spoken = DIALECTS["oip"]
    request = ("127.0.0.1", port_of(url), "POST", spoken.path("breaker"), JSON, spoken.body(row()))
    return load().start(*request, connections=connections, **options, **LASTING)


def port_of(url: str) -> int:
    """The port in an address such as http://127.0.0.1:8000."""
    return int(url.rpartition(":")[2])


def connected(url: str, *, buffer: int | None = None) -> socket.socket:
    """A plain connection to the server, with a small receive ``buffer`` where one is given."""
    made = socket.socket()
    if buffer:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    made.settimeout(HANG_SECONDS)
    try:
        made.connect(("127.0.0.1", port_of(url)))
    except OSError:
        made.close()
        raise
    return made


def workers(server: int) -> list[psutil.Process]:
    """The server's worker processes: its children that hold more than a fork server does."""
    found = psutil.Process(server).children(recursive=True)
    return [one for one in found if not _helper(one)]


def _helper(process: psutil.Process) -> bool:
    """Python's own helpers of multiprocessing."""
    try:
        words = " ".join(process.cmdline())
    except psutil.Error:
        return True
    return "resource_tracker" in words or "forkserver" in words


@dataclass(frozen=True)
class Tree:
    """What the server and its workers hold at one moment: resident bytes, open descriptors, threads, and processes."""

    memory: int
    descriptors: int
    threads: int
    processes: int


def tree(server: int) -> Tree:
    """The figures of the process ``server`` and all below it."""
    parent = psutil.Process(server)
    all_of_it = [parent, *parent.children(recursive=True)]
    return Tree(
        sum(one.memory_info().rss for one in all_of_it),
        sum(one.num_fds() for one in all_of_it),
        sum(one.num_threads() for one in all_of_it),
        len(all_of_it),
    )


def metric(text: str, name: str, **labels: str) -> float:
    """The sum of all samples of ``name`` with these labels in a Prometheus text."""
    wanted = [f'{key}="{value}"' for key, value in labels.items()]
    total = 0.0
    for line in text.splitlines():
        head, _, value = line.rpartition(" ")
        if head.partition("{")[0] == name and all(one in head for one in wanted):
            total += float(value)
    return total


def in_hand(url: str) -> float:
    """Inferences that wait and that run, in all workers."""
    text = httpx.get(f"{url}/metrics").text
    return sum(metric(text, f"roadworthy_inferences_{what}") for what in ("waiting", "running"))


def loading(url: str, version: str) -> bool:
    """Whether this version of the breaker is being loaded."""
    listed = httpx.get(f"{url}/manage").json()["models"]
    return any((one["version"], one["state"]) == (version, "loading") for model in listed for one in model["versions"])


def runs(file: Path) -> list[int]:
    """The tags of all samples that ran, in order."""
    return [int(line) for line in file.read_text().split()] if file.exists() else []


@dataclass(frozen=True)
class Probe:
    """Seconds that health and metrics took while something else went on, sorted; ``failures`` of them."""

    seconds: list[float]
    failures: list[str]


def probing(url: str, go_on: Callable[[], bool], paths: tuple[str, ...] = ("/v2/health/live", "/metrics")) -> Probe:
    """Asks ``paths`` in turn, ten times a second, on a fresh connection each, for as long as ``go_on()``."""
    seconds, failures = [], []
    while go_on():
        for path in paths:
            begun = time.perf_counter()
            asking = HTTPConnection(
                "127.0.0.1", port_of(url), timeout=HANG_SECONDS
            )  # httpx takes longer to set itself up than the server to answer
            try:
                asking.request("GET", path)
                answered = asking.getresponse()
                answered.read()
                if answered.status != 200:
                    failures.append(f"{path}: {answered.status}")
            except OSError as problem:
                failures.append(f"{path}: {problem!r}")
            finally:
                asking.close()
            seconds.append(time.perf_counter() - begun)
        time.sleep(0.1)
    return Probe(sorted(seconds), failures)


def quantile(values: list[float], share: float) -> float:
    """The value below which ``share`` of the sorted ``values`` lie."""
    return values[min(len(values) - 1, int(share * len(values)))] if values else float("nan")


@dataclass(frozen=True)
class Record:
    """What one test saw: the row of the fault table it belongs to, what was done to the server, what held, in figures."""

    row: str
    case: str
    injected: str
    held: str
    figures: Mapping[str, Any]
    when: str
    machine: str
    long: bool


def record(row: str, case: str, *, injected: str, held: str, long: bool = False, **figures: Any) -> None:
    """Keep what a test saw for the page in the docs (``table.py``)."""
    host = this_host()
    machine = (
        f"{host.cpu}, {host.cores} cores, {round(psutil.virtual_memory().total / 2**30)} GiB, {platform.system()} {platform.machine()}"
    )
    made = Record(row, case, injected, held, figures, datetime.now(UTC).strftime("%Y-%m-%d"), machine, long)
    RECORDS.mkdir(parents=True, exist_ok=True)
    target = RECORDS / f"{row}.{case}{'.long' if long else ''}.json"
    partial = target.with_suffix(f".{os.getpid()}")
    partial.write_text(json.dumps(made.__dict__, indent=1, default=float))
    partial.replace(target)


def records() -> Iterator[Record]:
    """Everything that was kept."""
    for file in sorted(RECORDS.glob("*.json")):
        yield Record(**json.loads(file.read_text()))


def lives(process: psutil.Process) -> bool:
    """Whether the process runs; it may end, and be reaped, between two looks at it."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False

"""What tests of serving share: bundles of the third party's runtime, servers in processes of their own, requests by hand."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from roadworthy.core.samples import join_strings
from roadworthy.core.stages import Plan
from roadworthy.core.types import BYTES, Array, Arrays, Quantization, Signature, TensorSpec
from roadworthy.preprocess.contract import Answer, Contract
from roadworthy.preprocess.spec import ImageTable
from support.models import bundles
from support.waiting import HANG_SECONDS, PATIENT

PLUGIN = Path(__file__).parent / "plugin"
SCRIPT = """
import json, sys
from roadworthy.core.errors import RoadworthyError
from roadworthy.serving.limits import ServerLimits
from roadworthy.serving.server import serve_as
from roadworthy.serving.settings import Settings
options = {"port": 0} | json.loads(sys.argv[1])
try:
    serve_as(Settings(sources=tuple(sys.argv[2:]), limits=ServerLimits(**options.pop("limits")), **options))
except RoadworthyError as problem:
    print(problem.message, file=sys.stderr)
    sys.exit(problem.exit_code)
"""
DATATYPES = {"float32": "FP32", "float64": "FP64", "int64": "INT64", "bool": "BOOL", "float16": "FP16"}

ECHO = Signature((TensorSpec("x", "float32", ("batch", 2)),), (TensorSpec("y", "float32", ("batch", 2)),))
MANY = Signature(
    (TensorSpec("a", "float32", ("batch", 2)), TensorSpec("b", "int64", ("batch",))),
    (
        TensorSpec("sum", "float32", ("batch", 2)),
        TensorSpec("flag", "bool", ("batch",)),
        TensorSpec("half", "float16", ("batch", 2)),
        TensorSpec("count", "int64", ("batch",)),
    ),
)
PICTURE = Signature((TensorSpec("image", "float32", ("batch", 3, 8, 8)),), (TensorSpec("logits", "float32", ("batch", 4)),))
FILES = Signature(
    (TensorSpec("file", BYTES, ("batch",)),), (TensorSpec("scores", "float32", ("batch", 2)), TensorSpec("same", BYTES, ("batch",)))
)
QUANTISED = Signature(
    (TensorSpec("x", "uint8", ("batch", 2), Quantization(0.25, 0)),), (TensorSpec("y", "uint8", ("batch", 2), Quantization(0.125, 128)),)
)
LABELS = ("tench", "goldfish", "grün", "hammerhead")
SEES = Contract(ImageTable(mean=(0.5, 0.4, 0.3), std=(0.2, 0.25, 0.3)).steps(), Answer("softmax", 2, LABELS))


def variant(
    flavour: str, runtime: str = "testkit", *, features: tuple[str, ...] = (), requires: tuple[str, ...] = (), threads: int = 1
) -> bundles.Variant:
    """A variant of the third party's runtime."""
    plan = Plan(runtime, flavour=flavour, threads=threads)
    return replace(bundles.NULL, name=plan.name, plan=plan, path=f"variants/{plan.name}", features=features, requires=requires)


def echo_golden() -> Arrays:
    """Samples that the echo answers with themselves."""
    x = np.linspace(0, 1, 8, dtype=np.float32).reshape(4, 2) * np.array([1, 0], np.float32)
    return {"in.x": x, "out.y": x}


def write_echo(target: Path, *flavours: str, name: str = "echo", threads: int = 1) -> Path:
    """A bundle of the third party's runtime, certified on so many threads."""
    variants = tuple(variant(flavour, threads=threads) for flavour in flavours)
    return bundles.write_bundle(target, name=name, signature=ECHO, variants=variants, golden=echo_golden())


def strings(*values: bytes) -> Array:
    """Byte strings as a session takes them."""
    array = np.empty(len(values), BYTES)
    array[:] = values
    return array


def write_files(target: Path, *, lie: bytes = b"") -> Path:
    """A bundle of the third party's runtime that takes byte strings; ``lie`` in place of its first golden output."""
    given = strings(b"RIFF\0\0", b"two\0", b"\xff")
    flat, ends = join_strings(given)
    same, same_ends = join_strings(strings(lie, *given[1:]) if lie else given)
    scores = np.array([[len(one), one[0]] for one in given], np.float32)
    golden = {"in.file": flat, "ends.in.file": ends, "out.scores": scores, "out.same": same, "ends.out.same": same_ends}
    return bundles.write_bundle(
        target, name="files", signature=FILES, contract=Contract((), Answer("none", 2, ("length", "first"))),
        variants=(variant("files"),), golden=golden, samples=len(given),
    )  # fmt: skip


class Server:
    """``serve_as`` with these settings in a fresh process; usable at once, ready after ``wait_ready``.

    ``limits`` are those that are not ``PATIENT``'s.
    """

    def __init__(self, *paths: Path, limits: Mapping[str, float] | None = None, **options: object) -> None:
        options["limits"] = asdict(replace(PATIENT, **(limits or {})))
        self.process = subprocess.Popen(
            [sys.executable, "-c", SCRIPT, json.dumps(options), *map(str, paths)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": os.pathsep.join([str(PLUGIN), *filter(None, sys.path)])},
        )
        self.urls: list[str] = []
        self.count = len(paths)
        self._others = sum(options.get(port) is not None for port in ("management_port", "metrics_port"))
        self._errors: list[str] = []
        assert self.process.stderr
        self._reader = threading.Thread(target=lambda: self._errors.extend(self.process.stderr or ()), daemon=True)
        self._reader.start()

    def wait_ready(self) -> str:
        """The server's address, once every bundle is announced."""
        assert self.process.stdout
        while len(self.urls) < self.count:
            line = self.process.stdout.readline()
            assert line, f"the server ended: {self.errors()}"
            self.urls.append(line.strip().rpartition(" at ")[2])
        return self.urls[0]

    def client(self) -> httpx.Client:
        """A client of the ready server."""
        return httpx.Client(base_url=self.wait_ready(), timeout=HANG_SECONDS)

    @property
    def grpc_address(self) -> str:
        """Where the ready server listens for gRPC, which it says on standard error."""
        deadline = time.monotonic() + HANG_SECONDS
        while time.monotonic() < deadline:
            for line in tuple(self._errors):
                if line.startswith("gRPC at "):
                    return line.split()[2]
            time.sleep(0.01)
        raise AssertionError("the server does not say where gRPC listens")

    def said(self) -> tuple[str, ...]:
        """The lines on standard error up to now."""
        return tuple(self._errors)

    def ports(self) -> dict[str, str]:
        """The addresses of the ready server's other ports, by the right that each is for."""
        found: dict[str, str] = {}
        deadline = time.monotonic() + 10
        while len(found) < self._others and time.monotonic() < deadline:
            said = (line.split(" at ") for line in tuple(self._errors) if line.startswith(("management at ", "metrics at ")))
            found = {right: url.strip() for right, url in said}
            time.sleep(0.01)
        return found

    def stop(self) -> int:
        """SIGTERM, and the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.ended()

    def ended(self) -> int:
        """The exit code of a server that ends by itself."""
        return self.process.wait(HANG_SECONDS)

    def errors(self) -> str:
        """What it wrote to standard error, once it has ended."""
        self.process.wait(HANG_SECONDS)
        self._reader.join(5)
        return "".join(self._errors)

    def kill(self) -> None:
        """End it at once."""
        self.process.kill()
        self.process.wait()
        self._reader.join(5)
        for stream in (self.process.stdout, self.process.stderr):
            if stream:
                stream.close()


def leaving(client: httpx.Client) -> tuple[int, str]:
    """What readiness says once the server has begun to end: its status, and whether the connection stays.

    Asked without a pause, as a connection that is silent for a fifth of a second is closed then; where this process was kept waiting
    for longer, that is the answer that the client gets.
    """
    try:
        while (answered := client.get("/v2/health/ready")).status_code == 200:
            pass
    except httpx.TransportError:
        return 503, "close"
    return answered.status_code, answered.headers["connection"]


def in_flight(client: httpx.Client) -> float:
    """Inferences that wait and that run, in all workers."""
    lines = client.get("/metrics").text.splitlines()
    return sum(
        float(line.rpartition(" ")[2])
        for line in lines
        if line.startswith(("roadworthy_inferences_waiting{", "roadworthy_inferences_running{"))
    )


def json_input(name: str, array: np.ndarray, *, nested: bool = False) -> dict[str, Any]:
    """One input with its data in JSON."""
    data = array.tolist() if nested else array.ravel().tolist()
    return {"name": name, "shape": list(array.shape), "datatype": DATATYPES[array.dtype.name], "data": data}


def json_request(arrays: Mapping[str, np.ndarray], **rest: Any) -> dict[str, Any]:
    """A whole request in JSON."""
    return {"inputs": [json_input(name, array) for name, array in arrays.items()], **rest}


def binary_request(arrays: Mapping[str, np.ndarray], **rest: Any) -> tuple[bytes, dict[str, str]]:
    """Body and headers of a request by the binary tensor extension."""
    inputs = [
        {"name": name, "shape": list(a.shape), "datatype": DATATYPES[a.dtype.name], "parameters": {"binary_data_size": a.nbytes}}
        for name, a in arrays.items()
    ]
    head = json.dumps({"inputs": inputs, **rest}).encode()
    tail = b"".join(array.astype(array.dtype.newbyteorder("<")).tobytes() for array in arrays.values())
    return head + tail, {"Inference-Header-Content-Length": str(len(head))}


def outputs_of(body: bytes, headers: Mapping[str, str]) -> dict[str, Any]:
    """The outputs of an answer by name: arrays, or lists of str for BYTES; JSON, binary or mixed."""
    size = int(headers.get("inference-header-content-length", len(body)))
    head, tail = json.loads(body[:size]), body[size:]
    found: dict[str, Any] = {}
    for output in head["outputs"]:
        length = output.get("parameters", {}).get("binary_data_size")
        if length is not None:
            piece, tail = tail[:length], tail[length:]
        if output["datatype"] == "BYTES":
            found[output["name"]] = output["data"] if length is None else _texts(piece)
            continue
        dtype = next(name for name, datatype in DATATYPES.items() if datatype == output["datatype"])
        array = np.array(output["data"], dtype) if length is None else np.frombuffer(piece, np.dtype(dtype).newbyteorder("<"))
        found[output["name"]] = array.reshape(output["shape"])
    assert not tail
    return found


def _texts(data: bytes) -> list[str]:
    texts = []
    while data:
        length = int.from_bytes(data[:4], "little")
        texts.append(data[4 : 4 + length].decode())
        data = data[4 + length :]
    return texts

"""Pixels in against floats in: the same model's bundle with ``--pixels`` and the one without, called and served in turn.

``python benchmarks/pixels.py PIXELS.bundle FLOATS.bundle`` prints, for one sample at a time, the milliseconds of a call with the steps
inside the graph, and of NumPy's steps and the model; then the requests a second that a server of one worker answers for uint8 and for
float32 tensors, binary, from two connections, and the CPU milliseconds that its processes spend on one. Rounds alternate; each line
ends with the paired ratio and its range over the rounds.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import psutil

import roadworthy as rw

sys.path.insert(0, str(Path(__file__).resolve().parent / "serving"))
import load

ROUNDS, CALLS, SECONDS, CONNECTIONS = 24, 20, 1.0, 2


def main(pixels: Path, floats: Path) -> None:
    """Print the lines."""
    with rw.load(pixels) as one, rw.load(floats) as other:
        front = one.contract.front
        assert front is not None
        (spec,) = one.signature.inputs
        shape = [1, *spec.sample_shape]
        image = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
        values = front.samples(image)
        bodies = {"uint8": _request(one, image), "float32": _request(other, values)}
        calls: dict[str, Callable[[], object]] = {
            "inside": lambda: one.run({spec.name: image}),
            "numpy": lambda: other.run({spec.name: front.samples(image)}),
        }
        print("plans", one.plan.name, other.plan.name)
        print("ms a call", _compared({name: _times(call) for name, call in calls.items()} for _ in range(ROUNDS)))
    print("bytes a request", {name: len(body) for name, (_, _, body) in bodies.items()})
    with ExitStack() as stack:
        servers = {name: stack.enter_context(_Server(bundle)) for name, bundle in (("uint8", pixels), ("float32", floats))}
        rounds = [{name: _served(servers[name], *bodies[name]) for name in bodies} for _ in range(ROUNDS)]
    print("requests a second", _compared({name: rate for name, (rate, _) in one.items()} for one in rounds))
    print("CPU ms a request", _compared({name: cpu for name, (_, cpu) in one.items()} for one in rounds))


def _times(call: Callable[[], object]) -> float:
    """Milliseconds of a call: the median of a few."""
    call()
    seen = []
    for _ in range(CALLS):
        begun = time.perf_counter()
        call()
        seen.append(1000 * (time.perf_counter() - begun))
    return float(np.median(seen))


def _compared(rounds: Any) -> str:
    found = list(rounds)
    a, b = found[0]
    ratios = np.array([one[a] / one[b] for one in found])
    low, middle, high = np.quantile(ratios, [0.1, 0.5, 0.9])
    medians = ", ".join(f"{name} {np.median([one[name] for one in found]):.4g}" for name in (a, b))
    return f"{medians}; {a} / {b} = {middle:.3f} ({low:.3f} to {high:.3f} in 8 of 10 rounds)"


def _request(model: Any, array: np.ndarray) -> tuple[str, dict[str, str], bytes]:
    datatype = {"uint8": "UINT8", "float32": "FP32"}[array.dtype.name]
    parameters = {"binary_data_size": array.nbytes}
    tensor = {"name": model.signature.inputs[0].name, "shape": array.shape, "datatype": datatype, "parameters": parameters}
    head = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    headers = {"Content-Type": "application/octet-stream", "Inference-Header-Content-Length": str(len(head))}
    return f"/v2/models/{model.name}/infer", headers, head + array.tobytes()


def _served(server: _Server, path: str, headers: dict[str, str], body: bytes) -> tuple[float, float]:
    """Requests answered a second, and the server's CPU milliseconds for each."""
    before = server.cpu_seconds()
    with load.start("127.0.0.1", server.port, path=path, headers=headers, body=body, connections=CONNECTIONS, seconds=SECONDS) as running:
        seen = running.wait()
    if not seen.clean:
        raise SystemExit(f"not every request was answered: {seen}")
    return seen.per_second, 1000 * (server.cpu_seconds() - before) / seen.answered


class _Server:
    """A server of one worker, ready on entry and ended on exit."""

    def __init__(self, bundle: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        command = [str(Path(sys.executable).with_name("roadworthy")), "serve", str(bundle), "--workers", "1", "--port", str(self.port)]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def __enter__(self) -> _Server:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/v2/health/ready", timeout=5):
                    return self
            except (OSError, urllib.error.URLError):
                time.sleep(0.2)
        self.__exit__()
        raise SystemExit("the server is not ready")

    def cpu_seconds(self) -> float:
        """What its processes have spent."""
        whole = psutil.Process(self._process.pid)
        return sum(sum(one.cpu_times()[:2]) for one in (whole, *whole.children(recursive=True)))

    def __exit__(self, *exception: object) -> None:
        self._process.terminate()
        self._process.wait()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))

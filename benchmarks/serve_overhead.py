"""What serving itself costs: CPU and latency for each request, a call beside its runtime's own, start to ready, memory.

``python benchmarks/serve_overhead.py [BUNDLE]`` prints its figures and writes ``benchmarks/results/serve_overhead.json``.
Requests go to a linear map of 12 numbers, so that what is measured is the server; ``BUNDLE`` (the same map without one) is
what is started and weighed. A client that speaks raw HTTP over one connection shares the machine with the server:
its own CPU is not counted, its scheduling is in the latency. Sound figures need a quiet machine.
"""

from __future__ import annotations

import json
import os
import platform
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np

from roadworthy.bundle import store
from roadworthy.core import registry
from roadworthy.core.host import this_host
from roadworthy.core.types import zeros
from roadworthy.serve.model import Model

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
TICKS = os.sysconf("SC_CLK_TCK")
SERVE = "import sys; from roadworthy.serve.server import serve; serve(sys.argv[1:], port=0)"
REQUESTS, ROUNDS, STARTS = 2000, 5, 5


def start(bundle: Path) -> tuple[subprocess.Popen[str], int, float]:
    """A serving process, its port, and the seconds from its start until it was ready."""
    begun = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-c", SERVE, str(bundle)], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    line = process.stdout.readline()
    seconds = time.perf_counter() - begun
    if not line:
        raise SystemExit(f"{bundle} could not be served")
    return process, int(line.strip().rpartition(":")[2]), seconds


def stop(process: subprocess.Popen[str]) -> None:
    """End it, and wait."""
    process.terminate()
    process.wait()
    assert process.stdout
    process.stdout.close()


def cold_start(bundle: Path) -> dict[str, float]:
    """Start to ready in seconds, and the resident memory in MiB of a server that is ready and has answered nothing."""
    seconds, resident, peak = [], [], []
    for _ in range(STARTS):
        process, _, took = start(bundle)
        status = dict(line.split(":", 1) for line in Path(f"/proc/{process.pid}/status").read_text().splitlines())
        seconds.append(took)
        resident.append(int(status["VmRSS"].split()[0]) / 1024)
        peak.append(int(status["VmHWM"].split()[0]) / 1024)
        stop(process)
    return {"ready_s": median(seconds), "rss_mb": median(resident), "peak_mb": max(peak)}


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far; the kernel counts in hundredths."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def request(path: str, body: bytes, headers: str = "") -> bytes:
    """One HTTP request, a GET where there is no body."""
    verb = "POST" if body else "GET"
    return f"{verb} {path} HTTP/1.1\r\nhost: a\r\n{headers}content-length: {len(body)}\r\n\r\n".encode() + body


def requests() -> dict[str, bytes]:
    """What is sent, by name."""
    x = np.zeros((1, 12), np.float32)
    tensor = {"name": "x", "shape": [1, 12], "datatype": "FP32"}
    plain = json.dumps({"inputs": [{**tensor, "data": x.ravel().tolist()}]}).encode()
    asked = {"inputs": [{**tensor, "parameters": {"binary_data_size": x.nbytes}}], "parameters": {"binary_data_output": True}}
    head = json.dumps(asked).encode()
    path = "/v2/models/linear/infer"
    return {
        "live": request("/v2/health/live", b""),
        "infer, JSON": request(path, plain),
        "infer, binary": request(path, head + x.tobytes(), f"inference-header-content-length: {len(head)}\r\n"),
    }


def exchange(connection: socket.socket, message: bytes) -> None:
    """One request and its whole answer."""
    connection.sendall(message)
    answer = connection.recv(1 << 16)
    assert answer.startswith(b"HTTP/1.1 200"), answer
    head, _, body = answer.partition(b"\r\n\r\n")
    missing = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]) - len(body)
    while missing > 0:
        missing -= len(connection.recv(1 << 16))


def per_request(bundle: Path) -> dict[str, dict[str, float]]:
    """Server CPU in microseconds, median and p99 latency in microseconds, for each kind of request; the best round of several."""
    process, port, _ = start(bundle)
    found: dict[str, dict[str, float]] = {}
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for name, message in requests().items():
            rounds = []
            for _ in range(ROUNDS):
                times = []
                before = cpu_seconds(process.pid)
                for _ in range(REQUESTS):
                    begun = time.perf_counter()
                    exchange(connection, message)
                    times.append(time.perf_counter() - begun)
                cpu = (cpu_seconds(process.pid) - before) / REQUESTS
                rounds.append({"cpu_us": cpu * 1e6, "median_us": median(times) * 1e6, "p99_us": float(np.quantile(times, 0.99)) * 1e6})
            # A neighbour can only make a round worse.
            found[name] = min(rounds, key=lambda figures: figures["median_us"])
    stop(process)
    return found


def call_overhead(bundle: Path) -> dict[str, float]:
    """Microseconds of ``session.run`` beside the same runtime called by hand with the same settings, interleaved."""
    manifest = store.read(bundle)
    with Model.open(bundle, threads=manifest.variants[0].plan.threads) as model:
        variant = model.variant
        inner = manifest.signature.fixed(variant.plan.batch) if variant.plan.batch and manifest.signature.batched else manifest.signature
        raw = registry.runtime(variant.plan.runtime).load(bundle / variant.path, inner, variant.plan)
        feeds = zeros(inner.inputs)
        ours: list[float] = []
        theirs: list[float] = []
        deadline = time.perf_counter() + 10
        while len(ours) < 2000 and time.perf_counter() < deadline:
            ours.append(timed(lambda: model.run(feeds)))
            theirs.append(timed(lambda: raw.run(feeds)))
        raw.close()
    return {"session_us": median(ours) * 1e6, "runtime_us": median(theirs) * 1e6, "ratio": median(ours) / median(theirs)}


def timed(call: Callable[[], object]) -> float:
    """Seconds of one call."""
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun


def null_bundle(directory: str) -> Path:
    """The linear map of 12 numbers, as the tests make it."""
    sys.path.insert(0, str(HERE.parent / "tests"))
    import bundles

    return bundles.write_bundle(Path(directory) / "linear")


def main() -> None:
    """Measure, print, write."""
    with tempfile.TemporaryDirectory() as directory:
        null = null_bundle(directory)
        bundle = Path(sys.argv[1]) if len(sys.argv) > 1 else null
        figures = {
            "host": this_host().cpu,
            "python": platform.python_version(),
            "load_average": os.getloadavg()[0],
            "bundle": bundle.name,
            "start": cold_start(bundle),
            "call": call_overhead(bundle),
            "requests": per_request(null),
        }
    print(f"{figures['host']}, Python {figures['python']}, load average {figures['load_average']:.1f}\n")
    for name, row in figures["requests"].items():
        print(f"{name:14} {row['cpu_us']:6.0f} us CPU   median {row['median_us']:6.0f} us   p99 {row['p99_us']:6.0f} us")
    cold, call = figures["start"], figures["call"]
    print(f"\n{bundle.name}: start to ready {cold['ready_s']:.2f} s (aim 1)")
    print(f"resident {cold['rss_mb']:.0f} MiB, peak {cold['peak_mb']:.0f} (aim 200)")
    print(f"session {call['session_us']:.1f} us, its runtime by hand {call['runtime_us']:.1f} us", end="")
    print(f": {call['ratio']:.3f} times, {call['session_us'] - call['runtime_us']:+.1f} us (aim 1.05 times, or 20 us on a tiny model)")
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "serve_overhead.json").write_text(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()

"""What the runtime does by itself, in this process: the least latency and the most calls a second that a server could have.

``python reference.py ONNX SECONDS`` prints JSON: the median milliseconds of a call with 1 thread and with all cores, one caller; and
the calls a second of one session on all cores, and of one session a core with one thread each, whichever way is better.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import onnxruntime


def session(file: Path, threads: int) -> Any:
    """As Roadworthy's runtime opens it: waiting threads do not spin."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])


def calls(one: Any, seconds: float) -> list[float]:
    """Milliseconds of each call until the time is over."""
    given = one.get_inputs()[0]
    feeds = {given.name: np.random.default_rng(0).random((1, *given.shape[1:]), np.float32)}
    for _ in range(5):
        one.run(None, feeds)
    found, end = [], time.perf_counter() + seconds
    while (begun := time.perf_counter()) < end:
        one.run(None, feeds)
        found.append((time.perf_counter() - begun) * 1e3)
    return found


def main(file: Path, seconds: float) -> dict[str, float]:
    cores = len(os.sched_getaffinity(0))
    alone, together = calls(session(file, 1), seconds), calls(session(file, cores), seconds)
    found: list[list[float]] = []
    threads = [threading.Thread(target=lambda: found.append(calls(session(file, 1), seconds))) for _ in range(cores)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {
        "one_thread_ms": median(alone),
        "all_cores_ms": median(together),
        "per_second": max(len(together) / seconds, sum(map(len, found)) / seconds),
    }


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), float(sys.argv[2]))))

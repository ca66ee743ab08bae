"""How well a race detects busy processes: two programs alone, then beside busy processes, and how many of their bursts count as quiet.

``python benchmarks/busy_processes.py`` prints one line for each case. Run it on a quiet machine: alone, both programs should be quiet,
the one whose threads wait for each other too; beside as many busy processes as there are CPUs, neither should be.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np

from roadworthy.build.benchmark import contention
from roadworthy.build.benchmark.bursts import verdicts
from roadworthy.build.benchmark.contention import Disturbance

BURSTS, SECONDS = 40, 0.03
THREADS = 2 * len(os.sched_getaffinity(0))
POOL, VALUES = ThreadPoolExecutor(THREADS), np.ones(300_000)


def single() -> None:
    """One thread."""
    sum(range(2000))


def crowded() -> None:
    """More threads than CPUs, which wait for each other; NumPy releases the interpreter lock meanwhile."""
    deque(POOL.map(np.sqrt, [VALUES] * THREADS), maxlen=0)


def burst(call: Callable[[], None]) -> Disturbance:
    """Calls for ``SECONDS``, and what disturbed them."""
    before, until = contention.read(), time.perf_counter() + SECONDS
    while time.perf_counter() < until:
        call()
    return contention.between(before, contention.read())


@contextmanager
def busy_processes(count: int) -> Iterator[None]:
    """So many busy processes while the block runs."""
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        time.sleep(0.3)
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()


def main() -> None:
    """Both programs beside each number of busy processes."""
    for count in (0, 1, len(os.sched_getaffinity(0))):
        for call in (single, crowded):
            with busy_processes(count):
                found = [(call.__name__, burst(call)) for _ in range(BURSTS)]
            waited = [one.waited for _, one in found if one.waited is not None]
            others = [one.others for _, one in found if one.others is not None]
            shown = f"waited {np.median(waited):.2f}, others {np.mean(others):.2f} of a CPU" if waited and others else "not counted here"
            print(f"{call.__name__:8} beside {count} busy: {sum(verdicts(found))} of {BURSTS} bursts quiet ({shown})")


if __name__ == "__main__":
    main()

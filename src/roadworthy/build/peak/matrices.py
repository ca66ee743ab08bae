"""The host's peak: a chain of large matrix multiplications, by every runtime that has a module of its own here."""

from __future__ import annotations

import importlib
import pkgutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from roadworthy.bundle.peak import MatrixPeak
from roadworthy.core import registry
from roadworthy.core.bootstrap import SEED, medians
from roadworthy.core.errors import BackendMissing, RoadworthyError
from roadworthy.core.evidence import Interval
from roadworthy.core.stages import Precision
from roadworthy.core.types import Array

DEPTH = 8
"""Multiplications in a row: what converts the input once costs little beside them."""
SMALL, LARGE, MANY_THREADS = 512, 1024, 8
"""Rows and columns of the matrices; large ones where many threads share them."""
FEWEST_CALLS, MOST_CALLS = 3, 200
COPIED_BYTES, COPIES = 2**27, 5


@dataclass(frozen=True)
class PeakRequest:
    """Multiply in ``precision`` on ``threads`` threads for about ``seconds``."""

    precision: Precision
    threads: int
    seconds: float


@dataclass(frozen=True)
class Multiplication:
    """What a runtime's module gives: one call of it multiplies ``DEPTH`` matrices [size, size]. ``kernel`` names the code that runs."""

    call: Callable[[Array], object]
    kernel: str


def measure(request: PeakRequest) -> MatrixPeak:
    """A step: the fastest runtime's figure. Raises its error where none multiplies in that precision here, BackendMissing without any."""
    size = LARGE if request.threads > MANY_THREADS else SMALL
    found: list[MatrixPeak] = []
    problem: RoadworthyError = BackendMissing("no runtime that measures a peak is installed")
    for name in _runtimes():
        try:
            registry.runtime(name)
            made: Multiplication = importlib.import_module(f"{__package__}.{name}").multiplication(request.precision, request.threads, size)
        except RoadworthyError as failed:
            problem = failed
            continue
        rates = 2 * DEPTH * size**3 / np.array(_seconds(made, size, request.seconds)) / 1e9
        found.append(MatrixPeak(request.precision, request.threads, _median(rates), float(rates.max()), f"{name} {made.kernel}"))
    if not found:
        raise problem
    return max(found, key=lambda one: one.best)


def copied() -> Interval:
    """The memory bandwidth of one thread in GB/s: a large array is copied, which reads and writes each byte once."""
    source, target = np.ones(COPIED_BYTES, np.uint8), np.empty(COPIED_BYTES, np.uint8)
    np.copyto(target, source)
    rates = []
    for _ in range(COPIES):
        begun = time.perf_counter()
        np.copyto(target, source)
        rates.append(2 * COPIED_BYTES / (time.perf_counter() - begun) / 1e9)
    return _median(np.array(rates))


def _runtimes() -> list[str]:
    here = {module.name for module in pkgutil.iter_modules([str(Path(__file__).parent)])}
    return sorted(here.intersection(registry.names(registry.RUNTIMES)))


def _seconds(made: Multiplication, size: int, wanted: float) -> list[float]:
    """What each call took, after a first one."""
    given = np.random.default_rng(0).random((size, size), np.float32)
    made.call(given)
    seconds: list[float] = []
    while len(seconds) < FEWEST_CALLS or (sum(seconds) < wanted and len(seconds) < MOST_CALLS):
        begun = time.perf_counter()
        made.call(given)
        seconds.append(time.perf_counter() - begun)
    return seconds


def _median(rates: Array) -> Interval:
    low, high = np.quantile(medians(rates, SEED), [0.025, 0.975])
    return Interval(float(np.median(rates)), float(low), float(high))

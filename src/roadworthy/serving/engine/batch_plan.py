"""How one model uses the cores of the host: engines, threads and samples a call, measured in the process that will serve it."""

from __future__ import annotations

import time
from statistics import median

import msgspec
import numpy as np

from roadworthy.core.host import usable_cores
from roadworthy.core.types import Arrays
from roadworthy.serving.engine.local import LocalEngine

GAIN = 1.15
"""A larger batch, or more threads, must be this many times as fast; otherwise the simpler plan is taken."""

LONGEST_CALL_SECONDS = 0.25
"""The longest time that a call of several samples may take: a request that comes just after its start waits for all of it."""
BATCHES = (2, 4, 8, 16, 32)
BUDGET_SECONDS = 0.4
"""The most time that measuring the batches of one model may take."""


class BatchPlan(msgspec.Struct, frozen=True):
    """In each worker ``instances`` engines, each on ``threads`` threads, up to ``batch`` samples a call.

    ``seconds`` holds what a call took, by its samples, where that was measured.
    """

    instances: int = 1
    threads: int = 1
    batch: int = 1
    seconds: dict[int, float] = {}


def share(processes: int) -> int:
    """The cores that one of ``processes`` workers has: an equal share of the host's, one at least."""
    return max(1, usable_cores() // processes)


def one_is_enough(single: LocalEngine, several: LocalEngine, feeds: Arrays) -> bool:
    """Whether to serve with ``single``, on one thread: more threads must be ``GAIN`` times as fast to be used.

    A worker never gets more than its share of the cores. With the cores of an idle neighbour, ResNet-18 in float32 was 1.6 to 1.9 times
    as fast; when both workers were busy, this cost 6 to 17 % of the requests a second. ``--threads`` overrides the share.
    """
    return _call_seconds(single, feeds, 1) < GAIN * _call_seconds(several, feeds, 1)


def batches(engine: LocalEngine, feeds: Arrays, longest: float) -> tuple[int, dict[int, float]]:
    """The samples of one call that answer most samples a second, and the seconds of each size tried with ``feeds``, repeated.

    No size whose call takes longer than ``longest`` seconds; 1 where no size gains ``GAIN`` over single calls. ResNet-18 in float32
    gains nothing, tiny networks gain up to four times.
    """
    signature = engine.signature
    seconds = {1: _call_seconds(engine, feeds, 1)}
    if not signature.batched or engine.variant.plan.batch is not None or signature.call_size(1) != 1:
        return 1, seconds
    begun = time.perf_counter()
    for size in BATCHES:
        if signature.call_size(size) != size or time.perf_counter() - begun > BUDGET_SECONDS or 2 * max(seconds.values()) > longest:
            break
        seconds[size] = _call_seconds(engine, feeds, size)
    gains = {size: size * seconds[1] / took for size, took in seconds.items() if took <= longest or size == 1}
    best = max(gains.values())
    if best < GAIN:
        return 1, seconds
    return min(size for size, gain in gains.items() if gain > 0.95 * best), seconds


def _call_seconds(engine: LocalEngine, feeds: Arrays, samples: int) -> float:
    """Seconds of one call with that many samples: the median of up to nine calls, of one call if that is long."""
    samples = engine.signature.call_size(samples)
    repeated = engine.signature.to_call({name: np.resize(array, (samples, *array.shape[1:])) for name, array in feeds.items()})
    times: list[float] = []
    while len(times) < 9 and sum(times) < 0.03:
        begun = time.perf_counter()
        engine.run(repeated)
        times.append(time.perf_counter() - begun)
    return median(times[1:] or times)

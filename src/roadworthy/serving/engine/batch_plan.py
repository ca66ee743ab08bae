"""How one model uses the host's cores: instances, threads and samples a call, measured where it will answer."""

from __future__ import annotations

import time
from statistics import median

import msgspec
import numpy as np

from roadworthy.core.host import usable_cores
from roadworthy.core.types import Arrays
from roadworthy.serving.engine.model import Model

GAIN = 1.15
"""A larger batch, or a second thread for each sample's share, has to be worth as much; below it the simpler plan is taken."""

LONGEST = 0.25
"""Seconds that a call of several samples may take: whoever comes just after its start waits for all of it."""
BATCHES = (2, 4, 8, 16, 32)
BUDGET = 0.4
"""Seconds that measuring one model's batches may take."""


class Plan(msgspec.Struct, frozen=True):
    """In each worker ``instances`` answer at a time, each on ``threads`` threads, up to ``batch`` samples a call.

    ``seconds`` is what a call took by its samples, where it was measured.
    """

    instances: int = 1
    threads: int = 1
    batch: int = 1
    seconds: dict[int, float] = {}


def share(processes: int, certified: int) -> int:
    """The threads of a model in one of ``processes`` workers: the host's cores shared out, and no more than were certified."""
    return max(1, min(certified, usable_cores() // processes))


def one_is_enough(alone: Model, model: Model, feeds: Arrays) -> bool:
    """Whether ``alone``, on one thread, is the one to serve with: more threads have to gain ``GAIN`` to be worth it.

    A worker never gets more than its share of the cores. Borrowed from a neighbour they made ResNet-18 in float32 1.6 to 1.9 times as
    fast while that idled, and cost 6 to 17 % of the requests a second when both were busy; ``--threads`` is for who wants that.
    """
    return _call(alone, feeds, 1) < GAIN * _call(model, feeds, 1)


def batches(model: Model, feeds: Arrays, most: float) -> tuple[int, dict[int, float]]:
    """The samples of one call that answer most samples a second, and the seconds of every size tried with ``feeds``, repeated.

    None that takes longer than ``most`` seconds; 1 where nothing gains ``GAIN`` over single calls. ResNet-18 in float32 gains
    nothing, tiny networks up to four times.
    """
    signature = model.signature
    seconds = {1: _call(model, feeds, 1)}
    if not signature.batched or model.variant.plan.batch is not None or signature.call_size(1) != 1:
        return 1, seconds
    begun = time.perf_counter()
    for size in BATCHES:
        if signature.call_size(size) != size or time.perf_counter() - begun > BUDGET or 2 * max(seconds.values()) > most:
            break
        seconds[size] = _call(model, feeds, size)
    gains = {size: size * seconds[1] / took for size, took in seconds.items() if took <= most or size == 1}
    best = max(gains.values())
    if best < GAIN:
        return 1, seconds
    return min(size for size, gain in gains.items() if gain > 0.95 * best), seconds


def _call(model: Model, feeds: Arrays, samples: int) -> float:
    """Seconds of one call with so many samples: the median of a few, of one if that is long."""
    samples = model.signature.call_size(samples)
    repeated = model.signature.to_call({name: np.resize(array, (samples, *array.shape[1:])) for name, array in feeds.items()})
    times: list[float] = []
    while len(times) < 9 and sum(times) < 0.03:
        begun = time.perf_counter()
        model.run(repeated)
        times.append(time.perf_counter() - begun)
    return median(times[1:] or times)

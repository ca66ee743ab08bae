"""A few calls of a candidate in the process that verifies it: enough to see that it is far too slow to be chosen, and no more."""

from __future__ import annotations

import time
from dataclasses import dataclass

from roadworthy.build.verify import feeding
from roadworthy.build.verify.trial import say
from roadworthy.core.evidence import FirstLook
from roadworthy.core.samples import SampleSet
from roadworthy.core.types import Signature
from roadworthy.runtimes import CheckedSession

FEWEST, MOST, SECONDS = 4, 30, 0.3
"""Calls of each size; the first of them warms up. A fast candidate makes the most of them, a slow one stops after these seconds."""
FACTOR = 2.0
"""A candidate leaves where it would take more than this many times as long as another that can take its place.

Two candidates are looked at while others run beside them, on a machine that may be busy, and not at the same time. The shortest time
of the faster one, by the clock, is at least what it needs alone. The time of the slower one is what its threads computed, each on its
own core, and a wait for a core is not in it. What is in it is a core that is shared with a second hardware thread, which slows both by up
to 1.7 times, and caches and a clock frequency that others take a part of. Twice as long is beyond that. The race of what is left decides
about everything closer.
"""
CLOSE = 0.1
"""So few ms more are left to the race: two clocks and a switch of threads are a part of so short a time."""


@dataclass(frozen=True)
class Leader:
    """The fastest verified candidate that can take the place of the one that is looked at: its plan's name, and its ms a sample."""

    plan: str
    ms: float


def look(session: CheckedSession, signature: Signature, samples: SampleSet, sizes: tuple[int, ...], threads: int) -> FirstLook | None:
    """The shortest calls of ``sizes`` samples, of the size at which a sample takes least; ``None`` without sizes."""
    looks = [_look(session, signature, samples, size, threads) for size in dict.fromkeys(map(signature.call_size, sizes))]
    return min(looks, key=lambda one: one.ms, default=None)


def too_slow(found: FirstLook | None, leader: Leader | None) -> str:
    """Why a candidate leaves before it is scored; empty where it stays."""
    if found is None or leader is None or found.least <= FACTOR * leader.ms + CLOSE:
        return ""
    return (
        f"too slow to be chosen, so it was not scored: at first sight a sample took at least {found.least:.3g} ms, and it takes "
        f"{leader.ms:.3g} ms with {leader.plan}, which can do all that this one can"
    )


def _look(session: CheckedSession, signature: Signature, samples: SampleSet, size: int, threads: int) -> FirstLook:
    feeds = feeding.first_call(signature, samples, size)
    say(size)
    shortest = least = float("inf")
    began = time.perf_counter()
    for number in range(MOST):
        clock, computed = time.perf_counter_ns(), time.process_time_ns()
        session.run(feeds)
        clock, computed = time.perf_counter_ns() - clock, time.process_time_ns() - computed
        if number > 0:
            shortest, least = min(shortest, clock), min(least, clock, computed / threads)
        if number + 1 >= FEWEST and time.perf_counter() - began > SECONDS:
            break
    return FirstLook(shortest / 1e6 / size, least / 1e6 / size)

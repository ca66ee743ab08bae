"""Which bursts of calls other processes disturbed, judged over all bursts of a benchmark together.

A burst in which no thread waited for a CPU is quiet. In any other burst the threads waited either for each other, which is the
program's own behaviour on any host, or for another process, which is a disturbance. Two facts tell these apart: how much of the CPUs
other processes used in the second around the burst, and how long the same program waits in other bursts. A burst with waiting
is quiet only if other processes used almost nothing in that second and the program waited no longer than it usually does.

Example: a Keras call whose threads wait for 6 % of every burst is quiet while other processes use 0.02 of a CPU. A burst of the same
call that waits for 40 % is disturbed, although the host's counters, averaged over a second, still show almost nothing.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np

from roadworthy.build.benchmark.contention import Disturbance
from roadworthy.core.types import Array

WAITED_LIMIT = 0.05
"""The share of the elapsed time that threads may always wait."""
OTHERS_LIMIT = 0.2
"""How much of one CPU other processes may use. Smaller amounts are within the error of counters that are sampled for one second."""
WINDOW, LEAST_WINDOW = 1.0, 0.25
"""Seconds of bursts over which the CPU time of other processes is averaged, and the least that is enough for an average."""
UNUSUAL = 1.5
"""A wait this many times as long as the program's median wait is not the program's own."""

KeyedDisturbance = tuple[Hashable, Disturbance]


class Bursts:
    """All bursts of one benchmark in the order in which they ran; the ``key`` of a burst names its program and batch size."""

    def __init__(self) -> None:
        self._entries: list[KeyedDisturbance] = []
        self._quiet: tuple[bool, ...] = ()

    def add(self, key: Hashable, disturbance: Disturbance) -> int:
        """Record a burst and return its number."""
        self._entries.append((key, disturbance))
        return len(self._entries) - 1

    def quiet(self, number: int) -> bool:
        """Whether that burst was quiet as far as is known now: later bursts can change the answer."""
        if len(self._quiet) != len(self._entries):
            self._quiet = verdicts(self._entries)
        return self._quiet[number]


def verdicts(entries: Sequence[KeyedDisturbance]) -> tuple[bool, ...]:
    """For each burst, in the order in which they ran, whether no other process disturbed it."""
    others = _others([disturbance for _, disturbance in entries])
    idle_others = [bool(abs(share) <= OTHERS_LIMIT) for share in others]
    usual = _usual_waits(entries, idle_others)
    return tuple(_quiet(one, idle, usual.get(key, 0.0)) for (key, one), idle in zip(entries, idle_others, strict=True))


def _quiet(one: Disturbance, others_idle: bool, usual: float) -> bool:
    if one.stolen_from:
        return False
    if one.waited is None:
        return others_idle or not one.switched
    return one.waited <= WAITED_LIMIT or (others_idle and one.waited <= WAITED_LIMIT + UNUSUAL * usual)


def _others(disturbances: Sequence[Disturbance]) -> Array:
    """How many CPUs other processes used around each burst; NaN where that is not known.

    A share far below zero comes from a counter that does not include this process, as in a container with its own counters. Its
    absolute value exceeds the limit, so that such a counter never makes a burst quiet.
    """
    seconds = np.array([one.seconds for one in disturbances])
    used = np.array([np.nan if one.others is None else one.others * one.seconds for one in disturbances])
    ends = np.concatenate([[0.0], np.cumsum(seconds)])
    if ends[-1] < LEAST_WINDOW:
        return np.full(len(seconds), np.nan)
    middle = (ends[1:] + ends[:-1]) / 2
    start = np.clip(middle - WINDOW / 2, 0.0, max(ends[-1] - WINDOW, 0.0))
    first = np.searchsorted(ends, start, side="right") - 1
    last = np.searchsorted(ends, np.minimum(start + WINDOW, ends[-1]), side="left")
    sums = np.concatenate([[0.0], np.cumsum(used)])
    return np.asarray((sums[last] - sums[first]) / (ends[last] - ends[first]))


def _usual_waits(entries: Sequence[KeyedDisturbance], idle_others: Sequence[bool]) -> dict[Hashable, float]:
    """For each program the median share that it waited while other processes were idle."""
    found: dict[Hashable, list[float]] = {}
    for (key, one), idle in zip(entries, idle_others, strict=True):
        if idle and one.waited is not None:
            found.setdefault(key, []).append(one.waited)
    return {key: float(np.median(shares)) for key, shares in found.items()}

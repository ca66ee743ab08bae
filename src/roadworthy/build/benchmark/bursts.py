"""Which bursts of calls other processes disturbed, judged over all bursts of a measurement together.

A burst in which no thread waited for a CPU is quiet. In any other one the threads may have waited for each other, which belongs
to the program and happens wherever it runs, or for another process, which does not. Two facts tell these apart: what other
processes used of the CPUs in the second around the burst, and how long the same program waits in other bursts. Only a burst in
a second that belonged to the program, and in which it waited no longer than is usual for it, is quiet as well.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np

from roadworthy.build.benchmark.contention import Disturbance
from roadworthy.core.types import Array

WAITED_LIMIT = 0.05
"""The share of the elapsed time that threads may wait in any case."""
OTHERS_LIMIT = 0.2
"""How much of one CPU other processes may use: below it the sampled counters of one second cannot be told from none."""
WINDOW, LEAST_WINDOW = 1.0, 0.25
"""Seconds of bursts over which the CPU time of other processes is averaged; with fewer than the least nothing is known of them."""
UNUSUAL = 1.5
"""A wait of so many times what is usual for the program is not its own."""

Noted = tuple[Hashable, Disturbance]


class Bursts:
    """All bursts of one measurement in the order in which they ran; ``key`` says of which program and batch size."""

    def __init__(self) -> None:
        self._entries: list[Noted] = []
        self._quiet: tuple[bool, ...] = ()

    def add(self, key: Hashable, disturbance: Disturbance) -> int:
        """Record a burst; its number."""
        self._entries.append((key, disturbance))
        return len(self._entries) - 1

    def quiet(self, number: int) -> bool:
        """Whether that burst was quiet, by all that is known now: later bursts can change the answer."""
        if len(self._quiet) != len(self._entries):
            self._quiet = verdicts(self._entries)
        return self._quiet[number]


def verdicts(entries: Sequence[Noted]) -> tuple[bool, ...]:
    """For each burst, in the order in which they ran, whether no other process disturbed it."""
    others = _others([disturbance for _, disturbance in entries])
    calm = [bool(abs(share) <= OTHERS_LIMIT) for share in others]
    usual = _usual(entries, calm)
    return tuple(_quiet(one, alone, usual.get(key, 0.0)) for (key, one), alone in zip(entries, calm, strict=True))


def _quiet(one: Disturbance, calm: bool, usual: float) -> bool:
    if one.robbed:
        return False
    if one.waited is None:
        return calm or not one.switched
    return one.waited <= WAITED_LIMIT or (calm and one.waited <= WAITED_LIMIT + UNUSUAL * usual)


def _others(disturbances: Sequence[Disturbance]) -> Array:
    """What other processes used around each burst, in CPUs; NaN where it is not known.

    A share far below zero is a counter that does not count this process (a container with counters of its own): it exceeds the
    limit as a share far above zero does.
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


def _usual(entries: Sequence[Noted], calm: Sequence[bool]) -> dict[Hashable, float]:
    """For each program the median of what it waited in bursts with the CPUs to itself."""
    found: dict[Hashable, list[float]] = {}
    for (key, one), alone in zip(entries, calm, strict=True):
        if alone and one.waited is not None:
            found.setdefault(key, []).append(one.waited)
    return {key: float(np.median(shares)) for key, shares in found.items()}

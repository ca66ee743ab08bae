"""Whether a stretch of time was this process's own: a busy neighbour can make any contestant look a hundred times slower."""

from __future__ import annotations

import os
import resource
import time
from dataclasses import dataclass

WAITED_LIMIT = 0.05
SWITCHES_PER_SECOND = 50.0
STOLEN_LIMIT = 0.10
_TICK = 1 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Reading:
    """Counters of this process at one moment, in seconds; ``None`` for what this system does not count.

    ``waited`` is how long its threads were ready to run and had no CPU, ``stolen`` what the hypervisor took from
    the machine, ``switches`` how often a thread was put aside for another.
    """

    wall: float
    waited: float | None
    stolen: float | None
    switches: int


@dataclass(frozen=True)
class Disturbance:
    """What came between: shares of the elapsed time, and the involuntary context switches."""

    seconds: float
    waited: float | None
    stolen: float | None
    switches: int

    @property
    def quiet(self) -> bool:
        """Whether a timing taken meanwhile can be believed.

        The time spent waiting for a CPU decides; where it is not counted, the switches do. Stolen time is
        counted in ticks, so that a single one says nothing.
        """
        if self.stolen is not None and self.stolen > STOLEN_LIMIT and self.stolen * self.seconds >= 2 * _TICK:
            return False
        if self.waited is not None:
            return self.waited <= WAITED_LIMIT
        return self.switches <= 2 + SWITCHES_PER_SECOND * self.seconds


def read() -> Reading:
    """The counters now; costs some tens of microseconds."""
    return Reading(time.perf_counter(), _waited(), _stolen(), resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw)


def between(before: Reading, after: Reading) -> Disturbance:
    """What happened from ``before`` to ``after``."""
    seconds = max(after.wall - before.wall, 1e-9)
    waited = None if before.waited is None or after.waited is None else max(after.waited - before.waited, 0.0) / seconds
    stolen = None if before.stolen is None or after.stolen is None else (after.stolen - before.stolen) / seconds
    return Disturbance(seconds, waited, stolen, after.switches - before.switches)


def _waited() -> float | None:
    """The run delay of every thread (second field of Linux's schedstat, nanoseconds)."""
    total, seen = 0, False
    try:
        for thread in os.listdir("/proc/self/task"):  # noqa: PTH208  (this is on the clock)
            try:
                with open(f"/proc/self/task/{thread}/schedstat", "rb") as file:
                    total += int(file.read().split()[1])
                    seen = True
            except (FileNotFoundError, ProcessLookupError):
                continue
    except (OSError, IndexError, ValueError):
        return None
    # A kernel without scheduler statistics has the file, and zeros in it.
    return total / 1e9 if seen and total else None


def _stolen() -> float | None:
    try:
        with open("/proc/stat", "rb") as file:
            return int(file.readline().split()[8]) * _TICK
    except (OSError, IndexError, ValueError):
        return None

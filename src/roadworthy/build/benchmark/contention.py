"""What happened on the CPUs during a burst of calls: counters of this process and of the host, read before and after.

Two counters are needed, because neither is enough alone. How long threads of this process were ready and had no CPU is exact to the
nanosecond, but it does not tell what they waited for: threads of one process wait for each other too (an inter-op pool that wakes
its caller, four threads on two cores). What other processes used of the CPUs is in ``/proc/stat``, but in ticks of 10 ms that the
kernel samples, so that the value for one burst of 30 ms is inexact. ``bursts`` combines the two over many bursts.
"""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Iterable
from dataclasses import dataclass

SWITCHES_PER_SECOND = 50.0
STOLEN_LIMIT = 0.10
TICK = 1 / os.sysconf("SC_CLK_TCK")
_USER, _NICE, _SYSTEM, _IRQ, _SOFTIRQ, _STEAL = 0, 1, 2, 5, 6, 7
_BUSY = (_USER, _NICE, _SYSTEM, _IRQ, _SOFTIRQ)


@dataclass(frozen=True)
class CpuCounters:
    """Counters at one moment, in seconds; ``None`` for what this system does not count.

    ``own`` is the CPU time of this process, ``waited`` how long its threads were ready to run and had no CPU, ``switches`` how
    often the kernel replaced one by another thread. ``busy`` is what all processes of the host have used of the CPUs that this
    process may use, ``stolen`` what the hypervisor took from those CPUs.
    """

    wall: float
    own: float
    waited: float | None
    busy: float | None
    stolen: float | None
    switches: int


@dataclass(frozen=True)
class Disturbance:
    """What happened between two readings of the counters, ``seconds`` apart.

    ``waited``, ``others`` and ``stolen`` are shares of the elapsed time, summed over threads or CPUs, so that 1 is one thread or
    one CPU all the time. ``others`` is what other processes used of this one's CPUs; over a short burst it is
    a rough estimate and can be negative. ``switches`` counts involuntary context switches.
    """

    seconds: float
    waited: float | None
    others: float | None
    stolen: float | None
    switches: int

    @property
    def stolen_from(self) -> bool:
        """Whether the hypervisor took so much CPU time that the timing is not the program's. A single tick is not enough to tell."""
        return self.stolen is not None and self.stolen > STOLEN_LIMIT and self.stolen * self.seconds >= 2 * TICK

    @property
    def switched(self) -> bool:
        """Whether there were more involuntary switches than in a process that has its CPUs alone."""
        return self.switches > 2 + SWITCHES_PER_SECOND * self.seconds


def read() -> CpuCounters:
    """The counters now; costs some tens of microseconds."""
    busy, stolen = _of_the_host()
    return CpuCounters(
        time.perf_counter(), time.process_time(), _waited(), busy, stolen, resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw
    )


def between(before: CpuCounters, after: CpuCounters) -> Disturbance:
    """What happened from ``before`` to ``after``."""
    seconds = max(after.wall - before.wall, 1e-9)
    waited = _share(before.waited, after.waited, seconds)
    busy = _share(before.busy, after.busy, seconds)
    others = None if busy is None else busy - (after.own - before.own) / seconds
    stolen = _share(before.stolen, after.stolen, seconds)
    return Disturbance(seconds, None if waited is None else max(waited, 0.0), others, stolen, after.switches - before.switches)


def host_seconds(lines: Iterable[bytes], cpus: Iterable[int]) -> tuple[float | None, float | None]:
    """Busy and stolen seconds of ``cpus`` since the host started, from the lines of ``/proc/stat``; ``None`` where those are not in it."""
    wanted = {b"cpu%d" % number for number in cpus}
    ticks = [[int(value) for value in fields[1:]] for line in lines if (fields := line.split()) and fields[0] in wanted]
    if not ticks or any(len(fields) <= _STEAL for fields in ticks):
        return None, None
    return sum(fields[index] for fields in ticks for index in _BUSY) * TICK, sum(fields[_STEAL] for fields in ticks) * TICK


def _share(before: float | None, after: float | None, seconds: float) -> float | None:
    return None if before is None or after is None else (after - before) / seconds


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


def _of_the_host() -> tuple[float | None, float | None]:
    try:
        with open("/proc/stat", "rb") as file:
            return host_seconds(file, os.sched_getaffinity(0))
    except (OSError, ValueError, AttributeError):
        return None, None

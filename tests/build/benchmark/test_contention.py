"""The counters of a process and of its host: what other processes used of the CPUs is what the host counts and the process does not."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from roadworthy.build.benchmark.contention import CpuCounters, Disturbance, between, host_seconds

BEFORE = CpuCounters(wall=10.0, own=3.0, waited=1.0, busy=100.0, stolen=2.0, switches=5)
STAT = b"""\
cpu  33587 10 7516 79206 577 1 105 553 7 0
cpu0 10033 4 2506 47748 149 1 12 296 3 0
cpu1 23554 6 5009 31457 427 0 93 257 4 0
cpu10 1 1 1 1 1 1 1 1 1 1
intr 5028 0 0 9
ctxt 1990473
"""


def test_only_the_cpus_that_the_process_may_use_are_counted() -> None:
    tick = 1 / os.sysconf("SC_CLK_TCK")
    busy, stolen = host_seconds(STAT.splitlines(), {0})
    # Time of guests (the ninth field) is in the user's already; waiting for a disk uses no CPU.
    assert busy == pytest.approx((10033 + 4 + 2506 + 1 + 12) * tick) and stolen == pytest.approx(296 * tick)
    both, _ = host_seconds(STAT.splitlines(), {0, 1})
    assert both == pytest.approx(busy + (23554 + 6 + 5009 + 0 + 93) * tick)
    assert host_seconds(STAT.splitlines(), {7}) == (None, None)
    assert host_seconds([b"cpu0 1 2 3"], {0}) == (None, None)


def test_what_others_used_is_what_is_left_of_the_hosts_time() -> None:
    own_threads = between(BEFORE, CpuCounters(11.0, 4.9, 1.6, 101.9, 2.0, 900))
    assert (own_threads.others, own_threads.waited) == (pytest.approx(0.0, abs=1e-6), pytest.approx(0.6))
    other_process = between(BEFORE, CpuCounters(11.0, 4.0, 1.6, 101.9, 2.0, 900))
    assert other_process.others == pytest.approx(0.9)
    assert between(BEFORE, CpuCounters(11.0, 4.0, 1.6, None, None, 900)).others is None


@pytest.mark.parametrize(
    ("seconds", "stolen", "stolen_from"),
    [(0.05, 0.2, False), (1.0, 0.4, True), (1.0, 0.05, False), (1.0, None, False)],
)
def test_a_hypervisor_that_takes_the_cpu_is_seen_above_the_grain_of_its_clock(
    seconds: float, stolen: float | None, stolen_from: bool
) -> None:
    assert Disturbance(seconds, 0.0, 0.0, stolen, 0).stolen_from is stolen_from


def test_the_counters_of_this_process_go_up() -> None:
    """Real counters: what a process uses is in its own and, where the host counts, in the host's."""
    watched = (
        "import time\nfrom roadworthy.build.benchmark import contention\n"
        "before = contention.read()\nuntil = time.process_time() + 0.4\n"
        "while time.process_time() < until: pass\n"
        "after = contention.read()\n"
        "print(after.own - before.own, (after.busy or 0) - (before.busy or 0), before.busy is None)\n"
    )
    own, busy, unknown = subprocess.run([sys.executable, "-c", watched], capture_output=True, text=True, check=True).stdout.split()
    assert float(own) >= 0.4
    assert unknown == "True" or float(busy) >= 0

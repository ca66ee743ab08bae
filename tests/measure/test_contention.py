"""A busy neighbour is seen; a lonely process is quiet."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from roadworthy.build.measure.contention import Disturbance, Reading, between

LONE = Reading(wall=10.0, waited=1.0, stolen=2.0, switches=5)


@pytest.mark.parametrize(
    ("after", "quiet"),
    [
        (Reading(10.05, 1.0005, 2.0, 6), True),
        (Reading(10.05, 1.0100, 2.0, 6), False),  # a fifth of the time without a CPU
        (Reading(10.05, 1.0, 2.01, 5), True),  # one tick of stolen time is the grain of the clock
        (Reading(11.00, 1.0, 2.40, 5), False),
        (Reading(10.05, None, None, 8), True),
        (Reading(10.05, None, None, 40), False),
    ],
)
def test_what_counts_as_quiet(after: Reading, quiet: bool) -> None:
    assert between(LONE, after).quiet is quiet


def test_a_neighbour_on_the_same_cpu_is_seen() -> None:
    """Two processes on one CPU: whatever this kernel counts, it must show."""
    cpu = min(os.sched_getaffinity(0))
    busy = f"import os\nos.sched_setaffinity(0, {{{cpu}}})\nprint(flush=True)\nwhile True: pass\n"
    watched = (
        f"import os, time\nos.sched_setaffinity(0, {{{cpu}}})\n"
        "from roadworthy.build.measure import contention\n"
        "before = contention.read()\n"
        "until = time.process_time() + 0.3\n"
        "while time.process_time() < until: pass\n"
        "print(contention.between(before, contention.read()).quiet)\n"
    )
    with subprocess.Popen([sys.executable, "-c", busy], stdout=subprocess.PIPE) as neighbour:
        assert neighbour.stdout is not None
        neighbour.stdout.readline()
        try:
            said = subprocess.run([sys.executable, "-c", watched], capture_output=True, text=True, check=True).stdout
        finally:
            neighbour.kill()
    assert said.strip() == "False"


def test_a_disturbance_is_plain_data() -> None:
    assert Disturbance(1.0, 0.0, None, 0).quiet

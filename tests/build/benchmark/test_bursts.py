"""A disturbance by another process is distinguished from threads that wait for each other, on recorded counters."""

from __future__ import annotations

import subprocess
import sys

from roadworthy.build.benchmark import bursts
from roadworthy.build.benchmark.bursts import Bursts
from roadworthy.build.benchmark.contention import Disturbance


def burst(waited: float | None, others: float | None = 0.02, *, seconds: float = 0.03, switches: int = 0) -> Disturbance:
    return Disturbance(seconds, waited, others, 0.0, switches)


def quiet(*entries: tuple[str, Disturbance]) -> list[bool]:
    return list(bursts.verdicts(entries))


def test_a_program_that_waits_for_its_own_threads_is_quiet_on_a_quiet_host() -> None:
    # A Keras call, then a tf.function, as recorded with the machine to themselves.
    for shares in ([0.053, 0.07, 0.061, 0.058, 0.066] * 4, [0.58, 0.68, 0.61, 0.64, 0.6] * 4):
        others = [0.2, -0.25, 0.1, -0.05, 0.0] * 4
        assert all(quiet(*(("call", burst(share, used)) for share, used in zip(shares, others, strict=True))))


def test_the_same_waiting_is_not_quiet_where_other_processes_use_the_cpus() -> None:
    for shares in ([0.53, 0.57, 0.52, 0.54, 0.56] * 8, [1.4, 1.6, 1.8, 1.5, 1.7] * 8):
        others = [0.9, 0.3, 0.6, 0.4, 0.8] * 8
        assert not any(quiet(*(("call", burst(share, used)) for share, used in zip(shares, others, strict=True))))


def test_a_program_that_never_waits_is_quiet_beside_a_busy_process() -> None:
    """Each has its own core, so the other process takes nothing away."""
    assert all(quiet(*(("call", burst(0.004, 1.0)) for _ in range(40))))


def test_a_short_disturbance_is_detected_by_an_unusual_wait() -> None:
    """Too short for the host's counters: but the program waits three times as long as it does otherwise."""
    for usual, unusual in ((0.0, 0.4), (0.06, 0.4), (0.6, 1.4)):
        entries = [("call", burst(usual)) for _ in range(40)]
        entries[20] = ("call", burst(unusual, 0.5))
        assert [index for index, undisturbed in enumerate(quiet(*entries)) if not undisturbed] == [20]


def test_what_is_usual_is_known_for_each_program_and_batch_size() -> None:
    entries = [(key, burst(share)) for _ in range(20) for key, share in (("threads", 0.6), ("single", 0.0))]
    entries.append(("single", burst(0.6)))
    assert quiet(*entries) == [True] * 40 + [False]


def test_a_process_that_ends_disturbs_only_while_it_runs() -> None:
    found = quiet(*[("call", burst(0.6, 1.0)) for _ in range(60)], *[("call", burst(0.6)) for _ in range(60)])
    assert not any(found[:40]) and all(found[80:])


def test_without_the_hosts_counters_only_what_never_waits_is_quiet() -> None:
    assert quiet(*(("call", burst(0.06, None)) for _ in range(40))) == [False] * 40
    assert quiet(*(("call", burst(0.04, None)) for _ in range(40))) == [True] * 40
    # Counters of a container that does not see this process say less than nothing is used.
    assert quiet(*(("call", burst(0.06, -1.0)) for _ in range(40))) == [False] * 40


def test_few_bursts_are_not_enough_to_know_what_others_use() -> None:
    assert quiet(*(("call", burst(0.06)) for _ in range(3))) == [False] * 3
    assert quiet() == []


def test_without_the_time_waited_the_switches_decide_unless_the_cpus_were_the_programs_own() -> None:
    assert all(quiet(*(("call", burst(None, switches=100)) for _ in range(40))))
    assert not any(quiet(*(("call", burst(None, 1.0, switches=100)) for _ in range(40))))
    assert all(quiet(*(("call", burst(None, None, switches=2)) for _ in range(40))))


def test_later_bursts_can_change_what_is_known() -> None:
    seen = Bursts()
    first = seen.add("call", burst(0.6))
    assert not seen.quiet(first)
    for _ in range(20):
        seen.add("call", burst(0.6))
    assert seen.quiet(first)


WATCHED = """\
import os, sys, threading, time
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
from roadworthy.build.benchmark import contention
from roadworthy.build.benchmark.bursts import verdicts
def work():
    until = time.thread_time() + 0.05
    while time.thread_time() < until: sum(range(1000))
found = []
for _ in range(10):
    before = contention.read()
    work()
    found.append(("work", contention.between(before, contention.read())))
print(sum(verdicts(found)))
"""


def test_another_process_on_the_same_cpu_is_detected() -> None:
    """Two processes on one CPU all the time: whatever this kernel counts, it must show."""
    busy = "import os\nos.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\nprint(flush=True)\nwhile True: pass\n"
    with subprocess.Popen([sys.executable, "-c", busy], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        try:
            said = subprocess.run([sys.executable, "-c", WATCHED], capture_output=True, text=True, check=True).stdout
        finally:
            other.kill()
    assert int(said) == 0

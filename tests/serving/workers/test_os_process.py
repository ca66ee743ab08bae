"""What a worker process knows of itself, also with nothing left to look with, and what it may take."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

from roadworthy.serving.workers import os_process

FULL = """
import os, resource
from roadworthy.serve import process
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
held = []
try:
    while True:
        held.append(os.open("/dev/null", os.O_RDONLY))
except OSError:
    pass
state = process.state(3)
assert state.descriptors == 64 and state.memory > 10_000_000 and state.connections == 3, state
"""

FEW = """
import resource
from roadworthy.serve import process
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 300))
process.take_descriptors()
assert resource.getrlimit(resource.RLIMIT_NOFILE) == (300, 300)
process.take_descriptors()
assert resource.getrlimit(resource.RLIMIT_NOFILE) == (300, 300)
"""


def python(script: str) -> None:
    done = subprocess.run([sys.executable, "-c", script], env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}, capture_output=True)
    assert not done.returncode, done.stderr.decode()


def test_what_it_sees_of_itself() -> None:
    state = os_process.state(7)
    assert state.pid == os.getpid() and state.connections == 7 and state.threads >= 1 and state.cpu > 0
    with Path("/dev/null").open():
        assert os_process.state(7).descriptors >= state.descriptors
    assert 10_000_000 < state.memory <= resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 * 1.1


def test_with_no_descriptor_left_it_gives_a_sign_of_life_all_the_same() -> None:
    python(FULL)


def test_it_takes_as_many_descriptors_as_it_may() -> None:
    python(FEW)

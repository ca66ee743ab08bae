"""The figures of a process, also without a free descriptor, and its limit on descriptors."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

from roadworthy.serving.workers import os_process

FULL = """
import os, resource
from roadworthy.serving.workers import os_process
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
held = []
try:
    while True:
        held.append(os.open("/dev/null", os.O_RDONLY))
except OSError:
    pass
state = os_process.figures(3)
assert state.descriptors == 64 and state.memory > 10_000_000 and state.connections == 3, state
"""

FEW = """
import resource
from roadworthy.serving.workers import os_process
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 300))
os_process.raise_descriptor_limit()
assert resource.getrlimit(resource.RLIMIT_NOFILE) == (300, 300)
os_process.raise_descriptor_limit()
assert resource.getrlimit(resource.RLIMIT_NOFILE) == (300, 300)
"""


def python(script: str) -> None:
    done = subprocess.run([sys.executable, "-c", script], env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}, capture_output=True)
    assert not done.returncode, done.stderr.decode()


def test_the_figures_of_this_process() -> None:
    state = os_process.figures(7)
    assert state.pid == os.getpid() and state.connections == 7 and state.threads >= 1 and state.cpu > 0
    with Path("/dev/null").open():
        assert os_process.figures(7).descriptors >= state.descriptors
    assert 10_000_000 < state.memory <= resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 * 1.1


def test_figures_without_a_free_descriptor() -> None:
    python(FULL)


def test_the_descriptor_limit_is_raised_as_far_as_allowed() -> None:
    python(FEW)

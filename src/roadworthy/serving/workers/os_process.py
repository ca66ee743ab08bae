"""What a worker process is to the system: its size, its end, its memory back."""

from __future__ import annotations

import ctypes
import gc
import os
import resource
import signal
import threading
import time
from pathlib import Path

from roadworthy.serving.engine.counters import WorkerStats

MOST_DESCRIPTORS = 65_536

_PAGE = os.sysconf("SC_PAGE_SIZE")
_PR_SET_PDEATHSIG = 1


def state(connections: int) -> WorkerStats:
    """This process at this moment."""
    try:
        memory = int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE
        descriptors = sum(1 for _ in Path("/proc/self/fd").iterdir())
    except OSError:
        # None is left to look with: all of them are in use, and the most memory there ever was is known without.
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return WorkerStats(
        pid=os.getpid(),
        memory=memory,
        descriptors=descriptors,
        threads=threading.active_count(),
        connections=connections,
        cpu=time.process_time(),
    )


def take_descriptors() -> None:
    """Let this process and its children open as many files as they may ask for; often they begin with 1024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MOST_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MOST_DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def die_with_parent() -> None:
    """Ask the kernel to end this process when its parent ends, however that comes about."""
    parent = os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def give_back() -> None:
    """Return to the system what was freed; glibc keeps it otherwise."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)

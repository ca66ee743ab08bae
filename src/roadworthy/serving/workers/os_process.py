"""A process and the operating system: its figures, its limits, its signals, its memory."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import os
import resource
import signal
import threading
import time
from pathlib import Path

from roadworthy.serving.engine.counters import WorkerStats

MAX_DESCRIPTORS = 65_536

_PAGE = os.sysconf("SC_PAGE_SIZE")
_PR_SET_PDEATHSIG = 1


def figures(connections: int) -> WorkerStats:
    """The figures of this process at this moment."""
    try:
        memory = int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE
        descriptors = sum(1 for _ in Path("/proc/self/fd").iterdir())
    except OSError:
        # No descriptor is left to read /proc with: all are in use, and the peak of the memory is known without one.
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


def raise_descriptor_limit() -> None:
    """Raise the limit on open files of this process and its children; it is often 1024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MAX_DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def die_with_parent() -> None:
    """Let the kernel kill this process when its parent ends for any reason."""
    parent = os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def release_memory() -> None:
    """Return freed memory to the system; glibc would keep it."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def stop_signal() -> asyncio.Event:
    """An event that the first SIGTERM or SIGINT sets; a second signal has its default effect and ends the process at once."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def received() -> None:
        stop.set()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, received)
    return stop

"""What a worker process is to the system: its size, its end, its memory back."""

from __future__ import annotations

import ctypes
import gc
import os
import signal
import threading
import time
from pathlib import Path

from roadworthy.serve.counters import Worker

_PAGE = os.sysconf("SC_PAGE_SIZE")
_PR_SET_PDEATHSIG = 1


def state(connections: int) -> Worker:
    """This process at this moment."""
    return Worker(
        pid=os.getpid(),
        memory=int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE,
        descriptors=sum(1 for _ in Path("/proc/self/fd").iterdir()),
        threads=threading.active_count(),
        connections=connections,
        cpu=time.process_time(),
    )


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

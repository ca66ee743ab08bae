"""A server as all the processes it is made of, found by a mark in their environment, so that a daemon that walked away counts too."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

MARK = "ROADWORTHY_BENCHMARK"
TICKS = os.sysconf("SC_CLK_TCK")


def members(mark: str) -> list[int]:
    """The processes started with ``MARK=mark`` and all that they started."""
    wanted = f"{MARK}={mark}".encode()
    return [pid for pid, environment in _environments() if wanted in environment.split(b"\0")]


def _environments() -> Iterator[tuple[int, bytes]]:
    for place in Path("/proc").iterdir():
        if place.name.isdigit():
            try:
                yield int(place.name), (place / "environ").read_bytes()
            except OSError:
                continue  # ended, or of another user


def cpu_seconds(pids: list[int]) -> float:
    """User and system time of those that live, in seconds."""
    total = 0
    for pid in pids:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        total += int(fields[11]) + int(fields[12])
    return total / TICKS


def memory_mb(pids: list[int]) -> float:
    """Resident memory in MiB; what several share counts once (the kernel's proportional set size)."""
    total = 0
    for pid in pids:
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total / 1024


def end(mark: str) -> None:
    """Wait until they are gone; SIGTERM to each after 3 seconds, SIGKILL after 6."""
    for patience, number in ((3.0, signal.SIGTERM), (3.0, signal.SIGKILL), (3.0, 0)):
        deadline = time.monotonic() + patience
        while left := [pid for pid in members(mark) if _lives(pid)]:
            if time.monotonic() > deadline:
                break
            time.sleep(0.05)
        for pid in left if number else ():
            _kill(pid, number)


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _kill(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass

"""Where one deployment works: its scratch directory, its host, its limits, and whom to tell how far it is."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from roadworthy.core import isolate
from roadworthy.core.host import Host, this_host
from roadworthy.core.isolate import Limits

A = TypeVar("A")
R = TypeVar("R")

MEMORY_SHARE = 0.8


@dataclass(frozen=True)
class Progress:
    """The stage a deployment is in, how much of it is done, and a line about what was last seen."""

    stage: str
    done: int
    total: int
    text: str = ""


Notify = Callable[[Progress], None]


@dataclass(frozen=True)
class Workshop:
    """One deployment's scratch directory and limits; ``deadline`` is in the monotonic clock's seconds."""

    path: Path
    host: Host
    limits: Limits
    deadline: float
    notify: Notify

    def step(self, function: Callable[[A], R], argument: A, name: str) -> R:
        """``function(argument)`` in a fresh process; its output goes to a log named after the step."""
        return isolate.call(function, argument, limits=self.limits, log=self.folder(f"logs/{name}.log"))

    def result(self, future: Future[R]) -> R:
        """What a step in another thread gave; an interrupt meanwhile stops every step, so that no thread waits on."""
        try:
            return future.result()
        except BaseException:
            isolate.stop_all()
            raise

    def folder(self, name: str) -> Path:
        """A directory that does not exist yet, below the scratch directory; its parent does."""
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    @property
    def seconds_left(self) -> float:
        """Seconds to the deadline, not below zero."""
        return max(0.0, self.deadline - time.monotonic())


@contextmanager
def workshop(*, seconds: float, step_seconds: float, memory_mb: int, notify: Notify) -> Iterator[Workshop]:
    """A workshop that is cleared however the block ends, with every process it started."""
    host = this_host()
    limits = Limits(step_seconds, memory_mb or int(host.memory_mb * MEMORY_SHARE))
    with tempfile.TemporaryDirectory(prefix="roadworthy-") as name:
        try:
            yield Workshop(Path(name), host, limits, time.monotonic() + seconds, notify)
        finally:
            isolate.stop_all()

"""Where one deployment works: its scratch directory, its host, its limits, and whom to tell how far it is."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from roadworthy.core.host import Host, this_host
from roadworthy.core.isolation import confinement, isolate, scratch
from roadworthy.core.isolation.confinement import Confinement
from roadworthy.core.isolation.usercode import Heard
from roadworthy.core.isolation.worker import Limits

A = TypeVar("A")
R = TypeVar("R")

MEMORY_SHARE = 0.8
PRINTED = 40
"""Lines of what the user's code prints that are shown; each is shown once."""


@dataclass(frozen=True)
class Progress:
    """The stage a deployment is in, how much of it is done, and a line about what was last seen.

    ``said`` is a line that the user is to read in any case: what their own code prints, or what is wrong with it.
    """

    stage: str
    done: int
    total: int
    text: str = ""
    said: str = ""


Notify = Callable[[Progress], None]


class Listener:
    """What the user's code was heard to say in one deployment: ``notes`` for the certificate, and no more lines than can be read."""

    def __init__(self) -> None:
        self._said: set[str] = set()
        self._notes: list[str] = []
        self._printed = 0
        self._lock = threading.Lock()

    @property
    def notes(self) -> tuple[str, ...]:
        """The sentences, in the order in which they came."""
        return tuple(self._notes)

    def hear(self, step: str, notify: Notify, heard: Heard) -> None:
        """Pass on what a step's process says: each line once, however many steps run the same code."""
        with self._lock:
            if heard.text in self._said:
                return
            self._said.add(heard.text)
            if heard.kind == "note":
                self._notes.append(heard.text)
            elif heard.kind == "print":
                self._printed += 1
        if self._printed <= PRINTED or heard.kind != "print":
            notify(Progress(step, 0, 1, said=heard.text))
        elif self._printed == PRINTED + 1:
            notify(Progress(step, 0, 1, said="user code prints more; it is left out"))


@dataclass(frozen=True)
class Workshop:
    """One deployment's scratch directory and limits; ``deadline`` is in the monotonic clock's seconds.

    Every step is confined as ``confinement`` says; ``notes`` gathers the sentences about the user's code.
    """

    path: Path
    host: Host
    limits: Limits
    deadline: float
    notify: Notify
    confinement: Confinement
    notes: Listener

    def step(self, function: Callable[[A], R], argument: A, name: str) -> R:
        """``function(argument)`` in a fresh process; its output goes to a log named after the step."""
        log = self.folder(f"logs/{name}.log")
        return isolate.call(
            function, argument, limits=self.limits, log=log, confinement=self.confinement, hear=partial(self.notes.hear, name, self.notify)
        )

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
def workshop(
    *, seconds: float, step_seconds: float, memory_mb: int, notify: Notify, code: Sequence[Path] = (), reads: Sequence[Path] = ()
) -> Iterator[Workshop]:
    """A workshop that is cleared however the block ends, with every process it started.

    ``code`` are the folders that code of the user's comes from, ``reads`` the files of the user's that are read: no step may write there.
    """
    host = this_host()
    limits = Limits(step_seconds, memory_mb or int(host.memory_mb * MEMORY_SHARE))
    scratch.sweep()
    with scratch.Directory() as made, _compiler_cache() as cache:
        try:
            confined = confinement.prepare(made.path, code, reads, more=(cache,))
            yield Workshop(made.path, host, limits, time.monotonic() + seconds, notify, confined, Listener())
        finally:
            isolate.stop_all()


@contextmanager
def _compiler_cache() -> Iterator[Path]:
    """The compilers' cache, which is there while steps run, and stays if anything is in it."""
    cache = scratch.compiler_cache()
    cache.mkdir(parents=True, exist_ok=True)
    try:
        yield cache
    finally:
        with suppress(OSError):
            cache.rmdir()

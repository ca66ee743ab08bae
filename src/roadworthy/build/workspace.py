"""Where one deployment works: its scratch directory, its host, its limits, and the function that is told of its progress."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from roadworthy.build import imports
from roadworthy.build.clock import Clock
from roadworthy.build.job import Job
from roadworthy.build.reuse import Reuse, WritesOut, open_reuse
from roadworthy.core.errors import OutOfTime, StepFailed
from roadworthy.core.host import Host, this_host
from roadworthy.core.isolation import confinement, isolate, scratch
from roadworthy.core.isolation.confinement import Confinement
from roadworthy.core.isolation.forking import Template, Templates
from roadworthy.core.isolation.usercode import Heard
from roadworthy.core.isolation.worker import Limits

A = TypeVar("A")
W = TypeVar("W", bound=WritesOut)
R = TypeVar("R")

STEP_SECONDS = 600.0
"""The longest that one step may take."""
MEMORY_SHARE = 0.8
"""The share of this host's memory that one step may take."""
PRINTED = 40
"""Lines of what the user's code prints that are shown; each is shown once."""


@dataclass(frozen=True)
class Progress:
    """The stage a deployment is in, how much of it is done, and a line about the last event.

    ``said`` is a line that is shown to the user in any case: what their own code prints, or what is wrong with it.
    """

    stage: str
    done: int
    total: int
    text: str = ""
    said: str = ""


Notify = Callable[[Progress], None]


class UserCodeOutput:
    """What the user's code prints in one deployment, of which a limited number of lines is shown, and ``notes`` for the certificate."""

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
        """Pass on what a step's process reports: each line once, however many steps run the same code."""
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
class Workspace:
    """The scratch directory and limits of one deployment; ``deadline`` is in the monotonic clock's seconds.

    Every step is confined as ``confinement`` says; ``user_code`` gathers what the user's code prints and the notes about it.
    ``done`` is told in words how much of a step is done. Where it is ``bounded``, no step runs beyond the deadline.
    ``clock`` counts the time of the stages and of their steps. ``reuse`` has what earlier deployments made. ``templates`` are the
    processes that steps are forked from.
    """

    path: Path
    host: Host
    limits: Limits
    deadline: float
    notify: Notify
    confinement: Confinement
    user_code: UserCodeOutput
    reuse: Reuse
    templates: Templates
    done: Callable[[str], None] = lambda words: None
    bounded: bool = False
    clock: Clock = field(default_factory=Clock)

    def begin(self, stage: str, total: int = 1, text: str = "") -> None:
        """``stage`` begins, of which ``total`` parts are to be done, with a line about it."""
        self.clock.begin(stage)
        self.notify(Progress(stage, 0, total, text))

    def step(self, function: Callable[[A], R], argument: A, name: str, slow: str = "") -> R:
        """``function(argument)`` in a process of its own; its output goes to a log named after the step.

        ``slow`` is a module that it imports for seconds (see ``imports``). A step that says how much is done may take all of the time that
        is left; any other has the limit of one step. Raises OutOfTime where the time ends first and the workspace is bounded, and what the
        step raises.
        """
        log = self.folder(f"logs/{name}.log")

        def hear(heard: Heard) -> None:
            if heard.kind == "done":
                self.done(heard.text)
            else:
                self.user_code.hear(name, self.notify, heard)

        limits = replace(self.limits, longest=self.seconds_left)
        if self.bounded:
            if not self.seconds_left:
                raise OutOfTime(f"the time budget ended before the step {name}", step=name)
            limits = replace(limits, seconds=min(limits.seconds, self.seconds_left))
        try:
            with self.clock.step(name):
                return isolate.call(
                    function, argument, limits=limits, log=log, confinement=self.confinement, hear=hear, template=self.template(slow)
                )
        except StepFailed as problem:
            if self.bounded and not self.seconds_left:
                raise OutOfTime(f"the time budget ended during the step {name}", step=name, detail=problem.detail) from problem
            raise

    def template(self, slow: str = "") -> Template | None:
        """The process that steps with the module ``slow`` are forked from; it starts its imports when it is first asked for."""
        return self.templates.of(imports.everything(slow))

    def reusable(
        self, function: Callable[[W], R], argument: W, name: str, slow: str = "", *, holds: Callable[[R], bool] = lambda result: True
    ) -> R:
        """As ``step``, for one that writes into ``argument.out`` alone: the result of an earlier deployment where all is the same.

        An earlier result that does not hold, by ``holds``, is made anew.
        """
        started = time.monotonic()
        key = self.reuse.key(function, argument)
        if found := self.reuse.find(key, function, argument.out):
            if holds(found.result):
                self.clock.reused(name, started, found.made)
                return found.result
            shutil.rmtree(argument.out)
        result = self.step(function, argument, name, slow)
        self.reuse.keep(key, function, result, argument.out)
        return result

    def until(self, reserve: float) -> Workspace:
        """The same workspace with ``reserve`` seconds less, beyond which none of its steps runs."""
        return replace(self, deadline=self.deadline - reserve, bounded=True)

    def result(self, future: Future[R]) -> R:
        """The result of a step in another thread; an interrupt meanwhile stops every step, so that no thread keeps waiting."""
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

    def below(self, name: str) -> Workspace:
        """The same workspace in a new folder of its own."""
        path = self.folder(name)
        path.mkdir()
        return replace(self, path=path)

    @property
    def seconds_left(self) -> float:
        """Seconds to the deadline, not below zero."""
        return max(0.0, self.deadline - time.monotonic())


@contextmanager
def open_workspace(
    *,
    seconds: float,
    step_seconds: float,
    memory_mb: int,
    notify: Notify,
    code: Sequence[Path] = (),
    reads: Sequence[Path] = (),
    cache: bool = False,
) -> Iterator[Workspace]:
    """A workspace that is removed however the block ends, with every process that it started.

    ``code`` are the folders that the user's code comes from, ``reads`` the user's files that are read: no step may write to either.
    With ``cache`` the results of earlier deployments are used again, and those of this one kept.
    """
    host = this_host()
    limits = Limits(step_seconds, memory_mb or int(host.memory_mb * MEMORY_SHARE))
    scratch.sweep()
    with scratch.Directory() as made, Templates() as templates:
        try:
            confined = confinement.prepare(made.path, code, reads)
            reuse, fault = open_reuse(made.path, confined.writable, wanted=cache)
            if fault:
                notify(Progress("cache", 0, 1, said=f"what earlier deployments made is not used: {fault}"))
            yield Workspace(made.path, host, limits, time.monotonic() + seconds, notify, confined, UserCodeOutput(), reuse, templates)
        finally:
            isolate.stop_all()


def workspace_for(jobs: Sequence[Job], notify: Notify) -> AbstractContextManager[Workspace]:
    """A workspace for ``jobs``, with the limits of the first; no step of it may write where one of them reads."""
    first = jobs[0]
    code = tuple(folder for job in jobs for folder in job.code_folders)
    reads = tuple(path for job in jobs for path in (job.source, *job.code_files, *job.data_files))
    return open_workspace(
        seconds=first.seconds + (first.compress.seconds if first.compress else 0.0),
        step_seconds=STEP_SECONDS,
        memory_mb=first.memory_mb,
        notify=notify,
        code=code,
        reads=reads,
        cache=all(job.cache for job in jobs),
    )

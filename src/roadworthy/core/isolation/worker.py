"""A child process that answers calls under limits of time and memory: a crash, a hang or a leak costs one call alone."""

from __future__ import annotations

import os
import selectors
import signal
import tempfile
import time
import typing
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import IO, Self, TypeVar, cast

from roadworthy.core import codec, errors
from roadworthy.core.isolation import launch, scratch
from roadworthy.core.isolation.confinement import Confinement
from roadworthy.core.isolation.forking import Template
from roadworthy.core.isolation.messages import Fault, revive
from roadworthy.core.isolation.usercode import Heard

A = TypeVar("A")
R = TypeVar("R")

POLL = 0.1
LOG_TAIL = 4000
PATIENCE = 10.0
"""Seconds after which the user is told that their own code is still running."""

Hear = Callable[[Heard], None]


@dataclass(frozen=True)
class Limits:
    """What a child may use: wall-clock seconds for one answer, resident memory in MiB.

    A child that says how much of its work is done has ``seconds`` from then on, up to ``longest`` in all.
    """

    seconds: float = 900.0
    memory_mb: int = 16384
    longest: float = 0.0


USUAL = Limits()


@dataclass(frozen=True)
class _Slow:
    """Code of the user's that is running: what to say if it takes long, since when it runs, and whether that was said."""

    text: str
    began: float
    told: bool = False


class Worker:
    """A child process that answers one call after another until it is closed. Module state in it lives on.

    It is a fork of ``template`` where there is one that can be forked, and a fresh process otherwise.
    """

    running: typing.ClassVar[set[Worker]] = set()

    def __init__(
        self,
        *,
        limits: Limits = USUAL,
        log: Path | None = None,
        confinement: Confinement | None = None,
        hear: Hear = lambda heard: None,
        template: Template | None = None,
    ) -> None:
        self._limits = limits
        self._hear = hear
        self._slow: _Slow | None = None
        self._log: IO[bytes] = open(log, "ab+") if log else tempfile.TemporaryFile("ab+")  # noqa: SIM115  (closed by close())
        # A child is killed and not asked to tidy up; what its libraries leave in the temporary directory goes with that.
        self._scratch = scratch.Directory()
        confined = codec.to_json(confinement).decode() if confinement else ""
        requests, self._requests = os.pipe()
        self._answers, answers = os.pipe()
        self._buffer = bytearray()
        try:
            given = launch.Given(requests, answers, self._log.fileno(), limits.memory_mb, confined, self._scratch.path)
            self._process: launch.Process = (template.fork(given) if template else None) or launch.fresh(given)
            Worker.running.add(self)
        except BaseException:
            self._scratch.remove()
            raise
        finally:
            os.close(requests)
            os.close(answers)

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._process.pid

    def ask(self, function: Callable[[A], R], argument: A, *, seconds: float | None = None) -> R:
        """``function(argument)`` in the child; ``seconds`` overrides the limit for this answer."""
        result = typing.get_type_hints(function)["return"]
        return cast(R, self.ask_named(f"{function.__module__}:{function.__qualname__}", argument, result, seconds=seconds))

    def ask_named(self, target: str, argument: object, result: type[R], *, seconds: float | None = None) -> R:
        """The same for a function that is known by its name, ``module:function``, and by its ``result`` alone."""
        request = codec.to_json({"target": target, "argument": argument}) + b"\n"
        try:
            view = memoryview(request)
            while view:
                view = view[os.write(self._requests, view) :]
            line = self._receive(self._limits.seconds if seconds is None else seconds)
        except BrokenPipeError:
            raise self._post_mortem() from None
        except BaseException:
            self.kill()
            raise
        status, body = line[:1], bytes(line[1:])
        if status == b"-":
            raise revive(codec.from_json(Fault, body))
        return codec.from_json(result, body)

    def kill(self) -> None:
        """Stop the child and everything it started, at once."""
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass

    def close(self) -> None:
        """Stop the child and release what it held."""
        if self not in Worker.running:
            return
        Worker.running.discard(self)
        self.kill()
        self._process.wait()
        os.close(self._requests)
        os.close(self._answers)
        self._log.close()
        self._scratch.remove()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _receive(self, seconds: float) -> bytearray:
        """The line of the answer; what the child says before it is heard meanwhile."""
        began = time.monotonic()
        deadline = began + seconds
        self._slow = None
        while (line := self._next_line(deadline - began, deadline))[:1] == b"!":
            heard = codec.from_json(Heard, bytes(line[1:]))
            self._listen(heard)
            if heard.kind == "done":
                deadline = max(deadline, min(time.monotonic() + seconds, began + self._limits.longest))
            self._check(deadline - began, deadline)
        return line

    def _next_line(self, seconds: float, deadline: float) -> bytearray:
        with selectors.DefaultSelector() as selector:
            selector.register(self._answers, selectors.EVENT_READ)
            while b"\n" not in self._buffer:
                if selector.select(POLL):
                    chunk = os.read(self._answers, 1 << 16)
                    if not chunk:
                        raise self._post_mortem()
                    self._buffer += chunk
                else:
                    self._check(seconds, deadline)
        line, _, rest = self._buffer.partition(b"\n")
        self._buffer = rest
        return line

    def _check(self, seconds: float, deadline: float) -> None:
        """Stop a child that is over a limit; tell the user about code of theirs that runs long."""
        self._remind()
        if time.monotonic() > deadline:
            self.kill()
            raise errors.StepFailed(f"ran longer than {seconds:.0f} s and was stopped", detail=self._tail())
        if _resident_mb(self._process.pid) > self._limits.memory_mb:
            self.kill()
            raise errors.StepFailed(f"needed more than {self._limits.memory_mb} MiB of memory and was stopped", detail=self._tail())

    def _listen(self, heard: Heard) -> None:
        if heard.kind == "begin":
            # Code that imports more code began with the first of it; more is known of it then, and worth saying.
            self._slow = _Slow(heard.text, self._slow.began if self._slow else time.monotonic())
        elif heard.kind == "end":
            self._slow = None
        else:
            self._hear(heard)

    def _remind(self) -> None:
        slow = self._slow
        if slow is not None and not slow.told and time.monotonic() - slow.began > PATIENCE:
            self._slow = replace(slow, told=True)
            self._hear(Heard("slow", f"after {PATIENCE:.0f} s {slow.text}"))

    def _post_mortem(self) -> errors.StepFailed:
        code = self._process.wait()
        if code >= 0:
            how = f"ended without an answer, with exit code {code}"
        elif -code == signal.SIGKILL:
            how = "was killed (SIGKILL), most likely for memory"
        else:
            how = f"crashed with {signal.Signals(-code).name}"
        return errors.StepFailed(how, detail=self._tail())

    def _tail(self) -> str:
        self._log.seek(max(0, self._log.seek(0, os.SEEK_END) - LOG_TAIL))
        return self._log.read().decode(errors="replace")


def _resident_mb(pid: int) -> float:
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
    except (OSError, IndexError):
        return 0.0

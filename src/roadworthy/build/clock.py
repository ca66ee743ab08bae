"""How long each stage of a deployment takes, and each child process within it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from roadworthy.bundle.certificate import StageTime, StepTime

INSPECT = "inspect"
"""The stage with which every deployment begins."""


class Clock:
    """The stages so far. Each ends where the next begins, so that their seconds add up to the total.

    A stage may begin more than once: its seconds are of all its turns. Steps of one stage may run at once, in any thread.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stage, self._since = INSPECT, time.monotonic()
        self._seconds = {INSPECT: 0.0}
        self._steps: dict[str, list[StepTime]] = {INSPECT: []}

    def begin(self, stage: str) -> None:
        """``stage`` begins, and the one before it ends."""
        with self._lock:
            self._turn(stage)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Around one child process: its seconds count within the stage that it started in, whether it succeeds or not."""
        stage, started = self._stage, time.monotonic()
        try:
            yield
        finally:
            with self._lock:
                self._steps[stage].append(StepTime(name, time.monotonic() - started))

    def reused(self, name: str, started: float, made: str) -> None:
        """The step ``name`` has a result that was made earlier, at ``made``; to find it took from ``started`` (monotonic) until now."""
        with self._lock:
            self._steps[self._stage].append(StepTime(name, time.monotonic() - started, made))

    def read(self) -> tuple[StageTime, ...]:
        """The stages in the order of their begin, the one that runs included as far as it is, each with its steps as they ended."""
        with self._lock:
            self._turn(self._stage)
            return tuple(StageTime(stage, seconds, tuple(self._steps[stage])) for stage, seconds in self._seconds.items())

    def _turn(self, stage: str) -> None:
        now = time.monotonic()
        self._seconds[self._stage] += now - self._since
        self._stage, self._since = stage, now
        self._seconds.setdefault(stage, 0.0)
        self._steps.setdefault(stage, [])

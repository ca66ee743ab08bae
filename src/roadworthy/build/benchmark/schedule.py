"""The one scheduler of every benchmark: which candidates are loaded, whose turn it is, and which round it is.

Only one process runs at a time and all others are stopped, because a thread pool that spins while it waits would disturb the one that
is timed. In each round every candidate has one turn, in random order, so that what changes on the host meanwhile reaches all of them.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from roadworthy.build.benchmark.case import Case
from roadworthy.core.errors import RoadworthyError, StepFailed
from roadworthy.core.host import usable_memory_mb

MEMORY_SHARE = 0.5
"""The share of this host's memory that the candidates of one group may take together."""

Progress = Callable[[str, float], None]
"""Told a line about what is done now, and the share of the whole that is done."""


class Schedule:
    """The turns of ``cases``; the first is the original, which takes part in every group, as those do that are ``kept``.

    ``prepare`` is done once in each new process. ``log`` names the log file of a case by its index, ``say`` is told what is done now.
    """

    def __init__(
        self, cases: Sequence[Case], *, prepare: Callable[[Case], None], log: Callable[[int], Path], say: Callable[[str], None]
    ) -> None:
        self.cases = tuple(cases)
        self.waiting = list(self.cases[1:])
        self.kept: list[Case] = []
        self.say = say
        self._prepare, self._log = prepare, log
        self._random = random.Random(0)
        self._round = 0
        self._began: float | None = None

    @property
    def seconds(self) -> float:
        """Since the first round began."""
        return 0.0 if self._began is None else time.monotonic() - self._began

    @property
    def original(self) -> Case:
        """The case that every other one is compared with."""
        return self.cases[0]

    def groups(self) -> Iterator[list[Case]]:
        """All cases at once where memory allows, otherwise in groups, with the original first in each.

        A group is loaded and prepared when it is given, and its processes end before the next group starts, but for those ``kept``.
        ``waiting`` are the cases of later groups. A case that fails later stays in the group and keeps its failure.
        """
        self._start(self.original)
        while True:
            yield [self.original, *(case for case in self.kept if case.running), *self._load_group()]
            for case in self.cases[1:]:
                if case not in self.kept:
                    case.stop()
            if not self.waiting:
                break
        for case in self.cases:
            case.stop()

    def rounds(
        self,
        cases: Sequence[Case],
        turn: Callable[[Case, int], None],
        *,
        unfinished: Callable[[list[Case]], list[Case]],
        fewest: int,
        most: int,
        deadline: float,
        name: str,
    ) -> None:
        """Rounds in which each of ``cases`` has one ``turn``, which is given the number of the round.

        Before each round ``unfinished`` gives those of the cases still running that need another; the rounds end when there are none,
        after ``most`` rounds, or at ``deadline`` (monotonic clock) once ``fewest`` rounds are done. A case that left does not return.
        """
        left = list(cases)
        self._began = time.monotonic() if self._began is None else self._began
        for done in range(most):
            if done >= fewest and time.monotonic() > deadline:
                break
            left = unfinished([case for case in left if case.running])
            if not left:
                break
            self.say(f"{name}, round {done + 1}: {len(left)} candidates")
            for case in self._random.sample(left, len(left)):
                self.attempt(case, lambda case: turn(case, self._round))
            self._round += 1

    def attempt(self, case: Case, step: Callable[[Case], None]) -> None:
        """``step`` for a case that is still running. A case that fails is stopped and keeps its failure.

        Raises StepFailed where the original fails, because nothing can be compared without it.
        """
        if not case.running:
            return
        try:
            step(case)
        except RoadworthyError as problem:
            if case is self.original:
                raise StepFailed(f"the original cannot be timed: {problem.message}", detail=problem.detail) from problem
            case.failure = problem
            case.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for case in self.cases:
            case.stop()

    def _load_group(self) -> list[Case]:
        """The next cases that fit into memory together; at least one that can be loaded, if any can."""
        group: list[Case] = []
        allowed = MEMORY_SHARE * usable_memory_mb()
        while self.waiting and (not group or self._resident_mb() < allowed):
            case = self.waiting.pop(0)
            self._start(case)
            if case.running:
                group.append(case)
        return group

    def _resident_mb(self) -> float:
        return sum(case.process.resident_mb for case in self.cases if case.running)

    def _start(self, case: Case) -> None:
        self.say(f"loading {case.candidate.plan.name}")
        case.start(self._log(self.cases.index(case)))
        self.attempt(case, self._prepare)

"""The order in which artefacts are made and verified: cheap ones that can win first, and a slow one beside them."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from roadworthy.core import registry
from roadworthy.core.stages import Graph, Plan


@dataclass(frozen=True)
class Artefact:
    """Files to make from ``graph``, and the plans that run them; to make them takes about ``seconds``, where that is long, else 0.

    ``repairs`` is the artefact whose failure these files are a remedy for, if there is one.
    """

    plans: tuple[Plan, ...]
    graph: Graph
    seconds: float = 0.0
    repairs: str = ""

    @property
    def name(self) -> str:
        """The artefact's name."""
        return self.plans[0].artefact


def in_order(artefacts: Sequence[Artefact]) -> list[Artefact]:
    """The first artefact of every runtime, then the second of each: a short time budget leaves out no runtime.

    Those that need a training framework come last: they are there to be compared with, and seldom chosen.
    """
    seen: Counter[str] = Counter()
    turns: list[tuple[tuple[bool, int], Artefact]] = []
    for one in artefacts:
        runtime = one.plans[0].runtime
        turns.append(((registry.facts(runtime).framework, seen[runtime]), one))
        seen[runtime] += 1
    return [one for _, one in sorted(turns, key=lambda turn: turn[0])]


class Turns:
    """Gives the next of ``artefacts``, which are in order, to each of ``workers`` threads that asks.

    A slow one starts when a candidate has passed, which bounds what it has to reach, and beside cheap ones: while there are any, one worker
    at most makes slow ones, and the others go on. A remedy starts when what it repairs has failed, and not at all where that passed.
    """

    def __init__(self, artefacts: Sequence[Artefact], workers: int, passed: Callable[[], bool]) -> None:
        names = {one.name for one in artefacts}
        self._remedies = [one for one in artefacts if one.repairs in names]
        self._cheap = [one for one in artefacts if not one.seconds and one not in self._remedies]
        self._slow = [one for one in artefacts if one.seconds and one not in self._remedies]
        self._workers, self._passed = workers, passed
        self._making = 0
        self._lock = threading.Lock()

    def next(self) -> Artefact | None:
        """The next one; ``None`` where there is none."""
        with self._lock:
            beside = self._workers > 1 and not self._making and self._passed()
            if self._slow and (beside or not self._cheap):
                self._making += 1
                return self._slow.pop(0)
            return self._cheap.pop(0) if self._cheap else None

    def done(self, artefact: Artefact, *, failed: bool) -> None:
        """``artefact`` is made and verified, or ``failed``."""
        with self._lock:
            self._making -= bool(artefact.seconds)
            remedies = [one for one in self._remedies if failed and one.repairs == artefact.name]
            self._remedies = [one for one in self._remedies if one not in remedies]
            self._cheap[:0] = [one for one in remedies if not one.seconds]
            self._slow[:0] = [one for one in remedies if one.seconds]

    @property
    def not_needed(self) -> tuple[Artefact, ...]:
        """The remedies for what did not fail, when all others are done."""
        return tuple(self._remedies)

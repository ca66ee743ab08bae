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
    """The first artefact of every runtime, then the second of each: a short time budget leaves out no runtime."""
    seen: Counter[str] = Counter()
    turns: list[tuple[int, Artefact]] = []
    for one in artefacts:
        runtime = one.plans[0].runtime
        turns.append((seen[runtime], one))
        seen[runtime] += 1
    return [one for _, one in sorted(turns, key=lambda turn: turn[0])]


class Turns:
    """Gives the next of ``artefacts``, which are in order, to each of ``workers`` threads that asks.

    A slow one starts when a candidate has passed, which bounds what it has to reach, and beside cheap ones: while there are any, one worker
    at most makes slow ones, and the others go on. A remedy starts when what it repairs has failed, and not at all where that passed.
    Cheap ones that need a training framework come last, as they are seldom chosen, and one at a time: its threads spin while they wait, and
    two of them at once on the same cores take many times as long as one after the other.
    """

    def __init__(self, artefacts: Sequence[Artefact], workers: int, passed: Callable[[], bool]) -> None:
        names = {one.name for one in artefacts}
        self._remedies = [one for one in artefacts if one.repairs in names]
        cheap = [one for one in artefacts if not one.seconds and one not in self._remedies]
        self._framework = [one for one in cheap if _of_framework(one)]
        self._cheap = [one for one in cheap if one not in self._framework]
        self._slow = [one for one in artefacts if one.seconds and one not in self._remedies]
        self._workers, self._passed = workers, passed
        self._making = 0
        self._in_framework = False
        self._lock = threading.Lock()

    def next(self) -> Artefact | None:
        """The next one; ``None`` where there is none."""
        with self._lock:
            beside = self._workers > 1 and not self._making and self._passed()
            if self._slow and (beside or not (self._cheap or self._framework)):
                self._making += 1
                return self._slow.pop(0)
            if self._cheap:
                return self._cheap.pop(0)
            if self._framework and not self._in_framework:
                self._in_framework = True
                return self._framework.pop(0)
            return None

    def done(self, artefact: Artefact, *, failed: bool) -> None:
        """``artefact`` is made and verified, or ``failed``."""
        with self._lock:
            self._making -= bool(artefact.seconds)
            if not artefact.seconds and _of_framework(artefact):
                self._in_framework = False
            remedies = [one for one in self._remedies if failed and one.repairs == artefact.name]
            self._remedies = [one for one in self._remedies if one not in remedies]
            self._cheap[:0] = [one for one in remedies if not one.seconds]
            self._slow[:0] = [one for one in remedies if one.seconds]

    @property
    def not_needed(self) -> tuple[Artefact, ...]:
        """The remedies for what did not fail, when all others are done."""
        return tuple(self._remedies)


def _of_framework(artefact: Artefact) -> bool:
    return registry.facts(artefact.plans[0].runtime).framework

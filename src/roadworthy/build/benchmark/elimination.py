"""Who is still in a race: candidates that are certainly slower leave round by round, until one leads or those left are equal.

Best-arm identification by successive elimination (Even-Dar, Mannor and Mansour 2006, "Action elimination and stopping conditions for the
multi-armed bandit and reinforcement learning problems"), with confidence sequences for medians of paired rounds in place of fixed
bounds (Howard and Ramdas 2022; see ``signs``), so that a look after every round costs no certainty. Of K contenders the best one
leaves with a probability of at most 5 %: that takes a wrong comparison with one of the K - 1 others, each wrong in 5 % / (K - 1).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence

import numpy as np

from roadworthy.build.benchmark import pairs, signs
from roadworthy.build.benchmark.case import Figure
from roadworthy.build.benchmark.statistics import Series
from roadworthy.bundle.course import Course, CourseCheck, Departure, Leaving, Standing, Stop
from roadworthy.core.evidence import Interval

FEWEST, REPORTED, MOST = 6, 12, 100
"""Rounds of every candidate; quiet rounds of the original and the winner for the figures of a report; rounds at most."""
RIVALS = 3
"""Each candidate is compared with so many of the fastest."""
OFTEN, SELDOM = 24, 4
"""After so many rounds only every fourth is looked at: one round more or less changes little then."""
CHECKS, GROWTH = 40, 1.2
"""Checks that are kept, and how the distance between them grows where nothing happens."""


class Contest:
    """The course of one race by the names of its candidates.

    ``contenders`` can be chosen, and nothing else makes one of them leave. All others, as the ``original`` may be, are only timed for
    the report. Where no time decides (``timed`` is false), all run the fewest rounds.
    """

    def __init__(self, original: str, contenders: Collection[str], figure: Figure, *, timed: bool = True) -> None:
        self.left: dict[str, Departure] = {}
        self.figure: Figure = figure
        self._original, self._contenders, self._timed = original, frozenset(contenders), timed
        self._alpha = pairs.error_rate(len(self._contenders))
        self._checks: list[CourseCheck] = []
        self._next_check = 0.0
        self._running: frozenset[str] = frozenset()
        self._last: frozenset[str] = frozenset()
        self._rounds = self._total = 0
        self._stops: list[Stop] = []

    def begin(self) -> None:
        """A group of candidates starts; those of an earlier group that are not in it are done."""
        self._running, self._rounds = frozenset(), 0

    def best(self, running: Mapping[str, Series]) -> str | None:
        """The fastest contender of ``running`` that has not left."""
        return next(iter(self._standing(running)), None)

    def next_round(self, running: Mapping[str, Series], seconds: float, *, late: bool) -> frozenset[str]:
        """Those of ``running`` that need another round; none where the group is done. Called before every round.

        Before it is ``late``, disturbed rounds make only those leave that take more than twice as long: a neighbour that stays for seconds
        slows some candidates more than others.
        """
        for name in self._running - running.keys() - self.left.keys():
            self._leaves(name, "failed")
        self._running = frozenset(running)
        if self._rounds < FEWEST:
            needed = frozenset(running)
        elif self._rounds <= OFTEN or self._rounds % SELDOM == 0:
            needed = self._needed(running, seconds, late)
        else:
            needed = (self._last & running.keys()) or self._needed(running, seconds, late)
        self._last = needed
        if needed:
            self._rounds += 1
            self._total += 1
        return needed

    def ended(self, running: Mapping[str, Series], seconds: float, *, limited: bool) -> None:
        """The rounds of a group ended although some needed more: the most were run, or the time was over, which the user ``limited``."""
        self._eliminate(running, late=True)
        self._look(running, seconds, final=True)
        over: Stop = "rounds" if self._rounds >= MOST else "budget" if limited else "time"
        self._stops.append(self._verdict(self._standing(running)) or over)

    def course(self) -> Course:
        """The whole course; a group that could not be decided decides why the race stopped."""
        undecided = [stop for stop in self._stops if stop in ("rounds", "time", "budget")]
        stopped: Stop = undecided[-1] if undecided else self._stops[-1] if self._stops else "untimed"
        seconds = self._checks[-1].seconds if self._checks else 0.0
        return Course(self.figure, pairs.MARGIN, self._total, seconds, stopped, thinned(self._checks), tuple(self.left.values()))

    def _needed(self, running: Mapping[str, Series], seconds: float, late: bool) -> frozenset[str]:
        before = len(self.left)
        if self._timed:
            self._eliminate(running, late)
        standing = self._standing(running)
        stop = self._verdict(standing)
        if stop is None:
            needed = {name for name in running if name not in self.left and name != self._original}
        else:
            needed = {name for name in list(standing)[:1] if self._timed and not self._reported(running[name])}
        if (self._original in standing and stop is None) or (self._timed and not self._reported(running[self._original])):
            needed.add(self._original)
        self._look(running, seconds, final=not needed or len(self.left) > before)
        if stop is not None and not needed:
            self._stops.append(stop)
        return frozenset(needed)

    def _verdict(self, standing: Mapping[str, Series]) -> Stop | None:
        """Why the race can stop; ``None`` where it cannot."""
        if not self._timed or not standing:
            return "untimed"
        best, *others = standing
        if not others:
            return "leads"
        equal = all(pairs.level(standing[best], standing[other], self.figure, self._alpha) for other in others)
        return "level" if equal else None

    def _eliminate(self, running: Mapping[str, Series], late: bool) -> None:
        standing = self._standing(running)
        rivals = dict(list(standing.items())[:RIVALS])
        for name, series in running.items():
            if name in self.left or (name == self._original and name not in self._contenders):
                continue
            beaten_by = next((rival for rival in rivals if rival != name and self._beats(rivals[rival], series, late)), None)
            if beaten_by:
                why: Leaving = "far" if self._rounds == FEWEST else "slower"
                self._leaves(name, why, beaten_by, pairs.behind(series, rivals[beaten_by], self.figure))
            elif name not in self._contenders and self._reported(series):
                self._leaves(name, "reported")

    def _beats(self, a: Series, b: Series, late: bool) -> bool:
        return pairs.beats(a, b, self.figure, self._alpha, young=not late)

    def _leaves(self, name: str, why: Leaving, by: str = "", ratio: Interval | None = None) -> None:
        self.left[name] = Departure(name, self._total, why, by, ratio)

    def _standing(self, running: Mapping[str, Series]) -> dict[str, Series]:
        """The contenders that have not left, the fastest first."""
        found = [(name, series) for name, series in running.items() if name in self._contenders and name not in self.left and series.all]
        return dict(sorted(found, key=lambda one: one[1].middle, reverse=self.figure == "throughput"))

    def _reported(self, series: Series) -> bool:
        """Whether a figure has the rounds that a report needs; twice as many are run where some are disturbed."""
        return len(series.quiet) >= REPORTED or len(series.all) >= 2 * REPORTED

    def _look(self, running: Mapping[str, Series], seconds: float, *, final: bool) -> None:
        """Keep what is known now, where something happened or nothing was kept for long."""
        if not final and self._total < self._next_check:
            return
        self._next_check = max(self._total + 1, GROWTH * self._total)
        standings = tuple(
            Standing(name, signs.median(np.array(list(series.counted.values())))) for name, series in self._standing(running).items()
        )
        self._checks.append(CourseCheck(self._total, round(seconds, 2), standings))


def thinned(checks: Sequence[CourseCheck]) -> tuple[CourseCheck, ...]:
    """At most ``CHECKS`` of ``checks``, evenly by their order, the first and the last included."""
    if len(checks) <= CHECKS:
        return tuple(checks)
    step = (len(checks) - 1) / (CHECKS - 1)
    return tuple(checks[math.floor(number * step + 0.5)] for number in range(CHECKS))

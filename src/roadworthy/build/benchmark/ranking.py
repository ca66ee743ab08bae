"""How contestants stand to each other by one objective: who beats whom beyond the noise, and who is beaten by no other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from roadworthy.build.benchmark.race import Race
from roadworthy.build.benchmark.statistics import Paired, Series
from roadworthy.core.stages import Measured

MARGIN = {"latency": 0.02, "throughput": 0.02, "size": 0.01, "memory": 0.05}
"""Leads smaller than this share are ties, however sure: no user notices them, and the simpler one is worth more."""
CLEAR = 0.05
"""Where disturbed rounds have to be counted, the whole interval of a lead must lie beyond this share."""
WRONG = 0.05
"""How probable it may be that noise alone makes one of several equal contestants beat a given one."""


@dataclass(frozen=True)
class Unbeaten:
    """Those that no other beats. ``level`` are to choose from, ``leader`` has the best figure of them.

    ``unjudged`` are beaten by no other only because their own rounds are too few or do not agree, where others have better ones.
    """

    level: tuple[Measured, ...]
    leader: Measured
    unjudged: tuple[Measured, ...]


@dataclass(frozen=True)
class Standing:
    """The contestants of ``race`` by ``objective``: latency, throughput, size or memory."""

    race: Race
    objective: str

    @property
    def timed(self) -> Literal["latency", "throughput"] | None:
        """Which rounds decide; ``None`` where one figure that is not a time does."""
        return "latency" if self.objective == "latency" else "throughput" if self.objective == "throughput" else None

    def unbeaten(self, entrants: Sequence[Measured]) -> Unbeaten:
        """Those of ``entrants`` (one at least) that no other of them beats.

        Every one is held against all others, not against the best alone: what ties with the best may still be slower than a third
        that ties with it too. The more there are, the surer each single lead must be.
        """
        confidence = 1 - WRONG / max(1, len(entrants) - 1)
        unbeaten = [one for one in entrants if not any(self.beats(other, one, confidence) for other in entrants if other is not one)]
        # Three that beat each other in a circle, each pair in rounds of its own, leave none unbeaten.
        unbeaten = unbeaten or [min(entrants, key=self.rank)]
        level = [one for one in unbeaten if self.trusted(one)] or unbeaten
        return Unbeaten(tuple(level), min(level, key=self.rank), tuple(one for one in unbeaten if one not in level))

    def beats(self, a: Measured, b: Measured, confidence: float = 0.95) -> bool:
        """Whether ``a`` is better than ``b`` beyond the noise and by more than the margin."""
        margin = MARGIN[self.objective]
        if not self.timed:
            return self.cost(a) < (1 - margin) * self.cost(b)
        beside = self._beside(a, b, confidence)
        if beside is None:
            return False
        return beside.ratio.value < 1 - margin and beside.ratio.high < (1 if beside.quiet else 1 - CLEAR)

    def trusted(self, one: Measured) -> bool:
        """Whether enough undisturbed rounds stand behind the figure and agree; sizes are always trusted."""
        return self.series(one).trusted if self.timed else True

    def series(self, one: Measured) -> Series:
        """The rounds behind the figure of a timed objective."""
        return self.race.rounds(one, self.timed or "latency")

    def cost(self, one: Measured) -> float:
        """The figure of the objective, smaller is better."""
        timing = one.timing
        if self.objective == "throughput":
            return 1 / timing.rate.per_second.value if timing.rate else float("inf")
        return {"latency": timing.latency_ms.value, "size": timing.size_mb, "memory": timing.memory_mb}[self.objective]

    def rank(self, one: Measured) -> tuple[float, str]:
        """The cost, and the name where two cost the same: no choice depends on the order of the contestants."""
        return self.cost(one), one.verified.candidate.plan.name

    def _beside(self, a: Measured, b: Measured, confidence: float) -> Paired | None:
        """The cost of ``a`` over that of ``b``."""
        if self.objective == "throughput":
            return self.race.paired(b, a, "throughput", confidence)
        return self.race.paired(a, b, "latency", confidence)

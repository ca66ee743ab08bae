"""Candidates compared by one objective: which one is better than which for certain, and which are equal within the margin for certain."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from roadworthy.build.benchmark import pairs
from roadworthy.build.benchmark.case import Figure
from roadworthy.build.benchmark.race import Race, Timed

MARGIN = {"latency": pairs.MARGIN, "throughput": pairs.MARGIN, "size": 0.01, "memory": 0.05}
"""Differences smaller than this share are ties: no user notices them, and the simpler candidate is worth more."""


@dataclass(frozen=True)
class Undominated:
    """The candidates that no other is certainly better than, in three parts.

    ``best`` has the best figure. ``equal`` are those that are equal to it within the margin for certain, itself included. ``open`` are
    the others: the rounds do not tell whether they are as good.
    """

    best: Timed
    equal: tuple[Timed, ...]
    open: tuple[Timed, ...]


@dataclass(frozen=True)
class Ranking:
    """The candidates of ``race`` by ``objective``: latency, throughput, size or memory."""

    race: Race
    objective: str

    @property
    def timed(self) -> Figure | None:
        """Which rounds decide; ``None`` for an objective that is one figure and no time."""
        return "latency" if self.objective == "latency" else "throughput" if self.objective == "throughput" else None

    def undominated(self, candidates: Sequence[Timed]) -> Undominated:
        """Those of ``candidates`` (one at least) that no other of them is better than.

        Each is compared with all others and not with the best alone, because what is not certain is not transitive. Example: A has the
        shortest latency, but its rounds vary so much that neither B nor C is certainly slower; C is certainly slower than B.
        """
        alpha = pairs.error_rate(len(candidates))
        found = [one for one in candidates if not any(self.better(other, one, alpha) for other in candidates if other is not one)]
        # Each of three can be worse than the next in a circle where each pair has rounds of its own.
        found = found or list(candidates)
        best = min(found, key=self.key)
        equal = tuple(one for one in found if one is best or self._equal(best, one, alpha))
        return Undominated(best, equal, tuple(one for one in found if one not in equal))

    def better(self, a: Timed, b: Timed, alpha: float = pairs.ERROR_RATE) -> bool:
        """Whether ``a`` is certainly better than ``b`` and by more than the margin, or better by far in every round."""
        if not self.timed:
            return self.cost(a) < (1 - MARGIN[self.objective]) * self.cost(b)
        first, second = a.series(self.timed), b.series(self.timed)
        if pairs.always_behind(second, first, self.timed):
            return True
        return self.cost(a) < self.cost(b) and pairs.beats(first, second, self.timed, alpha)

    def _equal(self, best: Timed, one: Timed, alpha: float) -> bool:
        """Whether ``one`` is equal to ``best`` within the margin, by the figures shown and for certain; or neither has a figure."""
        if not math.isfinite(self.cost(best)):
            return True
        if self.cost(one) > (1 + MARGIN[self.objective]) * self.cost(best):
            return False
        return not self.timed or pairs.level(best.series(self.timed), one.series(self.timed), self.timed, alpha)

    def cost(self, one: Timed) -> float:
        """The figure of the objective; smaller is better."""
        timing = one.measured.timing
        if self.objective == "throughput":
            return 1 / timing.rate.per_second.value if timing.rate else float("inf")
        return {"latency": timing.latency_ms.value, "size": timing.size_mb, "memory": timing.memory_mb}[self.objective]

    def key(self, one: Timed) -> tuple[float, str]:
        """The key to sort by: the cost, then the name, so that no choice depends on the order of the candidates."""
        return self.cost(one), one.plan.name

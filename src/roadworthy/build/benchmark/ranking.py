"""Candidates compared by one objective: which one is better than which beyond the noise, and which are worse than no other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from roadworthy.build.benchmark.case import Figure
from roadworthy.build.benchmark.race import Race, Timed

MARGIN = {"latency": 0.02, "throughput": 0.02, "size": 0.01, "memory": 0.05}
"""Differences smaller than this share are ties, however certain: no user notices them, and the simpler candidate is worth more."""
CLEAR = 0.05
"""Where disturbed rounds have to be counted, the whole interval of a difference must lie beyond this share."""
ERROR_RATE = 0.05
"""The probability that noise alone makes any of several equal candidates look better than a given one."""


@dataclass(frozen=True)
class Undominated:
    """The candidates that no other is better than. The choice is among ``equal``; ``best`` has the best figure of these.

    ``unjudged`` belong here only because their own rounds are too few or do not agree, while others have better ones.
    """

    equal: tuple[Timed, ...]
    best: Timed
    unjudged: tuple[Timed, ...]


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

        Each is compared with all others and not with the best alone, because ties are not transitive. Example: A has the shortest
        latency, but its rounds vary so much that neither B nor C is certainly slower; C is certainly slower than B. Compared with
        A alone, C would stay, and might be chosen as the simplest. The more candidates there are, the more certain each
        single comparison must be (Bonferroni's correction).
        """
        confidence = 1 - ERROR_RATE / max(1, len(candidates) - 1)
        found = [one for one in candidates if not any(self.better(other, one, confidence) for other in candidates if other is not one)]
        # Three can each be worse than the next in a circle where each pair has rounds of its own.
        found = found or [min(candidates, key=self.key)]
        equal = [one for one in found if self.trusted(one)] or found
        return Undominated(tuple(equal), min(equal, key=self.key), tuple(one for one in found if one not in equal))

    def better(self, a: Timed, b: Timed, confidence: float = 0.95) -> bool:
        """Whether ``a`` is better than ``b`` beyond the noise and by more than the margin."""
        margin = MARGIN[self.objective]
        if not self.timed:
            return self.cost(a) < (1 - margin) * self.cost(b)
        # Smaller is better: throughput is negated.
        first, second = (b, a) if self.timed == "throughput" else (a, b)
        found = self.race.paired(first, second, self.timed, confidence)
        if found is None:
            return False
        return found.ratio.value < 1 - margin and found.ratio.high < (1 if found.quiet else 1 - CLEAR)

    def trusted(self, one: Timed) -> bool:
        """Whether enough undisturbed rounds stand behind the figure and agree; sizes are always trusted."""
        return one.series(self.timed).trusted if self.timed else True

    def cost(self, one: Timed) -> float:
        """The figure of the objective; smaller is better."""
        timing = one.measured.timing
        if self.objective == "throughput":
            return 1 / timing.rate.per_second.value if timing.rate else float("inf")
        return {"latency": timing.latency_ms.value, "size": timing.size_mb, "memory": timing.memory_mb}[self.objective]

    def key(self, one: Timed) -> tuple[float, str]:
        """The key to sort by: the cost, then the name, so that no choice depends on the order of the candidates."""
        return self.cost(one), one.plan.name

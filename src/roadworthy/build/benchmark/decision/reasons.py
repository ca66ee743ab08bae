"""Why the winner was chosen, as data: each reason is a fact from the figures of the race. ``wording`` makes sentences of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from roadworthy.build.benchmark import statistics
from roadworthy.build.benchmark.decision.ranking import Ranking
from roadworthy.build.benchmark.race import Timed
from roadworthy.build.benchmark.statistics import Series
from roadworthy.bundle.certificate import FrameworkForm
from roadworthy.bundle.course import Stop
from roadworthy.core.evidence import Interval


@dataclass(frozen=True)
class ObjectiveFigure:
    """What ``plan`` reached in the objective: ms, samples a second in calls of ``batch``, or MiB; ``None`` with too few rounds."""

    plan: str
    objective: str
    value: float | None
    batch: int = 1


@dataclass(frozen=True)
class RoundCounts:
    """How many rounds a candidate ran and how many of these were disturbed.

    ``enough`` says that the undisturbed ones are enough for a figure, ``spread`` how wide the median's 95 % interval is, as a share of it.
    """

    rounds: int
    disturbed: int
    enough: bool
    spread: float


@dataclass(frozen=True)
class OriginalStays:
    """No candidate is better than the original."""

    original: ObjectiveFigure


@dataclass(frozen=True)
class TiesWithBest:
    """The winner is equal to the one that has the best figure, within the margin."""

    winner: ObjectiveFigure
    best: ObjectiveFigure


@dataclass(frozen=True)
class SimplestOf:
    """The winner is the simplest of ``count`` that are equal within the margin."""

    objective: str
    count: int


@dataclass(frozen=True)
class BestFigure:
    """The winner has the best figure of all."""

    winner: ObjectiveFigure


@dataclass(frozen=True)
class NoneBetter:
    """No other is certainly better, although another has a better figure in rounds of its own."""

    winner: ObjectiveFigure


@dataclass(frozen=True)
class NoFigure:
    """None of ``count`` candidates has enough rounds of throughput; ``plan`` is the simplest of them."""

    plan: str
    count: int


@dataclass(frozen=True)
class BesideOriginal:
    """The winner's latency or throughput relative to the original's; ``ratio`` is ``None`` where too few rounds compare the two.

    ``paired`` is the number of rounds that were undisturbed for both, where these are enough; otherwise 0. ``served`` is the plan that
    ran in the original's place, where the winner is for another target than a server.
    """

    objective: str
    ratio: Interval | None
    paired: int
    winner: RoundCounts
    original: RoundCounts
    served: str = ""


@dataclass(frozen=True)
class UncertainWinner:
    """The winner's own rounds are too few, or were disturbed, or do not agree."""

    plan: str
    rounds: RoundCounts


@dataclass(frozen=True)
class RaceStopped:
    """Why the race stopped after ``rounds``: ``equal`` candidates are equal to the best, itself included, and ``open`` may be as good."""

    why: Stop
    rounds: int
    equal: int
    open: int


@dataclass(frozen=True)
class LeftOpen:
    """``count`` candidates might be as good, but their rounds do not tell; ``closest`` has the best figure of them.

    ``ratio`` is how many times as long it takes as the winner, with an interval; ``None`` where the two ran too few rounds together.
    """

    count: int
    closest: ObjectiveFigure
    ratio: Interval | None
    rounds: RoundCounts


@dataclass(frozen=True)
class BesideFramework:
    """The winner relative to the fastest form of the original's own framework."""

    form: FrameworkForm


@dataclass(frozen=True)
class NeedsFramework:
    """One that is better than the winner needs the training framework to answer, which was not allowed."""

    better: ObjectiveFigure


@dataclass(frozen=True)
class FallbackPacked:
    """A candidate that is not lossy is packed beside the winner."""

    plan: str


Reason: TypeAlias = (
    OriginalStays
    | TiesWithBest
    | SimplestOf
    | BestFigure
    | NoneBetter
    | NoFigure
    | BesideOriginal
    | UncertainWinner
    | RaceStopped
    | LeftOpen
    | BesideFramework
    | NeedsFramework
    | FallbackPacked
)


def objective_figure(ranking: Ranking, one: Timed) -> ObjectiveFigure:
    """What ``one`` reached in the objective."""
    timing, objective = one.measured.timing, ranking.objective
    if objective == "throughput":
        rate = timing.rate
        return ObjectiveFigure(one.plan.name, objective, rate.per_second.value if rate else None, rate.batch if rate else 1)
    return ObjectiveFigure(one.plan.name, objective, ranking.cost(one))


def round_counts(series: Series) -> RoundCounts:
    """The rounds of ``series``, of which there is one at least."""
    return RoundCounts(len(series.all), series.disturbed, series.enough, statistics.width(series.median) if series.all else 0.0)

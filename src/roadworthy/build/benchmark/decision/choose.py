"""The choice: the best figure of those that no other is better than, or the simplest of those that are proven equal to it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from roadworthy.build.benchmark import pairs, statistics
from roadworthy.build.benchmark.decision.ranking import Ranking, Undominated
from roadworthy.build.benchmark.decision.reasons import (
    BesideFramework,
    BesideOriginal,
    BestFigure,
    FallbackPacked,
    LeftOpen,
    NeedsFramework,
    NoFigure,
    NoneBetter,
    OriginalStays,
    RaceStopped,
    Reason,
    SimplestOf,
    TiesWithBest,
    UncertainWinner,
    objective_figure,
    round_counts,
)
from roadworthy.build.benchmark.race import Race, Timed
from roadworthy.bundle.certificate import FrameworkForm, Goal
from roadworthy.core import registry
from roadworthy.core.errors import NoCandidate, UsageError
from roadworthy.core.interfaces import SERVER
from roadworthy.core.registry import RuntimeFacts
from roadworthy.core.stages import Plan

OBJECTIVES = ("latency", "throughput", "size", "memory")

FactsOf = Callable[[str], RuntimeFacts]


@dataclass(frozen=True)
class Decision:
    """The winner, the fallback beside it if there is one, the framework's own fastest form, and why, as data."""

    winner: Timed
    fallback: Timed | None
    framework: FrameworkForm | None
    reasons: tuple[Reason, ...]


def choose(race: Race, goal: Goal, *, framework_allowed: bool, target: str = SERVER, facts_of: FactsOf = registry.facts) -> Decision:
    """The winner by the objective of ``goal``, and a fallback that is not lossy and runs on any CPU of this architecture.

    Only candidates for ``target`` take part; a target other than the server has no fallback, and the original runs on the server alone.
    Those that need a training framework to answer take part only where the user allows it at serve time. Candidates are compared
    with each other over the rounds that were undisturbed for both; where those are too few, over all rounds, and then only a
    clear difference counts. What these leave open the better figure decides. Raises NoCandidate where none is left, UsageError for an
    unknown objective.
    """
    if goal.objective not in OBJECTIVES:
        raise UsageError(f"there is no objective {goal.objective!r}; there are {', '.join(OBJECTIVES)}")
    ranking = Ranking(race, goal.objective)
    frameworks = [one for one in race.timed if facts_of(one.plan.runtime).framework]
    eligible = [one for one in race.timed if facts_of(one.plan.runtime).target == target]
    entrants = [one for one in eligible if framework_allowed or one not in frameworks]
    if not entrants:
        raise NoCandidate("every candidate that passed needs the training framework to answer; allow it with --allow-framework-at-serve")
    undominated = ranking.undominated(entrants)
    winner = min(undominated.equal, key=lambda one: _simplicity(one, ranking, frameworks))
    framework = _framework_form(winner, frameworks, race)
    universal = [one for one in entrants if is_universal(one.plan, facts_of(one.plan.runtime))]
    fallback = None if winner in universal or target != SERVER else _fallback(winner, universal, race)
    reasons = _place(winner, undominated, entrants, ranking) + _certainty(winner, undominated, ranking, facts_of)
    if framework:
        reasons.append(BesideFramework(framework))
    left_out = [one for one in eligible if one not in entrants and ranking.better(one, winner)]
    if left_out:
        reasons.append(NeedsFramework(objective_figure(ranking, min(left_out, key=ranking.key))))
    if fallback:
        reasons.append(FallbackPacked(fallback.plan.name))
    return Decision(winner, fallback, framework, tuple(reasons))


def _simplicity(one: Timed, ranking: Ranking, frameworks: Sequence[Timed]) -> tuple[object, ...]:
    """Smaller is simpler: the original, not lossy, many bits, no compression, no framework, plain options, no spinning between calls, any
    batch size, few threads.
    """
    plan = one.plan
    return (
        one is not ranking.race.original,
        plan.lossy,
        -plan.bits,
        bool(plan.compression),
        one in frameworks,
        bool(plan.flavour),
        plan.spin,
        len(plan.options),
        plan.batch is not None,
        plan.threads,
        *ranking.key(one),
    )


def is_universal(plan: Plan, facts: RuntimeFacts) -> bool:
    """Whether a plan can be the fallback: not lossy, for any CPU of this architecture and any batch size, without a training framework."""
    return not plan.lossy and plan.batch is None and not facts.native and not facts.framework


def _fallback(winner: Timed, universal: Sequence[Timed], race: Race) -> Timed | None:
    """The fastest of ``universal`` that gives the original's answers; of the winner's runtime if possible, as an image then holds one."""
    fit = [one for one in universal if one.measured.verified.parity.equivalent]
    if not fit:
        return None

    def distance(one: Timed) -> tuple[bool, ...]:
        return one.plan.runtime != winner.plan.runtime, bool(one.plan.flavour), one.plan.spin

    least = min(map(distance, fit))
    return Ranking(race, "latency").undominated([one for one in fit if distance(one) == least]).best


def _framework_form(winner: Timed, frameworks: Sequence[Timed], race: Race) -> FrameworkForm | None:
    """The framework's own fastest form, where that is faster than the original and the winner is neither of the two."""
    if winner is race.original or winner in frameworks:
        return None
    forms = [one for one in frameworks if one is not race.original and one.measured.timing.speedup.value > 1]
    if not forms:
        return None
    fastest = min(forms, key=Ranking(race, "latency").key)
    beside = statistics.paired(fastest.latency, winner.latency)
    return FrameworkForm(fastest.plan.name, beside.ratio, beside.quiet)


def _place(winner: Timed, found: Undominated, entrants: Sequence[Timed], ranking: Ranking) -> list[Reason]:
    """The winner's position among ``entrants``."""
    mine = objective_figure(ranking, winner)
    if not math.isfinite(ranking.cost(found.best)):
        return [NoFigure(winner.plan.name, len(found.equal))]
    if winner is ranking.race.original:
        return [OriginalStays(mine)]
    if winner is not found.best:
        return [TiesWithBest(mine, objective_figure(ranking, found.best)), SimplestOf(ranking.objective, len(found.equal))]
    if ranking.cost(winner) <= min(map(ranking.cost, entrants)):
        return [BestFigure(mine)]
    return [NoneBetter(mine)]


def _certainty(winner: Timed, found: Undominated, ranking: Ranking, facts_of: FactsOf) -> list[Reason]:
    """The winner beside the original, why the race stopped, and what is not certain; nothing where no time decides."""
    if not ranking.timed:
        return []
    reasons: list[Reason] = []
    series, course = winner.series(ranking.timed), ranking.race.course
    if winner is not ranking.race.original:
        reasons.append(_beside_original(winner, ranking.race.original, ranking, facts_of))
    if course and course.stopped != "untimed":
        reasons.append(RaceStopped(course.stopped, course.rounds, len(found.equal), len(found.open)))
    if found.open:
        closest = min(found.open, key=ranking.key)
        ratio = pairs.behind(closest.series(ranking.timed), series, ranking.timed)
        reasons.append(LeftOpen(len(found.open), objective_figure(ranking, closest), ratio, round_counts(closest.series(ranking.timed))))
    if series.all and not series.trusted:
        reasons.append(UncertainWinner(winner.plan.name, round_counts(series)))
    return reasons


def _beside_original(winner: Timed, original: Timed, ranking: Ranking, facts_of: FactsOf) -> BesideOriginal:
    timing = winner.measured.timing
    latency = ranking.timed == "latency"
    mine, its = (one.latency if latency else one.throughput for one in (winner, original))
    ratio = timing.speedup if latency else timing.rate.speedup if timing.rate else None
    quiet = timing.paired if latency else timing.rate is not None and timing.rate.paired
    common = len(mine.counted.keys() & its.counted.keys())
    served = "" if facts_of(winner.plan.runtime).target == SERVER else original.plan.name
    return BesideOriginal(ranking.objective, ratio, common if quiet else 0, round_counts(mine), round_counts(its), served)

"""Who wins: the simplest of those that no other beats beyond the noise; the original when nothing beats it."""

from __future__ import annotations

from collections.abc import Callable

from roadworthy.build.benchmark import reasons
from roadworthy.build.benchmark.race import Race
from roadworthy.build.benchmark.ranking import Standing
from roadworthy.bundle.certificate import Choice, FrameworkForm, Goal
from roadworthy.core import registry
from roadworthy.core.errors import NoCandidate, UsageError
from roadworthy.core.evidence import Interval
from roadworthy.core.registry import RuntimeFacts
from roadworthy.core.stages import Measured

OBJECTIVES = ("latency", "throughput", "size", "memory")

_PRECISIONS = {"fp64": 0, "fp32": 0, "bf16": 1, "fp16": 1, "int8": 2}


def choose(race: Race, goal: Goal, *, framework_allowed: bool, facts_of: Callable[[str], RuntimeFacts] = registry.facts) -> Choice:
    """The winner and a float32 fallback that runs on any CPU of this architecture, with the reasons in sentences.

    Those that need a training framework to answer take part only where the user allows it at serve time. Candidates are compared
    with each other over the rounds that were undisturbed for the two; where those are too few, over all rounds, and then only a
    clear lead counts. Raises NoCandidate where nobody is left, UsageError for an unknown objective.
    """
    if goal.objective not in OBJECTIVES:
        raise UsageError(f"there is no objective {goal.objective!r}; there are {', '.join(OBJECTIVES)}")
    return _Choosing(race, goal, framework_allowed, facts_of).choice()


class _Choosing:
    def __init__(self, race: Race, goal: Goal, framework_allowed: bool, facts_of: Callable[[str], RuntimeFacts]) -> None:
        self._race, self._allowed = race, framework_allowed
        self._standing = Standing(race, goal.objective)
        self._facts = {one.verified.candidate.plan.runtime: facts_of(one.verified.candidate.plan.runtime) for one in race.measured}
        self._original = race.measured[0]

    def choice(self) -> Choice:
        entrants = [one for one in self._race.measured if self._allowed or not self._framework(one)]
        if not entrants:
            raise NoCandidate(
                "every candidate that passed needs the training framework to answer; allow it with --allow-framework-at-serve"
            )
        unbeaten = self._standing.unbeaten(entrants)
        winner = min(unbeaten.level, key=self._simplicity)
        said = reasons.of_the_winner(self._standing, winner, unbeaten, entrants)
        framework = self._framework_form(winner)
        if framework:
            said.append(reasons.beside_framework(framework))
        if better := self._left_out(winner):
            said.append(reasons.left_out(self._standing, better))
        fallback = self._fallback(entrants, winner)
        if fallback:
            said.append(f"{reasons.name(fallback)} is packed beside it: float32, for any CPU that the winner does not run on.")
        return Choice(reasons.name(winner), reasons.name(fallback) if fallback else None, tuple(said), framework)

    def _framework_form(self, winner: Measured) -> FrameworkForm | None:
        """What the winner is held against beside the original: the framework's own fastest, where that is faster than the original."""
        if winner is self._original or self._framework(winner):
            return None
        forms = [one for one in self._race.measured[1:] if self._framework(one) and one.timing.speedup.value > 1]
        if not forms:
            return None
        fastest = min(forms, key=Standing(self._race, "latency").rank)
        paired = self._race.paired(fastest, winner)
        speedup = paired.ratio if paired else _widest(fastest.timing.latency_ms, winner.timing.latency_ms)
        return FrameworkForm(reasons.name(fastest), speedup, paired is not None and paired.quiet)

    def _left_out(self, winner: Measured) -> Measured | None:
        """What was better and could not be taken, because of what it needs at serve time."""
        barred = [] if self._allowed else [one for one in self._race.measured if self._framework(one)]
        better = [one for one in barred if self._standing.beats(one, winner)]
        return min(better, key=self._standing.rank, default=None)

    def _simplicity(self, one: Measured) -> tuple[object, ...]:
        """Smaller is simpler: the original, float32, no framework, plain options, no spinning between calls, any batch, few threads."""
        plan = one.verified.candidate.plan
        return (
            one is not self._original,
            _PRECISIONS[plan.precision],
            self._framework(one),
            bool(plan.flavour),
            plan.spin,
            plan.batch is not None,
            plan.threads,
            self._standing.cost(one),
            plan.name,
        )

    def _fallback(self, entrants: list[Measured], winner: Measured) -> Measured | None:
        """One that runs on any such CPU without a framework, of the winner's runtime if possible: an image then holds one runtime.

        None where the winner itself is such a one.
        """
        fit = [one for one in entrants if one.verified.parity.equivalent and self._universal(one)]
        if not fit or self._universal(winner):
            return None

        def strangeness(one: Measured) -> tuple[bool, ...]:
            plan = one.verified.candidate.plan
            return plan.runtime != winner.verified.candidate.plan.runtime, bool(plan.flavour), plan.spin

        least = min(map(strangeness, fit))
        return Standing(self._race, "latency").unbeaten([one for one in fit if strangeness(one) == least]).leader

    def _universal(self, one: Measured) -> bool:
        plan = one.verified.candidate.plan
        native = self._facts[plan.runtime].native
        return plan.precision == "fp32" and plan.batch is None and not native and not self._framework(one)

    def _framework(self, one: Measured) -> bool:
        return self._facts[one.verified.candidate.plan.runtime].framework


def _widest(a: Interval, b: Interval) -> Interval:
    """``a`` over ``b`` where no rounds pair them: as wide as their own intervals allow."""
    return Interval(a.value / b.value, a.low / b.high, a.high / b.low)

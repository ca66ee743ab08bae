"""Who wins: the best by the objective beyond the noise, the simpler one on a tie, the original when nothing beats it."""

from __future__ import annotations

from collections.abc import Callable

from roadworthy.build.measure.race import Race
from roadworthy.bundle.certificate import Choice, FrameworkForm, Goal
from roadworthy.core import registry
from roadworthy.core.errors import NoCandidate, UsageError
from roadworthy.core.evidence import Interval
from roadworthy.core.registry import Facts
from roadworthy.core.stages import Measured, Plan

OBJECTIVES = ("latency", "throughput", "size", "memory")
MARGIN = {"latency": 0.02, "throughput": 0.02, "size": 0.01, "memory": 0.05}
"""Leads smaller than this share are ties, however sure: nobody notices them, and the simpler one is worth more."""

_PRECISIONS = {"fp64": 0, "fp32": 0, "bf16": 1, "fp16": 1, "int8": 2}


def choose(race: Race, goal: Goal, *, framework_allowed: bool, facts_of: Callable[[str], Facts] = registry.facts) -> Choice:
    """The winner and a float32 fallback that runs on any CPU of this architecture, with the reasons in sentences.

    Those that need a training framework to answer take part only where the user allows it at serve time. Timings
    that are not trusted choose nothing. Raises NoCandidate where nobody is left, UsageError for an unknown objective.
    """
    if goal.objective not in OBJECTIVES:
        raise UsageError(f"there is no objective {goal.objective!r}; there are {', '.join(OBJECTIVES)}")
    return _Choosing(race, goal, framework_allowed, facts_of).choice()


class _Choosing:
    def __init__(self, race: Race, goal: Goal, framework_allowed: bool, facts_of: Callable[[str], Facts]) -> None:
        self._race, self._objective, self._allowed = race, goal.objective, framework_allowed
        self._facts = {one.verified.candidate.plan.runtime: facts_of(one.verified.candidate.plan.runtime) for one in race.measured}
        self._original = race.measured[0]

    def choice(self) -> Choice:
        entrants = [one for one in self._race.measured if self._allowed or not self._framework(one)]
        if not entrants:
            raise NoCandidate(
                "every candidate that passed needs the training framework to answer; allow it with --allow-framework-at-serve"
            )
        winner, reasons = self._winner(entrants)
        framework = self._framework_form(winner)
        if framework:
            reasons.append(_beside_framework(framework))
        reasons += self._left_out(winner)
        fallback = self._fallback(entrants, winner)
        if fallback:
            reasons.append(f"{_name(fallback)} is packed beside it: float32, for any CPU that the winner does not run on.")
        return Choice(_name(winner), _name(fallback) if fallback else None, tuple(reasons), framework)

    def _winner(self, entrants: list[Measured]) -> tuple[Measured, list[str]]:
        trusted = [one for one in entrants if self._trusted(one)]
        if not trusted:
            winner = min(self._equivalent(entrants) or entrants, key=self._simplicity)
            return winner, [
                f"The machine was too noisy to choose by speed: {_name(winner)} had {winner.timing.rounds} undisturbed rounds and "
                f"{winner.timing.noisy} disturbed ones, and no other fared well enough; no timing decided.",
                f"{_name(winner)} is the simplest candidate that gives the original's answers.",
            ]
        leader = min(trusted, key=self._cost)
        level = [one for one in trusted if one is leader or not self._beats(leader, one)]
        winner = min(level, key=self._simplicity)
        return winner, self._reasons(winner, leader, level, len(entrants) - len(trusted))

    def _reasons(self, winner: Measured, leader: Measured, level: list[Measured], untrusted: int) -> list[str]:
        timed = self._objective in ("latency", "throughput")
        if winner is self._original:
            reasons = [f"Nothing beat the original beyond the noise, so it stays as it is: {self._figure(winner)}."]
        elif winner is leader:
            reasons = [f"{_name(winner)} has {_SUPERLATIVE[self._objective]}: {self._figure(winner)}."]
        else:
            reasons = [
                f"{_name(winner)}, at {self._figure(winner)}, is level with the best ({_name(leader)}: {self._figure(leader)}).",
                f"Of {len(level)} that are level within the noise or within {MARGIN[self._objective]:.0%}, it is the simplest.",
            ]
        if timed and winner is not self._original:
            reasons.append(self._beside_original(winner))
        if untrusted:
            others = "1 other" if untrusted == 1 else f"{untrusted} others"
            reasons.append(f"{others} took no part in the choice, for too few undisturbed rounds or too restless ones.")
        return reasons

    def _beside_original(self, winner: Measured) -> str:
        if self._objective == "throughput":
            return f"That is {winner.timing.throughput_gain:.2f} times the original's throughput."
        beside = winner.timing.speedup
        return (
            f"It is {beside.value:.2f} times as fast as the original as it is called (95 % interval {beside.low:.2f} to {beside.high:.2f}, "
            f"{winner.timing.rounds} rounds)."
        )

    def _framework_form(self, winner: Measured) -> FrameworkForm | None:
        """What the winner is held against beside the original: the framework's own fastest, where that is faster than the original."""
        if winner is self._original or self._framework(winner):
            return None
        forms = [one for one in self._race.measured[1:] if self._framework(one) and one.timing.speedup.value > 1]
        if not forms:
            return None
        fastest = min(forms, key=lambda one: one.timing.latency_ms.value)
        paired = self._race.paired(fastest, winner)
        return FrameworkForm(_name(fastest), paired or _widest(fastest.timing.latency_ms, winner.timing.latency_ms), paired is not None)

    def _left_out(self, winner: Measured) -> list[str]:
        """What was better and could not be taken, because of what it needs at serve time."""
        if self._allowed:
            return []
        barred = [one for one in self._race.measured if self._framework(one) and self._trusted(one)]
        better = [one for one in barred if self._beats(one, winner)]
        if not better:
            return []
        best = min(better, key=self._cost)
        return [
            f"{_name(best)} was better still ({self._figure(best)}) but needs the training framework to answer; "
            "--allow-framework-at-serve lets it take part."
        ]

    def _trusted(self, one: Measured) -> bool:
        """Whether the figure of the objective may decide: sizes always, speeds after enough quiet rounds."""
        if self._objective == "throughput":
            return self._race.paired(one, one, "throughput") is not None
        return one.timing.trusted or self._objective != "latency"

    def _beats(self, a: Measured, b: Measured) -> bool:
        """Whether ``a`` is better than ``b`` beyond the noise and by more than the margin."""
        margin = 1 - MARGIN[self._objective]
        if self._objective in ("size", "memory"):
            return self._cost(a) < margin * self._cost(b)
        beside = self._race.paired(a, b) if self._objective == "latency" else self._race.paired(b, a, "throughput")
        return beside is not None and beside.value < margin and beside.high < 1.0

    def _cost(self, one: Measured) -> float:
        """The figure of the objective, smaller is better."""
        timing = one.timing
        rate = 1 / timing.throughput if timing.throughput else float("inf")
        return {"latency": timing.latency_ms.value, "throughput": rate, "size": timing.size_mb, "memory": timing.memory_mb}[self._objective]

    def _figure(self, one: Measured) -> str:
        timing = one.timing
        return {
            "latency": f"{timing.latency_ms.value:.3g} ms a call at batch 1",
            "throughput": f"{timing.throughput:.4g} samples a second in batches of {timing.best_batch}",
            "size": f"{timing.size_mb:.3g} MiB on disk",
            "memory": f"{timing.memory_mb:.4g} MiB of memory at its peak",
        }[self._objective]

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
            self._cost(one),
        )

    def _fallback(self, entrants: list[Measured], winner: Measured) -> Measured | None:
        """One that runs on any such CPU without a framework, of the winner's runtime if possible: an image then holds one runtime.

        None where the winner itself is such a one.
        """
        fit = [one for one in self._equivalent(entrants) if self._universal(one)]
        if not fit or self._universal(winner):
            return None

        def worth(one: Measured) -> tuple[object, ...]:
            plan = one.verified.candidate.plan
            return plan.runtime != winner.verified.candidate.plan.runtime, bool(plan.flavour), plan.spin, one.timing.latency_ms.value

        return min(fit, key=worth)

    def _universal(self, one: Measured) -> bool:
        plan = one.verified.candidate.plan
        native = self._facts[plan.runtime].native
        return plan.precision == "fp32" and plan.batch is None and not native and not self._framework(one)

    def _equivalent(self, entrants: list[Measured]) -> list[Measured]:
        return [one for one in entrants if one.verified.parity.equivalent and one.verified.candidate.plan.precision == "fp32"]

    def _framework(self, one: Measured) -> bool:
        return self._facts[one.verified.candidate.plan.runtime].framework


_SUPERLATIVE = {
    "latency": "the shortest latency",
    "throughput": "the highest throughput",
    "size": "the smallest size",
    "memory": "the smallest memory",
}


def _widest(a: Interval, b: Interval) -> Interval:
    """``a`` over ``b`` where no rounds pair them: as wide as their own intervals allow."""
    return Interval(a.value / b.value, a.low / b.high, a.high / b.low)


def _beside_framework(form: FrameworkForm) -> str:
    beside = form.speedup
    how = "95 % interval {} to {}, paired by round" if form.paired else "{} to {} at the widest, with too few quiet rounds to pair"
    return (
        f"For one sample it is {beside.value:.2f} times as fast as the fastest form of the original's own framework here, {form.plan} "
        f"({how.format(f'{beside.low:.2f}', f'{beside.high:.2f}')})."
    )


def _name(one: Measured) -> str:
    plan: Plan = one.verified.candidate.plan
    return plan.name

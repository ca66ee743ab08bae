"""The choice in sentences, as the certificate, the report and the terminal show it."""

from __future__ import annotations

from roadworthy.build.benchmark.decision.choose import Decision
from roadworthy.build.benchmark.decision.ranking import MARGIN
from roadworthy.build.benchmark.decision.reasons import (
    BesideFramework,
    BesideOriginal,
    BestFigure,
    FallbackPacked,
    LeftOpen,
    NeedsFramework,
    NoFigure,
    NoneBetter,
    ObjectiveFigure,
    OriginalStays,
    RaceStopped,
    Reason,
    RoundCounts,
    SimplestOf,
    TiesWithBest,
    UncertainWinner,
)
from roadworthy.build.benchmark.pairs import CLEAR
from roadworthy.bundle.certificate import Choice, FrameworkForm
from roadworthy.core.evidence import Interval

SUPERLATIVES = {
    "latency": "the shortest latency",
    "throughput": "the highest throughput",
    "size": "the smallest size",
    "memory": "the smallest memory",
}


def in_words(decision: Decision) -> Choice:
    """``decision`` as the certificate holds it: names, and a sentence for each reason."""
    fallback = decision.fallback.plan.name if decision.fallback else None
    return Choice(decision.winner.plan.name, fallback, tuple(map(sentence, decision.reasons)), decision.framework)


def sentence(reason: Reason) -> str:
    """One reason in words."""
    match reason:
        case OriginalStays(original):
            return f"Nothing is better than the original {_beyond(original.objective)}, so it stays as it is: {_figure(original)}."
        case TiesWithBest(winner, best):
            return f"{winner.plan}, at {_figure(winner)}, equals {best.plan} ({_figure(best)}) within {MARGIN[winner.objective]:.0%}."
        case SimplestOf(objective, count):
            return f"It is the simplest of {count} that are equal within {MARGIN[objective]:.0%}{_certain(objective)}."
        case BestFigure(winner):
            return f"{winner.plan} has {SUPERLATIVES[winner.objective]}: {_figure(winner)}."
        case NoneBetter(winner):
            return f"No other is better than {winner.plan} {_beyond(winner.objective)} in the rounds that both ran: {_figure(winner)}."
        case NoFigure(plan, count):
            return f"There was no time to measure the throughput of any of {count} candidates; {plan} is the simplest of them."
        case BesideOriginal():
            return _beside_original(reason)
        case UncertainWinner(plan, rounds):
            return _uncertain(plan, rounds)
        case RaceStopped():
            return _stopped(reason)
        case LeftOpen():
            return _left_open(reason)
        case BesideFramework(form):
            return _beside_framework(form)
        case NeedsFramework(better):
            return (
                f"{better.plan} is better still ({_figure(better)}) but needs the training framework to answer; "
                "--allow-framework-at-serve lets it take part."
            )
        case FallbackPacked(plan):
            return f"{plan} is packed beside it: not lossy, for any CPU that the winner does not run on."


def _figure(figure: ObjectiveFigure) -> str:
    """The figure with its unit."""
    if figure.value is None:
        return "too few rounds of throughput"
    return {
        "latency": f"{figure.value:.3g} ms a call at batch 1",
        "throughput": f"{figure.value:.4g} samples a second in calls of {figure.batch}",
        "size": f"{figure.value:.3g} MiB on disk",
        "memory": f"{figure.value:.4g} MiB of memory at its peak",
    }[figure.objective]


def _certain(objective: str) -> str:
    return " at 95 % confidence" if objective in ("latency", "throughput") else ""


def _beyond(objective: str) -> str:
    timed = objective in ("latency", "throughput")
    return f"by more than {'the noise and ' if timed else ''}{MARGIN[objective]:.0%}"


def _beside_original(reason: BesideOriginal) -> str:
    ratio = reason.ratio
    if ratio is None:
        return "Its throughput relative to the original's is not known: too few rounds compare the two at their best batch sizes."
    if reason.paired:
        about, how = "", f"95 % interval {_span(ratio)}, {reason.paired} rounds"
    elif reason.winner.disturbed or reason.original.disturbed:
        counts = f"{_disturbed(reason.winner)} of its own and {_disturbed(reason.original)} of {reason.served or 'the original'}"
        about, how = "about ", f"{_span(ratio)}; disturbed rounds: {counts}"
    else:
        about, how = "about ", f"{_span(ratio)}, as few rounds compare the two"
    if reason.objective == "throughput":
        return f"That is {about}{ratio.value:.2f} times the throughput of {reason.served or 'the original'} ({how})."
    beside = f"{reason.served} on this machine" if reason.served else "the original as it is called"
    digits = ".2f" if ratio.value >= 0.1 else ".2g"
    return f"It is {about}{ratio.value:{digits}} times as fast as {beside} ({how})."


def _stopped(reason: RaceStopped) -> str:
    after = f"The race stopped after {reason.rounds} rounds"
    match reason.why:
        case "leads":
            return f"{after}: every other candidate was slower for certain."
        case "level":
            return f"{after}: those that were left are equal within {MARGIN['latency']:.0%} at 95 % confidence."
        case "budget":
            return f"{after} because --time-budget left it no more time{_undecided(reason)}; a longer one lets it go on."
        case "time":
            return f"{after} because its time was over{_undecided(reason)}."
        case _:
            return f"{after}, the most it runs{_undecided(reason)}."


def _undecided(reason: RaceStopped) -> str:
    return ", before it was decided: the better figure was taken" if reason.open else ""


def _left_open(reason: LeftOpen) -> str:
    best = f"{reason.closest.plan} ({_figure(reason.closest)})"
    many = f"{best} may be as good" if reason.count == 1 else f"{reason.count} others may be as good, the closest of them {best}"
    if reason.ratio is None:
        return f"{many}: too few rounds compare it with the winner."
    times = f"it takes {reason.ratio.value:.2f} times as long (95 % interval {_span(reason.ratio)})"
    disturbed = (
        f"; {_disturbed(reason.rounds)} of its rounds were disturbed" if not reason.rounds.enough and reason.rounds.disturbed else ""
    )
    return f"{many}: {times}{disturbed}."


def _uncertain(plan: str, rounds: RoundCounts) -> str:
    if rounds.enough:
        return f"The rounds of {plan} do not agree: {_spread(rounds)}, so that small differences cannot be detected."
    if not rounds.disturbed:
        return f"{plan} was timed in {rounds.rounds} rounds only."
    return (
        f"Other processes disturbed {_disturbed(rounds)} rounds of {plan}: all rounds were counted, "
        f"and only differences of more than {CLEAR:.0%} in them were certain."
    )


def _beside_framework(form: FrameworkForm) -> str:
    span = _span(form.speedup)
    how = f"95 % interval {span}, paired by round" if form.paired else f"about: {span}, with too few undisturbed rounds of both"
    return (
        f"For one sample it is {form.speedup.value:.2f} times as fast as the fastest form of the original's own framework here, "
        f"{form.plan} ({how})."
    )


def _span(interval: Interval) -> str:
    return f"{interval.low:.2f} to {interval.high:.2f}"


def _disturbed(rounds: RoundCounts) -> str:
    return f"{rounds.disturbed} of {rounds.rounds}"


def _spread(rounds: RoundCounts) -> str:
    return f"the 95 % interval of the median is {rounds.spread:.0%} of the median wide"

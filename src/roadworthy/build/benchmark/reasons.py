"""Why the winner won, in sentences: each is a fact from the figures of the race."""

from __future__ import annotations

from collections.abc import Sequence

from roadworthy.build.benchmark import statistics
from roadworthy.build.benchmark.ranking import CLEAR, MARGIN, Standing, Unbeaten
from roadworthy.build.benchmark.statistics import Series
from roadworthy.bundle.certificate import FrameworkForm
from roadworthy.core.evidence import ENOUGH
from roadworthy.core.stages import Measured

_SUPERLATIVE = {
    "latency": "the shortest latency",
    "throughput": "the highest throughput",
    "size": "the smallest size",
    "memory": "the smallest memory",
}


def of_the_winner(standing: Standing, winner: Measured, found: Unbeaten, entrants: Sequence[Measured]) -> list[str]:
    """How ``winner`` stands to the other ``entrants`` and to the original, and what makes the comparison less than certain."""
    original = standing.race.measured[0]
    said = _place(standing, winner, found, entrants)
    if standing.timed and winner is not original:
        said += _beside_original(standing, winner)
    if standing.timed and not standing.trusted(winner):
        said.append(_uncertain(name(winner), standing.series(winner)))
    if found.unjudged:
        said.append(_unjudged(standing, found.unjudged))
    return said


def beside_framework(form: FrameworkForm) -> str:
    """The winner against the fastest form of the original's framework."""
    beside = form.speedup
    how = "95 % interval {} to {}, paired by round" if form.paired else "about: {} to {}, with too few undisturbed rounds that pair the two"
    return (
        f"For one sample it is {beside.value:.2f} times as fast as the fastest form of the original's own framework here, {form.plan} "
        f"({how.format(f'{beside.low:.2f}', f'{beside.high:.2f}')})."
    )


def left_out(standing: Standing, better: Measured) -> str:
    """What beat the winner and needs the training framework."""
    return (
        f"{name(better)} was better still ({figure(standing, better)}) but needs the training framework to answer; "
        "--allow-framework-at-serve lets it take part."
    )


def name(one: Measured) -> str:
    """The name of its plan."""
    return one.verified.candidate.plan.name


def figure(standing: Standing, one: Measured) -> str:
    """The figure of the objective with its unit."""
    timing = one.timing
    if standing.objective == "throughput":
        rate = timing.rate
        return f"{rate.per_second.value:.4g} samples a second in calls of {rate.batch}" if rate else "too few rounds of throughput"
    return {
        "latency": f"{timing.latency_ms.value:.3g} ms a call at batch 1",
        "size": f"{timing.size_mb:.3g} MiB on disk",
        "memory": f"{timing.memory_mb:.4g} MiB of memory at its peak",
    }[standing.objective]


def _place(standing: Standing, winner: Measured, found: Unbeaten, entrants: Sequence[Measured]) -> list[str]:
    """Where the winner stands among the others."""
    mine, leader, margin = figure(standing, winner), found.leader, f"{MARGIN[standing.objective]:.0%}"
    beyond = f"by more than the noise and {margin}" if standing.timed else f"by more than {margin}"
    if winner is standing.race.measured[0]:
        return [f"Nothing beat the original {beyond}, so it stays as it is: {mine}."]
    if winner is not leader:
        return [
            f"{name(winner)}, at {mine}, is level with {name(leader)} ({figure(standing, leader)}).",
            f"Of {len(found.level)} that no other beat {beyond}, it is the simplest.",
        ]
    if standing.cost(winner) <= min(map(standing.cost, entrants)):
        return [f"{name(winner)} has {_SUPERLATIVE[standing.objective]}: {mine}."]
    return [f"No other beat {name(winner)} {beyond} in the rounds that both ran: {mine}."]


def _beside_original(standing: Standing, winner: Measured) -> list[str]:
    throughput = standing.objective == "throughput"
    rate = winner.timing.rate
    beside = (rate and rate.speedup) if throughput else winner.timing.speedup
    if not beside:
        return ["How its throughput stands to the original's is not known: too few rounds compare the two at their best batch sizes."]
    mine, its = (standing.series(one) for one in (winner, standing.race.measured[0]))
    common = mine.undisturbed.keys() & its.undisturbed.keys()
    if len(common) >= ENOUGH:
        about, how = "", f"95 % interval {beside.low:.2f} to {beside.high:.2f}, {len(common)} rounds"
    else:
        span = f"{beside.low:.2f} to {beside.high:.2f}"
        noisy = f", disturbed rounds included: {_disturbed(mine)} of its own and {_disturbed(its)} of the original"
        about, how = "about ", span + (noisy if mine.noisy or its.noisy else ", as few rounds compare the two")
    if throughput:
        return [f"That is {about}{beside.value:.2f} times the original's throughput ({how})."]
    return [f"It is {about}{beside.value:.2f} times as fast as the original as it is called ({how})."]


def _disturbed(series: Series) -> str:
    return f"{series.noisy} of {len(series.values)}"


def _uncertain(who: str, series: Series) -> str:
    """Why the figure of one that was chosen is not certain."""
    if series.enough:
        return f"The rounds of {who} do not agree: {_spread(series)}, so that small differences cannot be told apart."
    if not series.noisy:
        return f"{who} was timed in {len(series.values)} rounds only."
    return (
        f"Other processes disturbed {_disturbed(series)} rounds of {who}: all rounds were counted, "
        f"and only leads of more than {CLEAR:.0%} in them decided."
    )


def _unjudged(standing: Standing, unjudged: Sequence[Measured]) -> str:
    """Those that might be as good, and why that cannot be said."""
    best = min(unjudged, key=standing.rank)
    series = standing.series(best)
    why = _spread(series) if series.enough else f"{_disturbed(series)} rounds were disturbed" if series.noisy else "too few rounds"
    if len(unjudged) == 1:
        return f"{name(best)} ({figure(standing, best)}) was not judged: {why}."
    return (
        f"{len(unjudged)} that no other beat were not judged, as their rounds were disturbed, too few or not in agreement; "
        f"the best figure of these is that of {name(best)} ({figure(standing, best)}): {why}."
    )


def _spread(series: Series) -> str:
    return f"the 95 % interval of the median is {statistics.width(series.typical):.0%} of the median wide"

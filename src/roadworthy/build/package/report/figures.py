"""Numbers for people: three significant digits, a unit, and the interval after the estimate."""

from __future__ import annotations

from math import floor, isfinite, log10

from roadworthy.core.evidence import ENOUGH, Interval, Rate, Score, Timing
from roadworthy.core.stages import Plan

MINUS = "\N{MINUS SIGN}"
MULTIPLY = "\N{MULTIPLICATION SIGN}"


def number(value: float) -> str:
    """Three significant digits, thousands grouped, no exponent between 0.001 and a million."""
    if not isfinite(value):
        return "not finite"
    if value == 0:
        return "0"
    size = floor(log10(abs(value)))
    if size < -3 or size > 5:
        return f"{value:.2g}".replace("-", MINUS)
    return f"{value:,.{max(0, 2 - size)}f}".replace("-", MINUS)


def ms(value: float) -> str:
    return f"{number(value)} ms"


def mb(value: float) -> str:
    return f"{value:,.0f} MB" if value >= 10 else f"{number(value)} MB"


def times(value: float) -> str:
    return f"{number(value)}{MULTIPLY}"


def speed(ratio: Interval) -> str:
    """A ratio of speeds in words."""
    return f"{number(ratio.value)} times faster" if ratio.value >= 1 else f"at {number(ratio.value)} of its speed"


def span(interval: Interval) -> str:
    """The 95 % interval alone."""
    return f"{number(interval.low)} to {number(interval.high)}"


def of_calls(timing: Timing) -> str:
    """The number of calls behind a 99th percentile, where it is too small for one."""
    return f" of {timing.calls} calls" if 0 < timing.calls < 100 else ""


def rounds(timing: Timing | Rate) -> str:
    """How many rounds were timed, how many of them were disturbed, and whether that is enough."""
    noisy = f" and {timing.noisy} that other processes disturbed" if timing.noisy else ""
    undisturbed = f"{timing.rounds} undisturbed round{'s' if timing.rounds != 1 else ''}"
    doubt = "" if timing.trusted else ": too few undisturbed ones" if timing.rounds < ENOUGH else ": they do not agree"
    return f"{undisturbed}{noisy}{doubt}"


def share(value: float) -> str:
    """A part of one as a percentage."""
    return f"{100 * value:.2f} %".replace("-", MINUS)


def metric(score: Score, value: float) -> str:
    """A value of the metric: a percentage where its values lie between 0 and 1, a plain number otherwise."""
    return share(value) if score.percent else number(value)


def metric_span(score: Score, interval: Interval) -> str:
    """An interval of the metric, the unit once."""
    return f"{metric(score, interval.low).removesuffix(' %')} to {metric(score, interval.high)}"


def change(score: Score) -> str:
    """The change of the metric against the original; a minus sign says worse, or, where lower is better, better."""
    text = _signed(score, direction(score) * score.drop.value)
    return "no change" if text == "0.00" else f"{text} points" if score.percent else text


def change_span(score: Score) -> str:
    """The interval of ``change``, worst first."""
    return f"{_signed(score, direction(score) * score.drop.high)} to {_signed(score, direction(score) * score.drop.low)}"


def direction(score: Score) -> int:
    """The sign of the change of a metric that got worse: a drop where higher is better, else a rise."""
    return 1 if score.better == "lower" else -1


def basis(score: Score) -> str:
    """How many samples a score is of, and which."""
    part = {"final": ", none of which took part in choosing", "choosing": ", which choose among the candidates"}.get(score.part, "")
    return f"on {score.samples:,} samples{part}{'; stopped early, when the verdict was certain' if score.stopped else ''}"


def loss(score: Score, value: float) -> str:
    """A bound or a budget on the drop, in the units of ``change``."""
    return f"{100 * value:.2f} points".replace("-", MINUS) if score.percent else number(value)


def _signed(score: Score, value: float) -> str:
    text = f"{100 * value:+.2f}" if score.percent else f"{value:+.4g}"
    return "0.00" if float(text) == 0 else text.replace("-", MINUS)


def plan(plan: Plan) -> str:
    """The options of a plan in words, other than its runtime and precision."""
    parts = (
        "lossy" if plan.lossy else "",
        plan.compression,
        plan.flavour,
        f"{plan.threads} thread{'s' if plan.threads != 1 else ''}",
        f"fixed batch {plan.batch}" if plan.batch else "any batch",
        "spinning" if plan.spin else "",
        *plan.options,
    )
    return ", ".join(part for part in parts if part)

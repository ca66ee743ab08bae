"""Numbers as people read them: three digits that matter, a unit, and the interval beside the estimate."""

from __future__ import annotations

from math import floor, isfinite, log10

from roadworthy.core.evidence import Interval, Score
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


def span(interval: Interval) -> str:
    """The 95 % interval alone."""
    return f"{number(interval.low)} to {number(interval.high)}"


def share(value: float) -> str:
    """A metric between 0 and 1 as a percentage with two decimals below 10 points of resolution."""
    return f"{100 * value:.2f} %".replace("-", MINUS)


def share_span(interval: Interval) -> str:
    return f"{100 * interval.low:.2f} to {100 * interval.high:.2f} %".replace("-", MINUS)


def change(score: Score) -> str:
    """The change of the metric against the original; a loss bears a minus sign."""
    drop = 100 * score.drop.value
    if abs(drop) < 0.005:
        return "no change"
    return f"{MINUS if drop > 0 else '+'}{abs(drop):.2f} points"


def change_span(score: Score) -> str:
    """The interval of ``change``, in points."""
    ends = [f"{-100 * end:+.2f}" for end in (score.drop.high, score.drop.low)]
    return " to ".join("0.00" if float(end) == 0 else end for end in ends).replace("-", MINUS)


def plan(plan: Plan) -> str:
    """The options of a plan in words, beside its runtime and precision."""
    parts = (
        plan.flavour,
        f"{plan.threads} thread{'s' if plan.threads != 1 else ''}",
        f"fixed batch {plan.batch}" if plan.batch else "any batch",
        "spinning" if plan.spin else "",
    )
    return ", ".join(part for part in parts if part)

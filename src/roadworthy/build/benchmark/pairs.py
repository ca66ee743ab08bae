"""Two candidates in the same rounds: whether one is certainly slower than the other, or both are certainly equal within the margin."""

from __future__ import annotations

import math

import numpy as np

from roadworthy.build.benchmark import signs
from roadworthy.build.benchmark.case import Figure
from roadworthy.build.benchmark.statistics import Series, log_ratios
from roadworthy.core.evidence import ENOUGH, Interval
from roadworthy.core.types import Array

MARGIN = 0.02
"""A difference of time below this share is none: no user notices it, and a simpler candidate is worth more."""
CLEAR = 0.05
"""Where disturbed rounds have to be counted, a difference must lie beyond this share."""
NEIGHBOUR = 1.0
"""While a race is young, they must lie beyond this one: a neighbour can make one of two candidates take twice as long for some seconds."""
ERROR_RATE = 0.05
"""The probability that the best candidate is taken for slower than another, or an unequal pair for equal."""


def error_rate(contenders: int) -> float:
    """The error of one comparison, such that all comparisons of one candidate together keep to ``ERROR_RATE`` (Bonferroni)."""
    return ERROR_RATE / max(1, contenders - 1)


def beats(a: Series, b: Series, figure: Figure, alpha: float, *, young: bool = False) -> bool:
    """Whether ``b`` is certainly slower than ``a``, and by more than the margin as far as is known.

    With too few rounds that were quiet for both, all rounds count, and then only a difference beyond ``CLEAR``, or beyond ``NEIGHBOUR`` in
    a ``young`` race.
    """
    logs, quiet = _slowness(b, a, figure)
    if not len(logs) or np.median(logs) <= math.log1p(MARGIN):
        return False
    return signs.slower(logs, 0.0 if quiet else math.log1p(NEIGHBOUR if young else CLEAR), alpha)


def level(a: Series, b: Series, figure: Figure, alpha: float) -> bool:
    """Whether neither is slower than the other by more than the margin, for certain."""
    logs, _ = _slowness(b, a, figure)
    limit = math.log1p(MARGIN)
    return len(logs) > 0 and signs.above(logs, -limit, alpha) and signs.above(-logs, -limit, alpha)


def always_behind(b: Series, a: Series, figure: Figure) -> bool:
    """Whether ``b`` is slower than ``a`` by more than ``CLEAR`` in every round that both ran, of which there are enough."""
    slow, fast = (a.all, b.all) if figure == "throughput" else (b.all, a.all)
    common = slow.keys() & fast.keys()
    return len(common) >= ENOUGH and all(slow[number] > (1 + CLEAR) * fast[number] for number in common)


def behind(b: Series, a: Series, figure: Figure) -> Interval | None:
    """How many times as long ``b`` takes as ``a``, in the median of the rounds that both ran, with its confidence sequence."""
    logs, _ = _slowness(b, a, figure)
    if not len(logs):
        return None
    found = signs.median(logs)
    return Interval(math.exp(found.value), math.exp(found.low), math.exp(found.high))


def _slowness(b: Series, a: Series, figure: Figure) -> tuple[Array, bool]:
    """The logarithm of how many times as long ``b`` takes as ``a`` in each round."""
    return log_ratios(a, b) if figure == "throughput" else log_ratios(b, a)

"""How certain the drop of a metric is: a paired bootstrap of the samples, and an exact lower limit for its bounds.

Where hardly any sample changed, the bootstrap has nothing to draw from and its bounds are too small. The exact binomial bound (Clopper
and Pearson 1934) on the number of samples that got worse is then the limit. Worked example: none of 100 samples changed. The drop is 0,
yet the rate of losses may be as high as 1 - 0.05^(1/100) = 3 % at 95 % confidence, so a budget of 1 % needs more samples (about 300).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from roadworthy.core import bootstrap
from roadworthy.core.errors import BackendMissing
from roadworthy.core.evidence import Interval
from roadworthy.core.types import Array

ONE_SIDED, TAIL = 0.05, 0.025
FEW_CHANGED = 30
"""With fewer samples that changed, the interval's other end has the exact limit too."""
MOST_SAMPLES = 100_000_000


def mean_interval(values: Array) -> Interval:
    """The mean of per-sample scores and its 95 % interval: exact for scores of 0 and 1, else by the bootstrap."""
    n, value = len(values), float(np.mean(values))
    if np.all((values == 0) | (values == 1)):
        hits = int(np.sum(values))
        return Interval(value, 1 - binomial_upper(n - hits, n, TAIL), binomial_upper(hits, n, TAIL))
    low, high = np.quantile(bootstrap.means(values)[0], [TAIL, 1 - TAIL])
    return Interval(value, float(low), float(high))


def drop_interval(losses: Array, span: float, alpha: float = ONE_SIDED) -> tuple[Interval, float]:
    """The mean of ``losses`` (original minus candidate, float [n]; positive is worse), its 95 % interval and one-sided bound.

    ``span`` is what one sample can lose at most, for the case that none of them lost anything. ``alpha`` is the error of the bound.
    """
    value = float(np.mean(losses))
    drawn, distances = bootstrap.means(losses)
    low, high, bound = (float(x) for x in np.quantile(drawn, [TAIL, 1 - TAIL, 1 - alpha]))
    if len(distances):
        error = float(np.std(losses)) / math.sqrt(len(losses))
        bound, high = (max(a, value - float(np.quantile(distances, q)) * error) for a, q in ((bound, alpha), (high, TAIL)))
    if np.count_nonzero(losses) < FEW_CHANGED:
        low = min(low, -_exact_bound(-losses, span, TAIL))
    return Interval(value, low, max(high, _exact_bound(losses, span, TAIL))), max(bound, _exact_bound(losses, span, alpha))


@dataclass(frozen=True)
class SetIntervals:
    """The figure of a whole set, the original's on the same samples, by how much it is worse, and the one-sided bound on that."""

    value: Interval
    original: float
    drop: Interval
    bound: float


def set_intervals(
    combine: Callable[[Array], float],
    mine: Array,
    theirs: Array,
    *,
    sign: int,
    span: float | None,
    resamples: int,
    alpha: float = ONE_SIDED,
) -> SetIntervals | None:
    """By the percentiles of ``resamples`` resamples of the samples (Efron 1979), the same ones for both; ``sign`` is -1 where lower is
    better. ``None`` where the figure is not defined on these samples, or on most resamples.

    ``mine`` and ``theirs`` are rows [n, ...] that ``combine`` makes the figure of. Where few rows differ, the rate of those that do may
    be larger than what was seen; each of them may cost ``span`` samples. ``alpha`` is the error of the bound.
    """
    n, changed = len(mine), _rows_that_differ(mine, theirs)
    value, original = combine(mine), combine(theirs) if changed else combine(mine)
    drawn = []
    for rows in bootstrap.draws(n, resamples):
        one = combine(mine[rows])
        drawn.append((one, combine(theirs[rows]) if changed else one))
    pairs = np.array(drawn)
    pairs = pairs[np.isfinite(pairs).all(axis=1)]
    if not (math.isfinite(value) and math.isfinite(original)) or len(pairs) < resamples / 2:
        return None
    low, high = np.quantile(pairs[:, 0], [TAIL, 1 - TAIL])
    worse, seen = sign * (original - value), sign * (pairs[:, 1] - pairs[:, 0])
    ends = [float(x) for x in np.quantile(seen, [TAIL, 1 - TAIL, 1 - alpha])]
    if span is not None and changed < FEW_CHANGED:
        unseen = [span * (binomial_upper(changed, n, error) - changed / n) for error in (TAIL, alpha)]
        ends = [min(ends[0], worse - unseen[0]), max(ends[1], worse + unseen[0]), max(ends[2], worse + unseen[1])]
    return SetIntervals(Interval(value, float(low), float(high)), original, Interval(worse, ends[0], ends[1]), ends[2])


def _rows_that_differ(mine: Array, theirs: Array) -> int:
    if mine is theirs:
        return 0
    if mine.dtype.hasobject or mine.dtype.names:
        # Such rows hold answers in full, and these are hardly ever equal to the last bit.
        return len(mine)
    return int(np.sum((mine != theirs).reshape(len(mine), -1).any(axis=1)))


def samples_needed(losses: Array, span: float, budget: float, alpha: float = ONE_SIDED) -> int | None:
    """How many samples like these would bring the bound within ``budget``; ``None`` where the drop itself is beyond it."""
    value, deviation, n = float(np.mean(losses)), float(np.std(losses)), len(losses)
    quantile = NormalDist().inv_cdf(1 - alpha)
    if value >= budget:
        return None

    def passes(size: int) -> bool:
        normal = value + quantile * deviation / math.sqrt(size)
        worse, mean_loss, gained = _losses_and_gains(losses, span)
        return max(normal, binomial_upper(round(worse * size / n), size, alpha) * mean_loss - gained) <= budget

    high = n
    while not passes(high):
        high *= 2
        if high > MOST_SAMPLES:
            return None
    low = high // 2
    while high - low > max(1, high // 100):
        middle = (low + high) // 2
        low, high = (low, middle) if passes(middle) else (middle, high)
    return max(high, n + 1)


def binomial_upper(hits: int, n: int, alpha: float) -> float:
    """The largest rate at which ``hits`` or fewer of ``n`` still happen with probability ``alpha`` (Clopper and Pearson 1934).

    Raises BackendMissing without SciPy.
    """
    try:
        from scipy.special import betaincinv
    except ImportError as problem:
        raise BackendMissing("the bounds of a metric need SciPy: pip install 'roadworthy[build]'") from problem
    return 1.0 if hits >= n else float(betaincinv(hits + 1, n - hits, 1 - alpha))


def _exact_bound(losses: Array, span: float, alpha: float) -> float:
    """The least that a bound on the mean may be: the exact bound on how many lose, times what they lose, less what others gain."""
    worse, mean_loss, gained = _losses_and_gains(losses, span)
    return binomial_upper(worse, len(losses), alpha) * mean_loss - gained


def _losses_and_gains(losses: Array, span: float) -> tuple[int, float, float]:
    """How many samples got worse, what one of these lost in the mean, and what the others gained in the mean over all samples."""
    worse = losses[losses > 0]
    gained = float(-np.sum(losses[losses < 0]) / len(losses))
    return len(worse), float(np.mean(worse)) if len(worse) else span, gained

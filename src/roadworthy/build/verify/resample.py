"""How sure a drop is: paired resampling of per-sample differences, with an exact floor where resampling is blind.

The bootstrap (Efron 1979) draws the same samples again; where hardly any of them changed, it has nothing to draw
from and promises too much. There the exact binomial bound (Clopper and Pearson 1934) on the samples that got worse
is the floor: of n samples without one loss, the true rate of losses may still be 1 - 0.05^(1/n).
"""

from __future__ import annotations

import math

import numpy as np

from roadworthy.core.evidence import Interval
from roadworthy.core.types import Array

RESAMPLES = 2000
SEED = 20260101
ONE_SIDED, TAIL = 0.05, 0.025
_CHUNK = 2_000_000
_FEW_VALUES = 64
_BLIND = 30


def draw(values: Array, resamples: int = RESAMPLES) -> tuple[Array, Array]:
    """Means of ``values`` (float [n]) drawn again with replacement, and each one's distance from the true mean in its own standard errors.

    Seeded, so that a report can be repeated. The second (for bootstrap-t, which skewed losses need: Efron and
    Tibshirani 1993, chapter 12) is empty for a handful of distinct values, where a draw may have no spread at all.
    """
    rng = np.random.default_rng(SEED)
    n = len(values)
    levels, counts = np.unique(values, return_counts=True)
    if len(levels) <= _FEW_VALUES:
        return np.asarray(rng.multinomial(n, counts / n, size=resamples) @ levels / n), np.zeros(0)
    step = max(1, _CHUNK // n)
    means, distances = [], []
    for start in range(0, resamples, step):
        chunk = values[rng.integers(0, n, (min(step, resamples - start), n))]
        means.append(chunk.mean(axis=1))
        errors = chunk.std(axis=1) / math.sqrt(n)
        distances.append((means[-1] - values.mean()) / np.where(errors > 0, errors, np.inf))
    return np.concatenate(means), np.concatenate(distances)


def mean_interval(values: Array) -> Interval:
    """The mean of per-sample scores and its 95 % interval: exact for scores of 0 and 1, else by resampling."""
    n, value = len(values), float(np.mean(values))
    if np.all((values == 0) | (values == 1)):
        hits = int(np.sum(values))
        return Interval(value, 1 - binomial_upper(n - hits, n, TAIL), binomial_upper(hits, n, TAIL))
    low, high = np.quantile(draw(values)[0], [TAIL, 1 - TAIL])
    return Interval(value, float(low), float(high))


def drop_interval(losses: Array, span: float) -> tuple[Interval, float]:
    """The mean of ``losses`` (original minus candidate, float [n]; positive is worse), its 95 % interval and one-sided 95 % bound.

    ``span`` is what one sample can lose at most, for the case that none of them lost anything.
    """
    value = float(np.mean(losses))
    drawn, distances = draw(losses)
    low, high, bound = (float(x) for x in np.quantile(drawn, [TAIL, 1 - TAIL, 1 - ONE_SIDED]))
    if len(distances):
        error = float(np.std(losses)) / math.sqrt(len(losses))
        bound, high = (max(a, value - float(np.quantile(distances, q)) * error) for a, q in ((bound, ONE_SIDED), (high, TAIL)))
    if np.count_nonzero(losses) < _BLIND:
        low = min(low, -_floor(-losses, span, TAIL))
    return Interval(value, low, max(high, _floor(losses, span, TAIL))), max(bound, _floor(losses, span, ONE_SIDED))


def samples_needed(losses: Array, span: float, budget: float) -> int | None:
    """How many samples like these would bring the bound within ``budget``; ``None`` where the drop itself is beyond it."""
    value, deviation, n = float(np.mean(losses)), float(np.std(losses)), len(losses)
    if value >= budget:
        return None

    def passes(size: int) -> bool:
        normal = value + 1.645 * deviation / math.sqrt(size)
        lost, size_of_loss, gained = _split(losses, span)
        return max(normal, binomial_upper(round(lost * size / n), size, ONE_SIDED) * size_of_loss - gained) <= budget

    high = n
    while not passes(high):
        high *= 2
        if high > 100_000_000:
            return None
    low = high // 2
    while high - low > max(1, high // 100):
        middle = (low + high) // 2
        low, high = (low, middle) if passes(middle) else (middle, high)
    return max(high, n + 1)


def binomial_upper(hits: int, n: int, alpha: float) -> float:
    """The largest rate at which ``hits`` or fewer of ``n`` still happen with probability ``alpha`` (Clopper and Pearson 1934)."""
    if hits >= n:
        return 1.0
    if hits == 0:
        return float(1 - alpha ** (1 / n))
    k = np.arange(hits + 1)
    ways = math.lgamma(n + 1) - np.array([math.lgamma(i + 1) + math.lgamma(n - i + 1) for i in k.tolist()])
    low, high = hits / n, 1.0
    for _ in range(60):
        rate = (low + high) / 2
        if rate >= 1.0 or np.exp(ways + k * math.log(rate) + (n - k) * math.log1p(-rate)).sum() <= alpha:
            high = rate
        else:
            low = rate
    return high


def _floor(losses: Array, span: float, alpha: float) -> float:
    """No bound on the mean may lie below this: the exact bound on how many lose, times what they lose, less what others gain."""
    lost, size, gained = _split(losses, span)
    return binomial_upper(lost, len(losses), alpha) * size - gained


def _split(losses: Array, span: float) -> tuple[int, float, float]:
    worse = losses[losses > 0]
    gained = float(-np.sum(losses[losses < 0]) / len(losses))
    return len(worse), float(np.mean(worse)) if len(worse) else span, gained

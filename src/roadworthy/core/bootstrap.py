"""The bootstrap (Efron 1979): a statistic of samples that are drawn again from the given ones, with replacement and a fixed seed.

The seed makes a report repeatable. Pairs are resampled by giving one value for each pair: a difference, or a ratio.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache

import numpy as np

from roadworthy.core.types import Array

RESAMPLES, SEED = 2000, 20260101
CHUNK = 2_000_000
"""Values that are drawn at a time."""
FEW_VALUES = 64


def medians(values: Array, seed: int = SEED) -> Array:
    """The medians of ``RESAMPLES`` resamples of ``values`` (float [n], a few hundred at most)."""
    drawn = np.sort(values[_draws(len(values), seed)], axis=1)
    return np.asarray((drawn[:, (len(values) - 1) // 2] + drawn[:, len(values) // 2]) / 2)


def means(values: Array, seed: int = SEED) -> tuple[Array, Array]:
    """The means of ``RESAMPLES`` resamples of ``values`` (float [n]), and each one's distance from the mean in its own standard errors.

    The distances are those of the bootstrap-t, which skewed values need (Efron and Tibshirani 1993, chapter 12). They are empty for a
    handful of distinct values, where a resample may have no spread at all.
    """
    generator = np.random.default_rng(seed)
    n = len(values)
    levels, counts = np.unique(values, return_counts=True)
    if len(levels) <= FEW_VALUES:
        # How often each level is drawn has a multinomial distribution: nothing has to be drawn value by value.
        return np.asarray(generator.multinomial(n, counts / n, size=RESAMPLES) @ levels / n), np.zeros(0)
    step = max(1, CHUNK // n)
    found, distances = [], []
    for start in range(0, RESAMPLES, step):
        chunk = values[generator.integers(0, n, (min(step, RESAMPLES - start), n))]
        found.append(chunk.mean(axis=1))
        errors = chunk.std(axis=1) / math.sqrt(n)
        distances.append((found[-1] - values.mean()) / np.where(errors > 0, errors, np.inf))
    return np.concatenate(found), np.concatenate(distances)


def draws(count: int, resamples: int, seed: int = SEED) -> Iterator[Array]:
    """The indices of ``resamples`` resamples of ``count`` samples, int64 [count] each: the same ones in every process."""
    generator = np.random.default_rng(seed)
    for _ in range(resamples):
        yield generator.integers(0, count, count)


@lru_cache(maxsize=64)
def _draws(count: int, seed: int) -> Array:
    return np.random.default_rng(seed).integers(0, count, (RESAMPLES, count))

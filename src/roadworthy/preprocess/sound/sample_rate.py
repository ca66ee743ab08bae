"""A sound at another rate, by NumPy alone: the polyphase filter of ``scipy.signal.resample_poly`` with its default window."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from roadworthy.core.errors import DataError
from roadworthy.core.types import Array

HALF_WIDTH, BETA = 10, 5.0
"""Zero crossings on each side of the filter, and the shape of its Kaiser window: those of ``resample_poly``."""
MOST_PHASES = 50_000
"""The largest of the two rates, divided by what they have in common: the filter has twenty numbers for each."""
CHUNK = 8192
"""Frames that are made at once."""


def resampled(values: Array, rate: int, wanted: int, name: str = "the sound") -> Array:
    """``values`` float32 [frames] of ``rate`` frames a second, at ``wanted`` frames a second: float32 [ceil(frames * wanted / rate)].

    The method is ``scipy.signal.resample_poly(values, wanted, rate)``: a low-pass filter of linear phase (a sinc of ten zero crossings on
    each side in a Kaiser window of 5.0, cut off at the lower half rate), zeros beyond both ends, so that no frame is delayed. It is summed
    in float64; ``docs/preprocessing.md`` says how far it is from other libraries. Raises DataError, with ``name``, where the two rates
    have so little in common that the filter would fill the memory.
    """
    if rate == wanted:
        return values
    common = math.gcd(rate, wanted)
    up, down = wanted // common, rate // common
    if max(up, down) > MOST_PHASES:
        raise DataError(f"{name} has {rate:,} frames a second, which no small ratio leads to {wanted:,}: resample it before")
    phases = _phases(up, down)
    taps = phases.shape[1]
    count = -(-len(values) * up // down)
    padded = np.concatenate([np.zeros(taps), values, np.zeros(taps)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, taps)
    found = np.empty(count, np.float32)
    half = HALF_WIDTH * max(up, down)
    for start in range(0, count, CHUNK):
        # Frame m of the result lies at m * down on the axis of both rates, and frame k of the sound at k * up.
        place = np.arange(start, min(start + CHUNK, count)) * down + half
        newest, phase = np.divmod(place, up)
        found[start : start + len(place)] = np.einsum("ij,ij->i", windows[newest + 1], phases[phase])
    return found


@lru_cache(maxsize=4)
def _phases(up: int, down: int) -> Array:
    """The filter, float64 [up, taps]: row p holds its numbers at p, p + up, ..., the one of the oldest frame first."""
    most = max(up, down)
    half = HALF_WIDTH * most
    place = np.arange(-half, half + 1)
    filtered = np.sinc(place / most) * np.kaiser(2 * half + 1, BETA)
    filtered *= up / filtered.sum()
    taps = -(-len(filtered) // up)
    return np.pad(filtered, (0, taps * up - len(filtered))).reshape(taps, up)[::-1].T.copy()

"""The learning rate: its peak from a short test on the model itself, then its fall to zero.

Sources: Smith, "Cyclical Learning Rates for Training Neural Networks" (2017), for the test; Loshchilov and Hutter, "SGDR" (2017), for the
cosine.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

STEPS = 40
"""Batches of the test, where there is time for so many."""
FEWEST = 12
SMOOTHING = 0.7
"""The weight of what came before in the running mean of the loss."""
RISEN = 1.5
"""At a running mean so many times the least one, the test ends. What is lower behind such a rise is another solution: one where the model
has forgotten what it knew."""
BELOW = 5.0
"""The peak is so many times smaller than the rate at which the loss was least: one step before that it still fell."""


@dataclass(frozen=True)
class RateRange:
    """The learning rates that an optimiser is tried at, from ``low`` to ``high``, each greater than the last by the same factor."""

    low: float
    high: float

    def rate(self, step: int, steps: int) -> float:
        """The rate of batch ``step`` of ``steps``."""
        return float(self.low * (self.high / self.low) ** (step / max(1, steps - 1)))


def risen(losses: Sequence[float]) -> bool:
    """Whether a test whose batches had these ``losses`` ends here: the loss is not a number, or has left its least value behind."""
    if not math.isfinite(losses[-1]):
        return True
    smooth = smoothed(losses)
    return len(losses) > FEWEST // 2 and smooth[-1] > RISEN * min(smooth)


def peak(losses: Sequence[float], rates: Sequence[float]) -> float:
    """The rate to begin with, from the losses of a test: ``losses[i]`` was measured before the step with ``rates[i]``.

    It is a fifth of the rate at which the smoothed loss was least. Where the loss only rose, that is a fifth of the smallest rate.
    """
    finite = [loss for loss in losses if math.isfinite(loss)]
    smooth = smoothed(finite)
    least = min(range(len(smooth)), key=smooth.__getitem__)
    return rates[least] / BELOW


def smoothed(losses: Sequence[float]) -> list[float]:
    """The running mean of ``losses``, without the bias of its start."""
    found, mean = [], 0.0
    for number, loss in enumerate(losses, 1):
        mean = SMOOTHING * mean + (1 - SMOOTHING) * loss
        found.append(mean / (1 - SMOOTHING**number))
    return found


def cosine(share: float) -> float:
    """The part of the peak that is left when ``share`` (0 to 1) of the training is done: 1 at its start, 0 at its end."""
    return 0.5 * (1.0 + math.cos(math.pi * min(1.0, max(0.0, share))))

"""Samples for networks with random weights: normal noise, handed over as data, so that every precision takes part."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

COUNT = 256


def channels_first() -> NDArray[np.float32]:
    """[256, 3, 224, 224]."""
    return np.random.default_rng(0).standard_normal((COUNT, 3, 224, 224), np.float32)


def channels_last() -> NDArray[np.float32]:
    """[256, 224, 224, 3]."""
    return np.random.default_rng(0).standard_normal((COUNT, 224, 224, 3), np.float32)

"""A model whose samples lie along axis 1, and one with an input and an output that hold for the whole call; no framework computes them.

``x`` [time, batch, features] becomes ``y`` [features, batch], the sum over the time, times ``gain`` where there is one.
"""

from __future__ import annotations

import numpy as np

from roadworthy.core.types import BATCH, Array, Arrays, Signature, TensorSpec

TIME, FEATURES = 4, 3
X = TensorSpec("x", "float32", (TIME, BATCH, FEATURES), sample_axis=1)
Y = TensorSpec("y", "float32", (FEATURES, BATCH), sample_axis=1)
GAIN = TensorSpec("gain", "float32", (1,), sample_axis=None)
TOTAL = TensorSpec("total", "float32", (), sample_axis=None)
SIGNATURE = Signature((X,), (Y,))
WITH_GAIN = Signature((X, GAIN), (Y, TOTAL))


def rows(count: int) -> Array:
    """``count`` samples of ``x``, [count, time, features], all of them different."""
    return np.random.default_rng(0).standard_normal((count, TIME, FEATURES)).astype(np.float32)


def answers(samples: Array) -> Array:
    """What ``samples`` as rows give as rows, [count, features]."""
    found: Array = samples.sum(axis=1)
    return found


class TimeFirst:
    """A session of either signature. ``sizes`` are the numbers of samples that it was called with."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def run(self, feeds: Arrays) -> dict[str, Array]:
        """The outputs; ``total`` only where ``gain`` was fed."""
        x = feeds["x"]
        assert x.flags.c_contiguous
        assert x.shape[::2] == (TIME, FEATURES), "axis 1 is not the samples"
        self.sizes.append(x.shape[1])
        y = x.sum(axis=0).T
        return {"y": y * feeds["gain"], "total": np.float32(x.sum())} if "gain" in feeds else {"y": y}

    def close(self) -> None:
        """Nothing is held."""

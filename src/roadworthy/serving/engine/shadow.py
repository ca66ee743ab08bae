"""A version that answers nobody: it gets copies of requests while it has nothing else to do, and its outputs are compared."""

from __future__ import annotations

import numpy as np

from roadworthy.core.errors import RoadworthyError
from roadworthy.core.numerics import output_error, scale_of
from roadworthy.core.types import Arrays
from roadworthy.serving.engine import background
from roadworthy.serving.engine.model_queue import Lane


def mirror(lane: Lane, feeds: Arrays, outputs: Arrays) -> None:
    """Let ``lane`` answer ``feeds`` too, later, and count how its outputs differ from ``outputs``.

    A copy that would have to wait is let go and counted: a shadow must not take what the real answers need.
    """
    if lane.busy:
        lane.counters.mirrored.skipped += 1
        return
    background.start(_compare(lane, feeds, outputs))


async def _compare(lane: Lane, feeds: Arrays, outputs: Arrays) -> None:
    mirrored = lane.counters.mirrored
    try:
        answers = await lane.submit(feeds)
        error = max((_error(answers.get(name), array) for name, array in outputs.items()), default=0.0)
    except RoadworthyError:
        error = float("inf")
    mirrored.count += 1
    mirrored.different += not error <= lane.model.variant.gate
    mirrored.error = max(mirrored.error, error)


def _error(got: np.ndarray | None, want: np.ndarray) -> float:
    """The largest difference relative to the magnitude of ``want``; infinite where they cannot be compared."""
    if got is None or got.dtype != want.dtype:
        return float("inf")
    return output_error(got, want, 1.0 if want.dtype.kind not in "fiub" else scale_of(want))

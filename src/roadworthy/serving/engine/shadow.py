"""A version that answers nobody: it gets copies of requests while it has nothing else to do, and its outputs are compared."""

from __future__ import annotations

from roadworthy.core.errors import RoadworthyError
from roadworthy.core.numerics import output_error
from roadworthy.core.types import Array, Arrays, Quantization
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
        quantizations = {spec.name: spec.quantization for spec in lane.model.signature.outputs}
        errors = (_error(answers.get(name), array, quantizations.get(name)) for name, array in outputs.items())
        error = max(errors, default=0.0)
    except RoadworthyError:
        error = float("inf")
    mirrored.count += 1
    mirrored.different += not error <= lane.model.variant.gate
    mirrored.error = max(mirrored.error, error)


def _error(got: Array | None, want: Array, quantization: Quantization | None) -> float:
    """The output error of ``got``; infinite where the two cannot be compared."""
    if got is None or got.dtype != want.dtype:
        return float("inf")
    return output_error(got, want, quantization=quantization)

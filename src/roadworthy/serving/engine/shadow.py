"""The shadow version: it gets copies of requests while it is idle, and its outputs are compared and counted, never sent."""

from __future__ import annotations

from roadworthy.core.errors import RoadworthyError
from roadworthy.core.numerics import output_error
from roadworthy.core.types import Array, Arrays, Quantization
from roadworthy.serving.engine import background
from roadworthy.serving.engine.model_queue import ModelQueue


def mirror(shadow: ModelQueue, feeds: Arrays, outputs: Arrays) -> None:
    """Send a copy of the request to ``shadow``, and count how its outputs differ from ``outputs``.

    A copy that would have to wait is dropped and counted: a shadow must not take capacity from the real requests.
    """
    if shadow.busy:
        shadow.counters.mirrored.skipped += 1
        return
    background.start(_compare(shadow, feeds, outputs))


async def _compare(shadow: ModelQueue, feeds: Arrays, outputs: Arrays) -> None:
    mirrored = shadow.counters.mirrored
    try:
        answers = await shadow.submit(feeds)
        quantizations = {spec.name: spec.quantization for spec in shadow.model.signature.outputs}
        errors = (_error(answers.get(name), array, quantizations.get(name)) for name, array in outputs.items())
        error = max(errors, default=0.0)
    except RoadworthyError:
        error = float("inf")
    mirrored.count += 1
    mirrored.different += not error <= shadow.model.variant.gate
    mirrored.error = max(mirrored.error, error)


def _error(got: Array | None, want: Array, quantization: Quantization | None) -> float:
    """The output error of ``got``; infinite where the two cannot be compared."""
    if got is None or got.dtype != want.dtype:
        return float("inf")
    return output_error(got, want, quantization=quantization)

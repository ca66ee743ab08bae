"""How far two answers of one model are apart, over all outputs."""

from __future__ import annotations

from roadworthy.core.numerics import output_error, scale_of
from roadworthy.core.types import Arrays, TensorSpec

STEP = 1.001
"""A step of a quantised output, with a little room for the step itself being rounded."""
SAME = 1e-6
"""Relative to the scale: what a sum in another order makes of float32."""


def difference(first: Arrays, second: Arrays, *, scales: Arrays | None = None, outputs: tuple[TensorSpec, ...] = ()) -> float:
    """The largest ``output_error`` of any output of ``first``, relative to the scale of that output in ``scales`` (``first`` itself).

    Infinite for an output that ``second`` does not have. A quantised output of ``outputs`` may differ by one step, and count as equal:
    a number just between two steps may fall to either.
    """
    quantised = {spec.name: spec.quantization for spec in outputs if spec.quantization}
    worst = 0.0
    for name, array in first.items():
        if name not in second:
            return float("inf")
        quantization = quantised.get(name)
        scale = scale_of((scales or first)[name], quantization)
        error = output_error(second[name], array, scale, quantization)
        step = STEP * quantization.scale / scale if quantization else 0.0
        worst = max(worst, 0.0 if error <= step else error)
    return worst

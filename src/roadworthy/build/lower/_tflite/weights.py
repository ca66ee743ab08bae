"""Weights in int8, for operators that round their float input by the range that it has in each call (LiteRT's "dynamic range")."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from roadworthy.build.nhwc.program import FILTERS, NhwcProgram
from roadworthy.core.types import Array

SMALLEST = 1024
"""Numbers below which rounding saves nothing; the limit of TensorFlow's converter."""


@dataclass(frozen=True)
class RoundedWeights:
    """Whole numbers, each of which stands for itself times the scale of its place along ``axis``."""

    numbers: Array
    scales: Array
    axis: int


def narrowed(program: NhwcProgram) -> dict[int, RoundedWeights]:
    """The weights of every such operator rounded to int8, symmetric around 0, by the numbers of their tensors."""
    found = {}
    for operator in program.operators:
        array = program.array(operator.inputs[1]) if operator.code in FILTERS else None
        if array is None or array.dtype != np.float32 or array.size < SMALLEST:
            continue
        axis = FILTERS[operator.code]
        others = tuple(one for one in range(array.ndim) if one != axis)
        largest = np.abs(array).max(axis=others, keepdims=True)
        scales = np.where(largest > 0, largest, 1) / np.float32(127)
        found[operator.inputs[1]] = RoundedWeights(np.rint(array / scales).astype(np.int8), scales.reshape(-1), axis)
    return found

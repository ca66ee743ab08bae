"""The steps in front of a model as operations that every graph format has, in the order and the types of NumPy's own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from roadworthy.core.types import Array
from roadworthy.preprocess.front import Front
from roadworthy.preprocess.steps import Normalize, ReverseChannels


@dataclass(frozen=True)
class Operation:
    """One operation on [batch, ...]; ``value`` is the other operand, of float32 or float64, or the type that a cast gives.

    ``transpose`` leads from [batch, height, width, channels] to [batch, channels, height, width], ``reverse`` turns the order of the
    channels round, which are on ``axis``. ``whole`` rounds to the nearest whole number, half to even, from -128 to 127.
    """

    name: Literal["transpose", "reverse", "cast", "multiply", "divide", "subtract", "add", "whole"]
    value: Array | None = None
    dtype: str = ""
    axis: int = 3


def operations(front: Front) -> tuple[Operation, ...]:
    """What moves pixels comes first, while each is one byte: the arithmetic is the same for a pixel wherever it lies."""
    axis = 1 if front.channels_first else 3
    moves = (Operation("transpose"),) if front.channels_first else ()
    reverses = tuple(Operation("reverse", axis=axis) for step in front.steps if isinstance(step, ReverseChannels))
    arithmetic = (one for step in front.steps if isinstance(step, Normalize) for one in _normalize(step, first=front.channels_first))
    return (*moves, *reverses, *arithmetic)


def _normalize(step: Normalize, *, first: bool) -> tuple[Operation, ...]:
    channels = max(len(step.mean), len(step.std))
    shape = (channels, 1, 1) if first else (channels,)
    mean, std = (np.broadcast_to(np.array(values, np.float64), channels).reshape(shape) for values in (step.mean, step.std))
    made = _fused(step, mean, std) if step.arithmetic == "fused" else _in_order(step, mean, std)
    return (*made, Operation("whole"), Operation("cast", dtype="int8")) if step.dtype == "int8" else made


def _fused(step: Normalize, mean: Array, std: Array) -> tuple[Operation, ...]:
    made = [Operation("cast", dtype="float32"), Operation("multiply", (step.scale / std).astype(np.float32))]
    return (*made, Operation("add", (-mean / std).astype(np.float32))) if any(step.mean) else tuple(made)


def _in_order(step: Normalize, mean: Array, std: Array) -> tuple[Operation, ...]:
    single = Operation("cast", dtype="float32")
    made: tuple[Operation, ...]
    if step.arithmetic == "numpy":
        made = (Operation("cast", dtype="float64"), Operation("multiply", np.array(step.scale, np.float64)), single)
    elif (divisor := step.divisor) is not None:
        made = (single, Operation("divide", np.array(divisor, np.float32)))
    else:
        made = (single, Operation("multiply", np.array(step.scale, np.float32)))
    if any(step.mean):
        made = (*made, Operation("subtract", mean.astype(np.float32)))
    if any(value != 1 for value in step.std):
        made = (*made, Operation("divide", std.astype(np.float32)))
    return made

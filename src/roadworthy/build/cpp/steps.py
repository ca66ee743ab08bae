"""The calls that a generated program makes one after the other, and the C++ text of each."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from roadworthy.build.cpp.values import Image, Value
from roadworthy.core.types import Array

FREE = (-math.inf, math.inf)
"""Limits that change nothing."""
LAYERS = ("convolution", "depthwise", "integer_convolution")
"""The kernels that take most of the time."""
ROUND = ("map", "pairs", "scale", "pool", "reduce_pixels", "depthwise", "integer_convolution")
"""Kernels whose output may be stored as whole numbers."""

Fields = Mapping[str, object]


@dataclass(eq=False)
class Step:
    """One call of a kernel. ``fields`` fill its structure; they are asked for when all borders are known.

    ``limits``: the two numbers between which the kernel keeps its results, None for a kernel that cannot. ``added``: what a kernel that
    ``adds`` adds to its results first. ``constants`` are weights, which ``pack`` brings into the kernel's order.
    """

    kernel: str
    structure: str
    fields: Callable[[], Fields]
    reads: list[Value]
    output: Value
    constants: list[Array] = field(default_factory=list)
    pack: Callable[[list[Array]], list[Array]] = list
    limits: tuple[float, float] | None = None
    adds: bool = False
    added: Value | None = None

    @property
    def rounds(self) -> bool:
        """Whether its output may be stored as whole numbers."""
        return self.kernel.partition("<")[0] in ROUND and self.added is None

    def kept(self) -> tuple[float, float]:
        """Its limits and those of the whole numbers that its output is stored as, in units of these; or its limits."""
        low, high = self.limits or FREE
        if (integers := self.output.integers) is None:
            return low, high
        least, most = (min(max(limit / integers.scale, integers.low), integers.high) for limit in (low, high))
        return least, most

    @property
    def values(self) -> list[Value]:
        """Everything that it reads."""
        return self.reads + ([self.added] if self.added else [])


def written(name: str, number: object) -> str:
    """A field's value in C++."""
    if isinstance(number, Image):
        words = [str(size) for size in (number.height, number.width, number.channels, number.border_h, number.border_w)]
        if number.integers:
            words += [real(number.integers.scale), str(number.integers.low), str(number.integers.high)]
        return f"{{{', '.join(words)}}}"
    if isinstance(number, bool):
        return "true" if number else "false"
    if isinstance(number, float):
        return real(number)
    if isinstance(number, tuple | list):
        return f"{{{', '.join(written(name, one) for one in number)}}}"
    return str(number)


def real(number: float) -> str:
    """A float32 number in C++, exactly."""
    if math.isinf(number):
        return "INFINITY" if number > 0 else "-INFINITY"
    return "NAN" if math.isnan(number) else f"{float(np.float32(number)).hex()}f"


def structure(name: str, fields: Fields) -> str:
    """A structure with its fields by name."""
    return f"{name}{{{', '.join(f'.{key} = {written(key, number)}' for key, number in fields.items())}}}"

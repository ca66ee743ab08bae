"""Layers of the form ``x * scale + offset``, by the values that a file states for them."""

from __future__ import annotations

import math

from roadworthy.core.stages import InnerLayer

EPSILON = 1e-7
"""The least standard deviation that Keras's Normalization divides by."""


def arithmetic(name: str, sign: str, values: tuple[float, ...]) -> InnerLayer | None:
    """The layer ``x sign values``; None where there are no values, and where it would divide by zero."""
    if not values or (sign == "/" and 0 in values):
        return None
    words = f"x {sign} {written(values)}"
    if sign in "*/":
        return InnerLayer(name, words, values if sign == "*" else tuple(1 / value for value in values))
    return InnerLayer(name, words, offset=values if sign == "+" else tuple(-value for value in values))


def normalised(name: str, mean: tuple[float, ...], variance: tuple[float, ...]) -> InnerLayer:
    """Keras's Normalization with these values."""
    words = f"Normalization(mean={written(mean)}, variance={written(variance)})"
    return divided(name, words, mean, deviations(variance))


def divided(name: str, words: str, mean: tuple[float, ...], std: tuple[float, ...]) -> InnerLayer:
    """``(x - mean) / std``, with as many numbers in both."""
    return InnerLayer(name, words, tuple(1 / one for one in std), tuple(-one / by for one, by in zip(mean, std, strict=True)))


def deviations(variance: tuple[float, ...]) -> tuple[float, ...]:
    """What Keras's Normalization divides by."""
    return tuple(max(math.sqrt(value), EPSILON) for value in variance)


def written(values: tuple[float, ...]) -> str:
    """One number, or one for each channel; a part of a whole or half number as such: 1/255."""
    texts = [_number(value) for value in values]
    return texts[0] if len(set(texts)) == 1 else f"[{', '.join(texts)}]"


def _number(value: float) -> str:
    inverse = 1 / value if 1e-9 < abs(value) < 0.1 else 0.0
    whole = inverse and abs(2 * inverse - round(2 * inverse)) < 1e-4
    return f"1/{round(2 * inverse) / 2:g}" if whole else f"{value:.6g}"

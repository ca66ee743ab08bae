"""Which layer of one original is which layer of the other, and how far apart their outputs are; NumPy only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from roadworthy.build.compare.layer_diff.recorded import WEIGHTED, Layer, Recorded
from roadworthy.core.numerics import output_error
from roadworthy.core.types import Array


@dataclass(frozen=True)
class Pair:
    """Two layers that are taken to be the same one. ``error`` is relative to the output's scale, ``None`` for shapes that do not fit.

    ``reordered`` says that the two flatten the same features in different orders: the values are the same, their places are not.
    """

    a: Layer
    b: Layer
    how: str
    error: float | None
    reordered: bool = False

    def same(self, limit: float) -> bool:
        """Whether both gave the same numbers."""
        return self.error is not None and self.error <= limit


def matched(a: Recorded, b: Recorded, limit: float) -> list[Pair]:
    """The layers matched by name where both have it, the rest by kind, kernel and shape in the order of the calls."""
    named = _by_name(a.layers, b.layers)
    taken_a, taken_b = {id(one) for one, _ in named}, {id(other) for _, other in named}
    rest_a = [layer for layer in a.layers if id(layer) not in taken_a]
    rest_b = [layer for layer in b.layers if id(layer) not in taken_b]
    matched = [(one, other, "the same name") for one, other in named] + [
        (one, other, "its place") for one, other in _aligned(rest_a, rest_b)
    ]
    order = {id(layer): number for number, layer in enumerate(a.layers)}
    found: list[Pair] = []
    grid: tuple[int, ...] = ()
    for one, other, how in sorted(matched, key=lambda three: order[id(three[0])]):
        mine, its = a.gave(one), b.gave(other)
        error, reordered = difference(mine, its), False
        if mine.ndim > 2:
            grid = a.answered(one).shape[1:]
        elif error is not None and error > limit and one.kind == "flatten":
            again = [difference(mine[:, order_of], its) for order_of in orders(grid, mine.shape[1])]
            closest = min((value for value in again if value is not None), default=error)
            error, reordered = (closest, True) if closest <= limit else (error, False)
        found.append(Pair(one, other, how, error, reordered))
    return found


def difference(a: Array, b: Array) -> float | None:
    """The largest difference relative to the scale of ``a``, with the channels of ``b`` wherever they fit best."""
    layouts = [b] if b.ndim < 3 else [b, np.moveaxis(b, 1, -1), np.moveaxis(b, -1, 1)]
    fitting = [layout for layout in layouts if layout.shape == a.shape]
    return min((relative(a, layout) for layout in fitting), default=None)


def relative(a: Array, b: Array) -> float:
    """The output error of ``b`` relative to the scale of ``a``: see ``core.numerics``."""
    return output_error(b, a)


def orders(grid: Sequence[int], features: int) -> list[Array]:
    """From features flattened as [channels, height, width] to [height, width, channels], and the other way; none where ``grid``,
    the shape [height, width, channels] before flattening, does not hold that many."""
    if len(grid) < 2 or int(np.prod(grid)) != features:
        return []
    *space, channels = grid
    first = np.arange(features).reshape(channels, *space)
    last = np.arange(features).reshape(*space, channels)
    return [np.moveaxis(first, 0, -1).ravel(), np.moveaxis(last, -1, 0).ravel()]


def _by_name(a: Sequence[Layer], b: Sequence[Layer]) -> list[tuple[Layer, Layer]]:
    theirs = {_plain(layer.name): layer for layer in b}
    found = [(layer, theirs[_plain(layer.name)]) for layer in a if _plain(layer.name) in theirs]
    return [(one, other) for one, other in found if one.kind == other.kind]


def _plain(name: str) -> str:
    return name.lower().replace("/", ".").replace("_", ".")


def _aligned(a: Sequence[Layer], b: Sequence[Layer]) -> list[tuple[Layer, Layer]]:
    """The best pairs that keep both orders (the longest common subsequence, weighted by the similarity of two layers)."""
    best = np.zeros((len(a) + 1, len(b) + 1))
    for i in range(len(a) - 1, -1, -1):
        for j in range(len(b) - 1, -1, -1):
            together = _similarity(a[i], b[j])
            best[i, j] = max(best[i + 1, j], best[i, j + 1], together + best[i + 1, j + 1] if together else 0.0)
    found, i, j = [], 0, 0
    while i < len(a) and j < len(b):
        together = _similarity(a[i], b[j])
        if together and best[i, j] == together + best[i + 1, j + 1]:
            found.append((a[i], b[j]))
            i, j = i + 1, j + 1
        elif best[i, j] == best[i + 1, j]:
            i += 1
        else:
            j += 1
    return found


def _similarity(a: Layer, b: Layer) -> float:
    """0 for layers that cannot be the same one."""
    if a.kind != b.kind:
        return 0.0
    shapes = sorted(a.shape) == sorted(b.shape)
    if a.kind in WEIGHTED:
        # A fault in padding changes the shape of what follows, and the layers are still the same ones.
        return 3.0 + shapes if _channels(a) == _channels(b) and a.kernel == b.kernel else 0.0
    return 1.0 if shapes else 0.0


def _channels(layer: Layer) -> int:
    return layer.shape[1] if layer.channels_first else layer.shape[-1]

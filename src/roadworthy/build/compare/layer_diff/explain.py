"""Why the first layer that differs does so: each explanation is a computation that was carried out, not a guess; NumPy only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from roadworthy.build.compare.layer_diff.pairs import Pair, difference, orders, relative
from roadworthy.build.compare.layer_diff.recorded import Layer, Recorded
from roadworthy.core.types import Array


@dataclass(frozen=True)
class Words:
    """The names of the two originals in a sentence."""

    a: str
    b: str


@dataclass(frozen=True)
class Why:
    """The first pair that differs in words (empty where none does), its causes, and differences that change nothing here."""

    first: str
    explanations: tuple[str, ...]
    notes: tuple[str, ...]


def explain(found: Sequence[Pair], a: Recorded, b: Recorded, words: Words, limit: float) -> Why:
    """The first difference of two originals whose layers were matched."""
    notes = _notes(found, words)
    number = next((number for number, pair in enumerate(found) if not pair.same(limit)), None)
    if number is None:
        return Why("", (), notes)
    pair = found[number]
    before = f", after {number} that agree" if number else ""
    how = "their shapes cannot be laid onto each other" if pair.error is None else f"they differ by {pair.error:.2g} of the scale"
    first = f"{pair.a.name} ({pair.a.type}) of {words.a} and {pair.b.name} ({pair.b.type}) of {words.b}{before}: {how}"
    grid = next((a.answered(one.a).shape[1:] for one in reversed(found[:number]) if len(one.a.shape) > 2), ())
    causes = _Causes(pair, a, b, words, limit, grid, found[number - 1] if number else None).all()
    return Why(first, tuple(causes), notes)


def _notes(found: Sequence[Pair], words: Words) -> tuple[str, ...]:
    notes = []
    if any(pair.reordered for pair in found):
        notes.append(
            f"{words.a} and {words.b} flatten in different orders (channels, height, width against height, width, channels): "
            "the same values in other places, which the next dense layer's kernel must account for"
        )
    norms = [pair for pair in found if pair.a.kind == "norm"]
    uneven = [pair for pair in norms if pair.a.epsilon != pair.b.epsilon]
    if uneven:
        one = uneven[0]
        notes.append(
            f"{len(uneven)} batch normalisations have another epsilon ({_number(one.a.epsilon)} in {words.a}, {_number(one.b.epsilon)} in "
            f"{words.b}): PyTorch's default is 1e-05, Keras's 0.001"
        )
    if any(pair.a.momentum is not None and pair.b.momentum is not None and not _same_momentum(pair) for pair in norms):
        notes.append(
            "batch normalisations have another momentum, which matters in training alone; PyTorch and Keras count it from opposite ends "
            "(0.1 there is 0.9 here), and their defaults, 0.1 and 0.99, differ even so"
        )
    return tuple(notes)


def _same_momentum(pair: Pair) -> bool:
    """Equal where both come from one framework; one the complement of the other where not."""
    a, b = pair.a.momentum or 0.0, pair.b.momentum or 0.0
    return abs(a - b) < 1e-9 if pair.a.type == pair.b.type else abs(a - (1 - b)) < 1e-9


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:g}"


@dataclass(frozen=True)
class _Causes:
    """One pair that differs while all before it agree. ``grid`` is the [height, width, channels] before the last flattening."""

    pair: Pair
    a: Recorded
    b: Recorded
    words: Words
    limit: float
    grid: tuple[int, ...]
    last: Pair | None

    def all(self) -> list[str]:
        """Sentences; one that says so where nothing was found."""
        x, y = self.a.given(self.pair.a), self.b.given(self.pair.b)
        if self._given_the_same(x, y):
            found = [*self._weights(), *self._padding(x), *self._epsilon(x)] or self._types()
            return found or ["both were given the same numbers, have the same weights and settings, and compute another thing with them"]
        found = [*self._flattened(x, y), *self._reversed_input(x, y), *self._flipped_input(x, y)]
        return found or [self._elsewhere(x, y)]

    def _given_the_same(self, x: Array, y: Array) -> bool:
        """The same numbers, or the same once each is padded: zeros may come from a layer before as well as from the layer itself."""
        error = difference(x, y)
        if (error is None or error > self.limit) and self.pair.a.kind == self.pair.b.kind == "conv" and x.ndim == y.ndim == 4:
            x, y = (np.pad(array, ((0, 0), *layer.pads, (0, 0))) for array, layer in ((x, self.pair.a), (y, self.pair.b)))
            error = relative(x, y) if x.shape == y.shape else None
        return error is not None and error <= self.limit

    def _kernels(self) -> tuple[Array, Array] | None:
        a, b = self.a.weight(self.pair.a, "kernel"), self.b.weight(self.pair.b, "kernel")
        return None if a is None or b is None else (a, b)

    def _weights(self) -> list[str]:
        """The same input, and weights that differ: how."""
        name = self.pair.a.name
        for what in ("kernel", "bias", "gamma", "beta", "mean", "variance"):
            a, b = self.a.weight(self.pair.a, what), self.b.weight(self.pair.b, what)
            if a is None or b is None:
                if (a is None) != (b is None) and float(np.abs(a if a is not None else np.asarray(b)).max()) > self.limit:
                    return [f"only {self.words.b if a is None else self.words.a} has a {what} there"]
                continue
            if a.shape == b.shape and relative(a, b) <= self.limit:
                continue
            if a.ndim > 2 and a.shape == b.shape and relative(a[..., ::-1, :], b) <= self.limit:
                return [
                    f"the kernel of {name} takes the channels in reverse order in {self.words.b} (BGR against RGB): it was trained on, or "
                    "carried across for, images of the other order"
                ]
            if a.ndim > 3 and a.shape[0] == a.shape[1] and relative(np.swapaxes(a, 0, 1), b) <= self.limit:
                return [
                    f"the kernel of {name} has height and width swapped in {self.words.b}: it was carried across with the wrong transpose"
                ]
            if a.ndim == 2 and a.shape == b.shape and a.shape[0] == a.shape[1] and relative(a.T, b) <= self.limit:
                return [f"the kernel of {name} is transposed in {self.words.b}: PyTorch keeps [out, in], Keras [in, out]"]
            if a.ndim == 2 and (reordered := self._reordered_kernel(a, b)):
                return [reordered]
            apart = f"they differ by {relative(a, b):.2g} of their scale" if a.shape == b.shape else f"they are {a.shape} and {b.shape}"
            return [f"the weights themselves differ in {what}: {apart}"]
        return []

    def _reordered_kernel(self, a: Array, b: Array) -> str:
        for order in orders(self.grid, len(a)):
            if a.shape == b.shape and relative(a[order], b) <= self.limit:
                return (
                    f"the kernel of {self.pair.a.name} is ordered for features flattened the other way (channels, height, width against "
                    "height, width, channels), and here both flatten in the same order"
                )
        return ""

    def _flattened(self, x: Array, y: Array) -> list[str]:
        """A dense layer behind a flattening that each framework does in its own order."""
        kernels = self._kernels()
        if x.ndim != 2 or x.shape != y.shape:
            return []
        for order in orders(self.grid, x.shape[1]):
            if relative(x[:, order], y) > self.limit:
                continue
            height, width, channels = self.grid[0], self.grid[-2], self.grid[-1]
            said = (
                f"flatten order: {self.pair.a.name} gets {channels} channels of {height}x{width} in another order in {self.words.b} than "
                f"in {self.words.a} (PyTorch flattens channels, height, width; TensorFlow height, width, channels)"
            )
            if kernels is None or kernels[0].shape != kernels[1].shape:
                return [said]
            mine, its = kernels
            if relative(mine, its) <= self.limit:
                mended = self._dense(y, mine[order], self.b.weight(self.pair.b, "bias"))
                apart = relative(self.a.gave(self.pair.a), mended)
                if apart <= self.limit:
                    said += (
                        f", and its kernel was carried across without putting the rows in that order; with them in order the layers "
                        f"agree to {apart:.1g}"
                    )
            return [said]
        return []

    @staticmethod
    def _dense(x: Array, kernel: Array, bias: Array | None) -> Array:
        return np.asarray(x.astype(np.float64) @ kernel.astype(np.float64) + (0.0 if bias is None else bias))

    def _reversed_input(self, x: Array, y: Array) -> list[str]:
        fits = x.ndim > 2 and x.shape == y.shape and x.shape[-1] > 1
        if fits and relative(x[..., ::-1], y) <= self.limit:
            return [f"channel order: {self.words.b} is fed its channels in reverse (BGR against RGB)"]
        return []

    def _flipped_input(self, x: Array, y: Array) -> list[str]:
        if x.ndim == 4 and x.shape[1] == x.shape[2] and x.shape == y.shape and relative(np.swapaxes(x, 1, 2), y) <= self.limit:
            return [f"{self.words.b} is fed its images with height and width swapped"]
        return []

    def _padding(self, x: Array) -> list[str]:
        """The same numbers through the padding of the other side."""
        mine, its = self.pair.a, self.pair.b
        if not mine.pads or not its.pads or (mine.pads, mine.stride) == (its.pads, its.stride):
            return []
        made = self._with(x, mine, its)
        if made is None or made.shape != self.b.answered(its).shape or relative(self.b.answered(its), made) > self.limit:
            return []
        if mine.stride != its.stride:
            return [f"{mine.name} moves by {mine.stride} in {self.words.a} and by {its.stride} in {self.words.b}"]
        uneven = any(before != after for before, after in (*mine.pads, *its.pads))
        why = 'TensorFlow\'s "same" puts the odd zero of a strided layer last, PyTorch pads both ends equally; ' if uneven else ""
        mend = "pad by hand before the layer, and give it no padding of its own" if uneven else "give both the same padding"
        return [
            f"padding: {mine.name} gets {_pads(mine)} in {self.words.a} and {_pads(its)} in {self.words.b}. {why}computed with the "
            f"padding of {self.words.b} the numbers of {self.words.a} agree. To make them one function, {mend}"
        ]

    def _with(self, x: Array, mine: Layer, its: Layer) -> Array | None:
        """``mine`` on ``x`` as if it moved and padded like ``its``."""
        if x.ndim != 4:
            return None
        if mine.kind == "max pool":
            return pooled(x, its)
        kernel, bias = self.a.weight(mine, "kernel"), self.a.weight(mine, "bias")
        return None if kernel is None else convolved(x, kernel, bias, its)

    def _epsilon(self, x: Array) -> list[str]:
        mine, its = self.pair.a, self.pair.b
        if mine.kind != "norm" or mine.epsilon is None or its.epsilon is None or mine.epsilon == its.epsilon:
            return []
        names = ("gamma", "beta", "mean", "variance")
        gamma, beta, mean, variance = (self.a.weight(mine, name) for name in names)
        if mean is None or variance is None:
            return []
        scale = (1.0 if gamma is None else gamma) / np.sqrt(variance.astype(np.float64) + its.epsilon)
        made = (x.astype(np.float64) - mean) * scale + (0.0 if beta is None else beta)
        apart = relative(self.b.answered(its), made)
        if apart > self.limit:
            return []
        return [
            f"epsilon: {mine.name} divides by the root of variance + {mine.epsilon:g} in {self.words.a} and + {its.epsilon:g} "
            f"in {self.words.b} (the defaults are 1e-05 in PyTorch and 0.001 in Keras); with the other's epsilon they agree to {apart:.1g}"
        ]

    def _types(self) -> list[str]:
        mine, its = self.pair.a, self.pair.b
        if mine.kind == "activation" and mine.type.lower() != its.type.lower():
            return [f"{mine.name} is {mine.type} in {self.words.a} and {its.type} in {self.words.b}"]
        if mine.pads and mine.pads != its.pads:
            return [f"{mine.name} is padded by {_pads(mine)} in {self.words.a} and by {_pads(its)} in {self.words.b}"]
        return []

    def _elsewhere(self, x: Array, y: Array) -> str:
        where = f"between {self.last.a.name} and {self.pair.a.name}" if self.last else f"before {self.pair.a.name}"
        if x.shape != y.shape:
            return (
                f"their inputs have the shapes {list(x.shape)} and {list(y.shape)}: something {where}, which is no layer, makes them differ"
            )
        return f"their inputs differ already, by {relative(x, y):.2g} of the scale: something {where}, which is no layer of its own, does"


def _pads(layer: Layer) -> str:
    """Zeros before and after, by axis."""
    return " and ".join(f"{before}+{after}" for before, after in layer.pads) + " zeros"


def convolved(x: Array, kernel: Array, bias: Array | None, like: Layer) -> Array:
    """``x`` [n, height, width, in] cross-correlated with ``kernel`` [height, width, in / groups, out], moved and padded as ``like``."""
    windows = _windows(x.astype(np.float64), kernel.shape[:2], like, 0.0)
    groups = like.groups
    inside = x.shape[-1] // groups
    each = kernel.shape[-1] // groups
    parts = [
        np.einsum(
            "nijchw,hwco->nijo", windows[..., g * inside : (g + 1) * inside, :, :], kernel[..., g * each : (g + 1) * each], optimize=True
        )
        for g in range(groups)
    ]
    return np.asarray(np.concatenate(parts, axis=-1) + (0.0 if bias is None else bias))


def pooled(x: Array, like: Layer) -> Array:
    """The largest of each window of ``x`` [n, height, width, channels], moved and padded as ``like`` is; padding never wins."""
    return np.asarray(_windows(x, like.kernel, like, -np.inf).max(axis=(-2, -1)))


def _windows(x: Array, size: tuple[int, ...], like: Layer, fill: float) -> Array:
    """Every window: [n, rows, columns, channels, height, width]."""
    padded = np.pad(x, ((0, 0), *like.pads, (0, 0)), constant_values=fill)
    steps = like.dilation or (1, 1)
    spans = tuple(step * (extent - 1) + 1 for extent, step in zip(size, steps, strict=True))
    windows = sliding_window_view(padded, spans, axis=(1, 2))
    return windows[:, :: like.stride[0], :: like.stride[1], :, :: steps[0], :: steps[1]]

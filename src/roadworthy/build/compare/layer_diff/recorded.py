"""The recorded layers of one original, on disk: arrays and a description, in one convention for every framework."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from roadworthy.core.types import Array

WEIGHTED = ("conv", "dense", "norm")


@dataclass(frozen=True)
class Layer:
    """One call of one layer.

    ``kind`` is the same word in every framework; ``shape`` that of its output. ``channels_first`` says how the arrays lie.
    ``weights`` are the names of arrays that were kept: a convolution's ``kernel`` as [height, width, in, out], a dense
    layer's as [in, out], a normalisation's ``gamma``, ``beta``, ``mean`` and ``variance``. ``pads`` are zeros before and after
    each spatial axis, as they fell out for this input.
    """

    name: str
    type: str
    kind: str
    shape: tuple[int, ...]
    channels_first: bool
    weights: tuple[str, ...] = ()
    kernel: tuple[int, ...] = ()
    stride: tuple[int, ...] = ()
    pads: tuple[tuple[int, int], ...] = ()
    dilation: tuple[int, ...] = ()
    groups: int = 1
    epsilon: float | None = None
    momentum: float | None = None


@dataclass(frozen=True)
class Recorded:
    """The calls in the order they were made; ``why`` says why there are none."""

    path: Path
    layers: tuple[Layer, ...]
    why: str = ""

    def gave(self, layer: Layer) -> Array:
        """The output of ``layer`` as the framework gave it."""
        return self._read(layer, "gave")

    def given(self, layer: Layer) -> Array:
        """The first input of ``layer``, channels last."""
        return channels_last(self._read(layer, "given"), layer)

    def answered(self, layer: Layer) -> Array:
        """The output of ``layer``, channels last."""
        return channels_last(self.gave(layer), layer)

    def weight(self, layer: Layer, name: str) -> Array | None:
        """One of its weights."""
        return self._read(layer, name) if name in layer.weights else None

    def _read(self, layer: Layer, what: str) -> Array:
        array: Array = np.load(self.path / f"{self.layers.index(layer)}.{what}.npy", mmap_mode="r", allow_pickle=False)
        return array


@dataclass
class Recorder:
    """Writes one call after another into ``path``."""

    path: Path
    layers: list[Layer] = field(default_factory=list)
    names: dict[str, int] = field(default_factory=dict)

    def add(self, layer: Layer, given: Array, gave: Array, weights: dict[str, Array] | None = None) -> None:
        """Keep one call; the name of a layer that is called again gets a number."""
        count = self.names[layer.name] = self.names.get(layer.name, 0) + 1
        name = layer.name if count == 1 else f"{layer.name} (call {count})"
        index = len(self.layers)
        for what, array in {"given": given, "gave": gave, **(weights or {})}.items():
            np.save(self.path / f"{index}.{what}.npy", np.ascontiguousarray(array), allow_pickle=False)
        fields = {one: getattr(layer, one) for one in layer.__dataclass_fields__}
        self.layers.append(Layer(**fields | {"name": name, "shape": tuple(gave.shape), "weights": tuple(weights or ())}))

    def done(self) -> Recorded:
        """What was kept."""
        return Recorded(self.path, tuple(self.layers))


def channels_last(array: Array, layer: Layer) -> Array:
    """``array`` with its channels last, where it has spatial axes and they were first."""
    return np.moveaxis(array, 1, -1) if layer.channels_first and array.ndim > 2 else array


def same_padding(size: int, window: int, stride: int) -> tuple[int, int]:
    """Zeros before and after an axis of ``size`` under "same" as TensorFlow defines it: the odd one comes last."""
    total = max((-(-size // stride) - 1) * stride + window - size, 0)
    return total // 2, total - total // 2

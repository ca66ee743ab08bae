"""The layers of a Keras model, of Keras 3 or tf-keras: every layer that has no layers.

A layer that applies an activation of its own (``Conv2D(..., activation="relu")``) shows as two: what the convolution gave,
and what the activation made of it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from roadworthy.build.compare.layer_diff.recorded import Layer, Recorded, Recorder, same_padding
from roadworthy.build.sources.keras import layer_hooks
from roadworthy.build.sources.layer_events import LayerEvent
from roadworthy.core.stages import Graph
from roadworthy.core.types import Array, Arrays
from roadworthy.frameworks.tensorflow import keras_model

KINDS = {
    "Dense": "dense", "Flatten": "flatten", "LayerNormalization": "layer norm", "Embedding": "embedding", "BatchNormalization": "norm",
    **dict.fromkeys(("Conv1D", "Conv2D", "Conv3D", "DepthwiseConv1D", "DepthwiseConv2D"), "conv"),
    **dict.fromkeys(("MaxPooling1D", "MaxPooling2D", "MaxPooling3D"), "max pool"),
    **dict.fromkeys(("AveragePooling1D", "AveragePooling2D", "AveragePooling3D"), "average pool"),
    **dict.fromkeys(("GlobalAveragePooling1D", "GlobalAveragePooling2D", "GlobalAveragePooling3D"), "global pool"),
    **dict.fromkeys(("Activation", "ReLU", "LeakyReLU", "ELU", "Softmax", "PReLU"), "activation"),
}  # fmt: skip
SILENT = (
    "InputLayer",
    "Dropout",
    "SpatialDropout1D",
    "SpatialDropout2D",
    "SpatialDropout3D",
    "GaussianNoise",
    "GaussianDropout",
    "Identity",
)


def record(graph: Graph, feeds: Arrays, out: Path) -> Recorded:
    """Run the model once, eagerly, with ``training=False``, and keep what its layers take and give."""
    model = keras_model.load(graph.path)
    model.answer(feeds)  # builds what is built at the first call
    layers = _LayerRecorder(Recorder(out), _leaves(model.model))
    with layer_hooks.replaced(layers.activations()), layer_hooks.watched(model.model, layers.see):
        model.answer(feeds)
    return layers.recorder.done()


class _LayerRecorder:
    """Records each call of ``leaves``; the input of a layer's own activation is what the layer gives without it."""

    def __init__(self, recorder: Recorder, leaves: list[Any]) -> None:
        self.recorder = recorder
        self._leaves = {id(leaf): leaf for leaf in leaves}
        self._own = {id(leaf): activation for leaf in leaves if (activation := _own_activation(leaf)) is not None}
        self._given: tuple[Array, ...] = ()
        self._unactivated: Array | None = None

    def activations(self) -> list[tuple[Any, str, Any]]:
        """Functions that replace the activations and record their inputs, as ``layer_hooks.replaced`` takes them."""
        return [(self._leaves[key], "activation", self._seen(activation)) for key, activation in self._own.items()]

    def see(self, event: LayerEvent) -> None:
        """Keep the call that ends with ``event``, where it is one of the leaves'."""
        if id(event.layer) not in self._leaves:
            return
        if event.begins:
            self._given, self._unactivated = event.arrays[:1], None
        elif self._given and len(event.arrays) == 1:
            self._keep(event.layer, self._given[0], event.arrays[0])

    def _keep(self, layer: Any, given: Array, gave: Array) -> None:
        before = gave if self._unactivated is None else self._unactivated
        self.recorder.add(_layer(layer, given.shape), given, before, _weights(layer))
        if self._unactivated is not None:
            activation = self._own[id(layer)]
            name = getattr(activation, "__name__", type(activation).__name__)
            kept = Layer(f"{layer.name}, its {name}", name, "activation", (), channels_first=_channels_first(layer))
            self.recorder.add(kept, self._unactivated, gave)

    def _seen(self, activation: Any) -> Callable[..., Any]:
        def activate(tensor: Any, *rest: Any, **options: Any) -> Any:
            self._unactivated = next(iter(layer_hooks.arrays_in(tensor)), None)
            return activation(tensor, *rest, **options)

        return activate


def _leaves(model: Any) -> list[Any]:
    """Every layer that does something and has no layers of its own, each once."""
    found = {id(layer): layer for layer in model._flatten_layers(include_self=False, recursive=True)}
    leaves = [layer for layer in found.values() if not list(layer._flatten_layers(include_self=False, recursive=False))]
    return [layer for layer in leaves if type(layer).__name__ not in SILENT]


def _own_activation(part: Any) -> Any:
    """The activation that ``part`` applies after its own work, ``None`` where there is none."""
    activation = getattr(part, "activation", None)
    fused = KINDS.get(type(part).__name__) in ("conv", "dense")
    return activation if fused and callable(activation) and getattr(activation, "__name__", "") != "linear" else None


def _layer(part: Any, given: tuple[int, ...]) -> Layer:
    kind = KINDS.get(type(part).__name__, type(part).__name__)
    fields: dict[str, Any] = {
        "name": part.name,
        "type": type(part).__name__,
        "kind": kind,
        "shape": (),
        "channels_first": _channels_first(part),
    }
    if kind in ("conv", "max pool", "average pool"):
        kernel = tuple(part.kernel_size if kind == "conv" else part.pool_size)
        stride, dilation = tuple(part.strides), tuple(getattr(part, "dilation_rate", (1,) * len(kernel)))
        space = given[2:] if _channels_first(part) else given[1:-1]
        windows = [step * (size - 1) + 1 for size, step in zip(kernel, dilation, strict=True)]
        none = [(0, 0)] * len(kernel)
        pads = [same_padding(*one) for one in zip(space, windows, stride, strict=True)] if part.padding == "same" else none
        channels = given[1] if _channels_first(part) else given[-1]
        groups = channels if "Depthwise" in type(part).__name__ else getattr(part, "groups", 1)
        fields |= {"kernel": kernel, "stride": stride, "dilation": dilation, "pads": tuple(pads), "groups": groups}
    return Layer(**fields, epsilon=getattr(part, "epsilon", None), momentum=getattr(part, "momentum", None))


def _channels_first(part: Any) -> bool:
    return getattr(part, "data_format", None) == "channels_first"


def _weights(part: Any) -> dict[str, Array]:
    kind = KINDS.get(type(part).__name__)
    named: dict[str, Any] = {}
    if kind == "conv":
        kernel = getattr(part, "depthwise_kernel", None)
        if kernel is not None:
            # From [*space, in, multiplier] to [*space, 1, in * multiplier].
            array = _array(kernel)
            named = {"kernel": array.reshape(*array.shape[:-2], 1, -1), "bias": part.bias}
        else:
            named = {"kernel": part.kernel, "bias": part.bias}
    elif kind == "dense":
        named = {"kernel": part.kernel, "bias": part.bias}
    elif kind == "norm":
        named = {"gamma": part.gamma, "beta": part.beta, "mean": part.moving_mean, "variance": part.moving_variance}
    return {name: _array(value) for name, value in named.items() if value is not None}


def _array(tensor: Any) -> Array:
    return np.array(tensor.numpy() if hasattr(tensor, "numpy") else tensor)

"""The layers of a Keras model, of either Keras, by standing in front of the ``call`` of every layer that has no layers.

A layer that applies an activation of its own (``Conv2D(..., activation="relu")``) shows as two: what the convolution gave,
and what the activation made of it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from roadworthy.build.compare.layer_diff.recorded import Layer, Recorded, Recorder, same_padding
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


def record(graph: Graph, feeds: Arrays, out: Any) -> Recorded:
    """Run the model once, eagerly, with ``training=False``, and keep what its layers saw."""
    model = keras_model.load(graph.path)
    model.answer(feeds)  # builds what is built at the first call
    recorder = Recorder(out)
    parts = [part for part in _parts(model.model) if type(part).__name__ not in SILENT]
    standing = [_stand_before(part, recorder) for part in parts]
    try:
        model.answer(feeds)
    finally:
        for leave in standing:
            leave()
    return recorder.done()


def _parts(model: Any) -> list[Any]:
    """Every layer that has no layers of its own, each once."""
    found = {id(part): part for part in model._flatten_layers(include_self=False, recursive=True)}
    return [part for part in found.values() if not list(part._flatten_layers(include_self=False, recursive=False))]


def _stand_before(part: Any, recorder: Recorder) -> Any:
    """Record every call of ``part`` until the function that this gives is called."""
    plain, activation = part.call, _own_activation(part)
    before: list[Any] = []

    def activate(tensor: Any, *rest: Any, **options: Any) -> Any:
        before.append(tensor)
        return activation(tensor, *rest, **options)

    def call(*arguments: Any, **options: Any) -> Any:
        before.clear()
        answer = plain(*arguments, **options)
        given = arguments[0] if arguments else next(iter(options.values()), None)
        if given is None or not all(hasattr(tensor, "numpy") for tensor in (given, answer)):
            return answer
        gave = before[-1] if before else answer
        recorder.add(_layer(part, tuple(given.shape)), _array(given), _array(gave), _weights(part))
        if before:
            name = getattr(activation, "__name__", type(activation).__name__)
            layer = Layer(f"{part.name}, its {name}", name, "activation", (), channels_first=_channels_first(part))
            recorder.add(layer, _array(before[-1]), _array(answer))
        return answer

    object.__setattr__(part, "call", call)
    if activation is not None:
        object.__setattr__(part, "activation", activate)

    def leave() -> None:
        object.__delattr__(part, "call")
        if activation is not None:
            object.__setattr__(part, "activation", activation)

    return leave


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

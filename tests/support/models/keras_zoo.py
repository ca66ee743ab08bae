"""Small Keras models of every block form that is found in practice, of either Keras, with random weights and statistics."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

Build: TypeAlias = Callable[[Any], Any]

CLASSES = 4


def shaken(model: Any) -> Any:
    """``model`` with weights of which no two are equal, as a fresh BatchNormalization's are."""
    generator = np.random.default_rng(0)
    for weight in model.weights:
        array = weight.numpy()
        spread = np.sqrt(2 / max(1, np.prod(array.shape[:-1]))) if array.ndim > 1 else 0.3
        weight.assign(array if array.ndim > 1 and array.std() > 0 else (1 + spread * generator.random(array.shape)).astype(array.dtype))
    return model


def plain(k: Any) -> Any:
    x = image = k.Input((8, 8, 3), name="image")
    for number, (kernel, strides) in enumerate([(3, 1), (3, 2), (1, 1)]):
        x = k.layers.Conv2D(6 + 2 * number, kernel, strides, padding="same", use_bias=number == 1, name=f"conv{number}")(x)
        x = k.layers.BatchNormalization(name=f"norm{number}")(x)
        x = k.layers.ReLU(name=f"relu{number}")(x)
    x = k.layers.MaxPooling2D(name="pool")(k.layers.ZeroPadding2D(name="pad")(x))
    return _head(k, image, x)


def _head(k: Any, image: Any, x: Any) -> Any:
    x = k.layers.GlobalAveragePooling2D(name="mean")(x)
    return k.Model(image, k.layers.Dense(CLASSES, name="scores")(x))


def flat(k: Any) -> Any:
    x = image = k.Input((8, 8, 3), name="image")
    x = k.layers.Conv2D(6, 3, activation="relu", name="conv")(x)
    x = k.layers.AveragePooling2D(2, name="pool")(x)
    x = k.layers.Flatten(name="flat")(x)
    x = k.layers.Dropout(0.5, name="drop")(k.layers.BatchNormalization(name="norm")(x))
    x = k.layers.Dense(10, activation="gelu", name="hidden")(x)
    return k.Model(image, k.layers.Dense(CLASSES, name="scores")(x))


def residual(k: Any) -> Any:
    """One block with a projection, one without."""
    x = image = k.Input((8, 8, 3), name="image")
    x = k.layers.Conv2D(8, 3, padding="same", name="stem")(x)
    for block, (filters, strides) in enumerate([(8, 1), (12, 2)]):
        y = k.layers.Conv2D(filters, 3, strides, padding="same", name=f"first{block}")(x)
        y = k.layers.Activation("relu", name=f"relu{block}")(k.layers.BatchNormalization(name=f"norm{block}")(y))
        y = k.layers.Conv2D(filters, 3, padding="same", name=f"second{block}")(y)
        short = x if strides == 1 else k.layers.Conv2D(filters, 1, strides, name=f"project{block}")(x)
        x = k.layers.Add(name=f"add{block}")([short, y])
    return _head(k, image, x)


def depthwise(k: Any) -> Any:
    """MobileNetV2's inverted residual, with a depth multiplier in the second block."""
    x = image = k.Input((8, 8, 3), name="image")
    x = k.layers.Conv2D(8, 3, padding="same", name="stem")(x)
    for block, multiplier in enumerate([1, 2]):
        y = k.layers.Conv2D(16, 1, use_bias=False, name=f"expand{block}")(x)
        y = k.layers.ReLU(6.0, name=f"six{block}")(k.layers.BatchNormalization(name=f"norm{block}")(y))
        y = k.layers.DepthwiseConv2D(3, padding="same", depth_multiplier=multiplier, name=f"deep{block}")(y)
        y = k.layers.BatchNormalization(name=f"after{block}")(y)
        y = k.layers.Conv2D(8, 1, name=f"project{block}")(y)
        x = k.layers.Add(name=f"add{block}")([x, y])
    x = k.layers.SeparableConv2D(10, 3, depth_multiplier=2, activation="relu", name="separable0")(x)
    x = k.layers.SeparableConv2D(6, 3, name="separable1")(x)
    return _head(k, image, x)


def concatenation(k: Any) -> Any:
    """Two branches of one convolution, joined and normalised, as in Inception and DenseNet."""
    x = image = k.Input((8, 8, 3), name="image")
    x = k.layers.Conv2D(6, 3, name="stem")(x)
    left = k.layers.Conv2D(4, 1, name="left")(x)
    right = k.layers.Conv2D(5, 3, padding="same", name="right")(x)
    x = k.layers.Concatenate(name="join")([left, x, right])
    x = k.layers.ReLU(name="relu")(k.layers.BatchNormalization(name="norm")(x))
    x = k.layers.Concatenate(name="twice")([x, x])
    x = k.layers.Conv2D(8, 1, name="mix")(x)
    return _head(k, image, x)


def squeeze(k: Any) -> Any:
    """Squeeze and excite: what multiplies the channels keeps them all, the bottleneck inside is cut."""
    x = image = k.Input((8, 8, 3), name="image")
    x = k.layers.Conv2D(8, 3, name="conv")(x)
    y = k.layers.GlobalAveragePooling2D(keepdims=True, name="squeeze")(x)
    y = k.layers.Conv2D(6, 1, activation="relu", name="reduce")(y)
    y = k.layers.Conv2D(8, 1, activation="sigmoid", name="expand")(y)
    x = k.layers.Multiply(name="scale")([x, y])
    return _head(k, image, k.layers.Conv2D(6, 3, name="next")(x))


def grouped(k: Any) -> Any:
    x = image = k.Input((8, 8, 3), name="image")
    x = k.layers.Conv2D(8, 1, name="reduce")(x)
    x = k.layers.Conv2D(12, 3, groups=4, activation="relu", name="grouped")(x)
    return _head(k, image, k.layers.Conv2D(8, 1, name="expand")(x))


def shared(k: Any) -> Any:
    """One convolution called twice, one activation layer called twice."""
    x = image = k.Input((8, 8, 3), name="image")
    relu, conv = k.layers.ReLU(name="relu"), k.layers.Conv2D(6, 3, padding="same", name="shared")
    x = relu(k.layers.Conv2D(6, 3, padding="same", name="before")(x))
    x = conv(conv(x))
    x = k.layers.Conv2D(8, 3, name="after")(x)
    return _head(k, image, k.layers.Conv2D(6, 3, name="last")(relu(x)))


def sequential(k: Any) -> Any:
    layers = k.layers
    return k.Sequential([
        k.Input((8, 8, 3), name="image"), layers.Rescaling(1 / 255, name="scale"), layers.Normalization(name="adapted"),
        layers.Conv2D(6, 3, activation="relu", name="conv0"),
        layers.BatchNormalization(name="norm"), layers.SpatialDropout2D(0.2, name="drop"), layers.Conv2D(8, 3, name="conv1"),
        layers.LeakyReLU(name="leaky"), layers.GlobalMaxPooling2D(name="most"), layers.Dense(CLASSES, name="scores"),
    ])  # fmt: skip


def two_outputs(k: Any) -> Any:
    """The first convolution's channels are an answer too; those of the second go to two heads."""
    x = image = k.Input((8, 8, 3), name="image")
    x = seen = k.layers.Conv2D(5, 3, name="seen")(x)
    x = k.layers.Conv2D(8, 3, activation="tanh", name="body")(x)
    pixel = k.layers.Conv2D(2, 1, name="pixel")(x)
    scores = k.layers.Dense(CLASSES, name="scores")(k.layers.GlobalAveragePooling2D(name="mean")(x))
    return k.Model(image, [seen, pixel, scores])


def prelu(k: Any) -> Any:
    x = image = k.Input((8, 8, 3), name="image")
    x = k.layers.PReLU(shared_axes=[1, 2], name="shared")(k.layers.Conv2D(6, 3, name="conv0")(x))
    x = k.layers.PReLU(name="each")(k.layers.Conv2D(5, 3, name="conv1")(x))
    x = k.layers.PReLU(shared_axes=[1, 2, 3], name="one")(k.layers.Conv2D(7, 1, name="conv2")(x))
    return _head(k, image, x)


def dense(k: Any) -> Any:
    x = features = k.Input((10,), name="features")
    for number in range(3):
        x = k.layers.Dense(12 - number, activation="selu", name=f"dense{number}")(x)
    return k.Model(features, k.layers.Dense(CLASSES, name="scores")(x))


def series(k: Any) -> Any:
    """One-dimensional convolutions over a free length."""
    x = signal = k.Input((None, 3), name="signal")
    x = k.layers.Conv1D(6, 3, activation="relu", name="conv0")(x)
    x = k.layers.MaxPooling1D(name="pool")(x)
    x = k.layers.Conv1D(8, 3, activation="relu", name="conv1")(x)
    return k.Model(signal, k.layers.Dense(CLASSES, name="scores")(k.layers.GlobalMaxPooling1D(name="most")(x)))


def first(k: Any) -> Any:
    """Channels before the pixels, whose Flatten puts them behind."""
    image, order = k.Input((3, 8, 8), name="image"), {"data_format": "channels_first"}
    x = k.layers.Conv2D(5, 3, activation="relu", name="conv0", **order)(image)
    x = k.layers.BatchNormalization(axis=1, name="norm")(x)
    x = k.layers.MaxPooling2D(name="pool", **order)(x)
    x = k.layers.Conv2D(6, 2, name="conv1", **order)(x)
    x = k.layers.Flatten(name="flat", **order)(x)
    return k.Model(image, k.layers.Dense(CLASSES, name="scores")(x))


def nested(k: Any) -> Any:
    """A model inside a model, as transfer learning makes them."""
    image = k.Input((8, 8, 3), name="pixels")
    x = k.layers.Conv2D(6, 3, activation="relu", name="conv0")(image)
    body = k.Model(image, k.layers.Conv2D(8, 3, name="conv1")(x), name="body")
    return k.Sequential([
        k.Input((8, 8, 3), name="image"), body, k.layers.GlobalAveragePooling2D(name="mean"),
        k.layers.Dense(6, activation="relu", name="hidden"), k.layers.Dense(CLASSES, name="scores"),
    ])  # fmt: skip


def transposed(k: Any) -> Any:
    x = image = k.Input((8, 8, 3), name="image")
    x = k.layers.Conv2D(6, 3, 2, activation="relu", padding="same", name="down")(x)
    x = k.layers.Conv2DTranspose(7, 3, 2, activation="relu", padding="same", name="up")(x)
    x = k.layers.UpSampling2D(name="larger")(x)
    return k.Model(image, k.layers.Conv2D(2, 1, name="mask")(x))


def normalised(k: Any) -> Any:
    """EfficientNet's block: channels are cut with what multiplies them, across a Reshape that states their number."""
    x = image = k.Input((8, 8, 3), name="image")
    x = k.layers.BatchNormalization(name="norm")(k.layers.Conv2D(8, 3, name="conv")(x))
    x = k.layers.Activation("swish", name="swish")(x)
    y = k.layers.Reshape((1, 1, 8), name="reshape")(k.layers.GlobalAveragePooling2D(name="squeeze")(x))
    y = k.layers.Conv2D(4, 1, activation="swish", name="reduce")(y)
    y = k.layers.Conv2D(8, 1, activation="sigmoid", name="expand")(y)
    return _head(k, image, k.layers.Conv2D(6, 1, name="project")(k.layers.Multiply(name="scale")([x, y])))


def unequal(k: Any) -> Any:
    """Sums that cannot be cut: with an input of the model, with what another layer mixed, and with the model's answer."""
    image, other = k.Input((8, 8, 3), name="image"), k.Input((8, 8, 6), name="other")
    x = k.layers.Add(name="with_input")([k.layers.Conv2D(6, 3, padding="same", name="first")(image), other])
    y = k.layers.LayerNormalization(name="mixed")(k.layers.Conv2D(5, 3, name="second")(x))
    x = k.layers.Add(name="with_mixed")([k.layers.Conv2D(5, 3, name="third")(x), y])
    x = k.layers.Conv2D(4, 3, name="fourth")(x)
    end = k.layers.Add(name="with_answer")([k.layers.Conv2D(4, 1, name="fifth")(x), x])
    return k.Model([image, other], [end, k.layers.GlobalAveragePooling2D(name="mean")(x)])


Form: TypeAlias = tuple[Build, set[str], set[str], set[str]]

CUT: dict[str, Form] = {
    "plain": (plain, {"conv0", "conv1", "conv2"}, set(), {"scores"}),
    "flat": (flat, {"conv", "hidden"}, set(), {"scores"}),
    "residual": (residual, {"first0", "first1"}, {"stem", "project1"}, {"scores"}),
    "depthwise": (depthwise, {"expand0", "expand1", "separable0", "separable1"}, {"stem"}, {"scores"}),
    "concatenation": (concatenation, {"stem", "left", "right", "mix"}, set(), {"scores"}),
    "squeeze": (squeeze, {"conv", "reduce", "next"}, set(), {"scores"}),
    "normalised": (normalised, {"conv", "reduce", "project"}, set(), {"scores"}),
    "grouped": (grouped, {"grouped", "expand"}, set(), {"reduce", "scores"}),
    "shared": (shared, {"after", "last"}, set(), {"before", "shared", "scores"}),
    "sequential": (sequential, {"conv0", "conv1"}, set(), {"scores"}),
    "two outputs": (two_outputs, {"body"}, set(), {"seen", "pixel", "scores"}),
    "prelu": (prelu, {"conv0", "conv1", "conv2"}, set(), {"scores"}),
    "dense": (dense, {"dense0", "dense1", "dense2"}, set(), {"scores"}),
    "series": (series, {"conv0", "conv1"}, set(), {"scores"}),
    "first": (first, {"conv0", "conv1"}, set(), {"scores"}),
    "nested": (nested, {"body/conv0", "hidden"}, set(), {"body/conv1", "scores"}),
    "transposed": (transposed, {"down", "up"}, set(), {"mask"}),
    "unequal": (unequal, set(), set(), {"first", "second", "third", "fourth", "fifth"}),
}
"""By name: how a model is built, the layers whose channels are cut, those that are cut as sums, and those that are left."""

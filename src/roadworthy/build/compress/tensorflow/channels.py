"""What a layer does to the channels that reach it: it makes them, passes each on by itself, or takes them; and in which of its weights.

A layer that is not known to keep channels apart is never passed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from roadworthy.build.compress.tensorflow.wiring import KERAS, LayerCall, kind, root
from roadworthy.core.types import Array

CONVOLUTIONS = frozenset({"Conv1D", "Conv2D", "Conv3D"})
TRANSPOSED = frozenset({"Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose"})
SEPARABLE = frozenset({"SeparableConv1D", "SeparableConv2D"})
MAKERS = CONVOLUTIONS | TRANSPOSED | SEPARABLE | {"Dense"}
"""The layers that make channels, and that take those of others."""
DEPTHWISE = frozenset({"DepthwiseConv1D", "DepthwiseConv2D"})
SPATIAL = frozenset(
    f"{name}{rank}D"
    for name in ("MaxPooling", "AveragePooling", "MaxPool", "AvgPool", "ZeroPadding", "Cropping", "UpSampling")
    for rank in (1, 2, 3)
)
"""Layers that treat the positions of each channel in the same way."""
GLOBAL = frozenset(f"Global{name}{rank}D" for name in ("AveragePooling", "MaxPooling") for rank in (1, 2, 3))
ELEMENTWISE = frozenset({
    "abs", "activityregularization", "alphadropout", "celu", "dropout", "elu", "exp", "exponential", "gaussiandropout", "gaussiannoise",
    "gelu", "hardshrink", "hardsigmoid", "hardsilu", "hardswish", "hardtanh", "identity", "leakyrelu", "linear", "logsigmoid", "mish",
    "relu", "relu6", "selu", "sigmoid", "silu", "softplus", "softshrink", "softsign", "sparseplus", "spatialdropout1d", "spatialdropout2d",
    "spatialdropout3d", "squareplus", "swish", "tanh", "tanhshrink", "thresholdedrelu",
})  # fmt: skip
"""Layers and functions that change each number by itself in inference mode, in small letters and digits."""
JOINS = frozenset({"add", "average", "maximum", "minimum", "multiply", "subtract"})
"""Layers and functions that combine the numbers at one place of several tensors."""
SCALED = frozenset({"add", "divide", "multiply", "subtract", "truedivide", "truediv", "mul", "sub"})
"""Functions that change each number by itself where the other operand is a single number."""
WEIGHTS = ("kernel", "bias", "depthwise_kernel", "pointwise_kernel", "gamma", "beta", "moving_mean", "moving_variance", "alpha")
"""The attributes under which Keras's own layers hold the weights that are cut here."""


class NotFollowed(Exception):
    """Channels cannot be cut here, for the reason in the message."""


@dataclass(frozen=True)
class Channels:
    """Which of the block's channels each position along ``axis`` of a tensor holds: int64 [size of the axis], -1 where it holds none."""

    axis: int
    origin: Array

    def same(self, other: Channels) -> bool:
        return self.axis == other.axis and np.array_equal(self.origin, other.origin)


@dataclass(frozen=True)
class Setting:
    """A number of channels in a layer's configuration: the value of ``name`` or, where it is a list, its ``index``."""

    name: str
    index: int | None
    origin: Array


@dataclass(frozen=True)
class Touch:
    """The attribute of a layer that holds a weight, and which channel each position along its ``axis`` belongs to, as in ``Channels``."""

    weight: str
    axis: int
    origin: Array


@dataclass(frozen=True)
class Made:
    """What a layer makes channels with, and the channels of its answer."""

    touches: tuple[Touch, ...]
    settings: tuple[Setting, ...]
    after: Channels


@dataclass(frozen=True)
class Passage:
    """What happens to the channels in a layer; ``after`` are those of its answer, ``None`` for a layer that takes them."""

    touches: tuple[Touch, ...] = ()
    after: Channels | None = None
    settings: tuple[Setting, ...] = ()


def made(call: LayerCall) -> Made:
    """The channels that a layer of ``MAKERS`` makes; NotFollowed where they cannot be cut."""
    layer = call.layer
    _refuse_own(call)
    count, rank = size(layer), len(call.outputs[0].shape)
    origin = np.arange(count)
    weight, axis = "kernel", -1
    if kind(layer) in TRANSPOSED:
        axis = -2
    elif kind(layer) in SEPARABLE:
        weight = "pointwise_kernel"
    _refuse_mixing(call)
    touches = (Touch(weight, axis % len(getattr(layer, weight).shape), origin), *_vectors(layer, origin, "bias"))
    setting = Setting("units" if kind(layer) == "Dense" else "filters", None, origin)
    return Made(touches, (setting,), Channels(_axis(layer, rank), origin))


def through(call: LayerCall, tensor: int, channels: Channels) -> Passage:
    """What ``call`` does to the ``channels`` of its input with the key ``tensor``; NotFollowed where that is not known."""
    layer, name = call.layer, kind(call.layer)
    rank = len(next(each.shape for each in call.inputs if each.key == tensor))
    if root(type(layer)) in KERAS and name == "Concatenate":
        return Passage((), _joined(call, tensor, channels, rank))
    if len(call.inputs) != 1 or len(call.outputs) != 1:
        raise NotFollowed(f"its channels reach {call.words} together with other tensors")
    if root(type(layer)) in KERAS and _plain(_function(layer)) in ELEMENTWISE and not getattr(layer, "weights", ()):
        return Passage((), channels)
    if root(type(layer)) in KERAS and _plain(_function(layer)) in SCALED and call.numbers:
        return Passage((), channels)
    _refuse_own(call)
    if name in MAKERS:
        return _taken(call, channels, rank)
    if name in DEPTHWISE or name in SPATIAL or name in GLOBAL:
        _refuse_other_axis(call, channels, _axis(layer, rank))
    if name in DEPTHWISE:
        weight = "kernel" if hasattr(layer, "kernel") else "depthwise_kernel"
        kernel = getattr(layer, weight)
        origin = np.repeat(channels.origin, kernel.shape[-1])
        _refuse_mixing(call)
        touches = (Touch(weight, len(kernel.shape) - 2, channels.origin), *_vectors(layer, origin, "bias"))
        return Passage(touches, Channels(channels.axis, origin))
    if name in SPATIAL:
        return Passage((), channels)
    if name in GLOBAL:
        return Passage((), Channels(channels.axis if layer.keepdims else 1, channels.origin))
    return _passed(call, channels, rank)


def joins(call: LayerCall) -> bool:
    """Whether the layer combines each number of several tensors with that at the same place of the others."""
    return root(type(call.layer)) in KERAS and len(call.inputs) > 1 and _plain(_function(call.layer)) in JOINS


def gates(call: LayerCall) -> bool:
    """Whether a layer that joins multiplies: where one factor is zero, so is the answer."""
    return _plain(_function(call.layer)) == "multiply"


def size(layer: Any) -> int:
    """How many channels a layer of ``MAKERS`` makes."""
    return int(layer.units if kind(layer) == "Dense" else layer.filters)


def _passed(call: LayerCall, channels: Channels, rank: int) -> Passage:
    layer = call.layer
    match kind(layer):
        case "Activation":
            _refuse_mixing(call)
            return Passage((), channels)
        case "Rescaling" if np.ndim(layer.scale) == 0 and np.ndim(layer.offset) == 0:
            return Passage((), channels)
        case "BatchNormalization":
            axes = layer.axis if isinstance(layer.axis, list | tuple) else [layer.axis]
            if len(axes) != 1:
                raise NotFollowed(f"its channels reach {call.words}, which normalises several axes")
            _refuse_other_axis(call, channels, axes[0] % rank)
            touches = _vectors(layer, channels.origin, "gamma", "beta", "moving_mean", "moving_variance")
            return Passage(touches, channels)
        case "PReLU":
            own = channels.axis - 1
            shared = layer.alpha.shape[own] != len(channels.origin)
            return Passage(() if shared else (Touch("alpha", own, channels.origin),), channels)
        case "Flatten":
            return Passage((), _flat(call, channels))
        case "Reshape":
            return _reshaped(call, channels)
    raise NotFollowed(f"its channels reach {call.words}, which is not known to keep channels apart")


def _taken(call: LayerCall, channels: Channels, rank: int) -> Passage:
    layer = call.layer
    _refuse_other_axis(call, channels, _axis(layer, rank))
    name, origin = kind(layer), channels.origin
    if getattr(layer, "groups", 1) != 1:
        raise NotFollowed(f"its channels reach {call.words}, which takes them in groups")
    if name == "Dense":
        return Passage((Touch("kernel", 0, origin),))
    if name in SEPARABLE:
        deep, point = len(layer.depthwise_kernel.shape), len(layer.pointwise_kernel.shape)
        each = layer.depthwise_kernel.shape[-1]
        return Passage((Touch("depthwise_kernel", deep - 2, origin), Touch("pointwise_kernel", point - 2, np.repeat(origin, each))))
    return Passage((Touch("kernel", len(layer.kernel.shape) - (1 if name in TRANSPOSED else 2), origin),))


def _joined(call: LayerCall, tensor: int, channels: Channels, rank: int) -> Channels:
    """The channels behind a Concatenate: at the positions of each input that is ``tensor``, none at those of the others."""
    axis = call.layer.axis % rank
    sizes = [each.shape[axis] for each in call.inputs]
    if axis != channels.axis or None in sizes:
        raise NotFollowed(f"its channels reach {call.words}, which joins another axis than theirs")
    parts = [channels.origin if each.key == tensor else np.full(each.shape[axis] or 0, -1) for each in call.inputs]
    return Channels(axis, np.concatenate(parts))


def _flat(call: LayerCall, channels: Channels) -> Channels:
    """The channels behind a Flatten, which with channels_first moves the channels behind the positions before it."""
    sizes = call.inputs[0].shape[1:]
    if None in sizes:
        raise NotFollowed(f"its channels reach {call.words}, whose input is of a free size")
    shape = [1] * len(sizes)
    shape[channels.axis - 1] = len(channels.origin)
    whole = np.broadcast_to(channels.origin.reshape(shape), [size or 0 for size in sizes])
    if getattr(call.layer, "data_format", None) == "channels_first" and len(sizes) > 1:
        whole = np.moveaxis(whole, 0, -1)
    return Channels(1, whole.reshape(math.prod(whole.shape)))


def _reshaped(call: LayerCall, channels: Channels) -> Passage:
    """A Reshape that adds or removes axes of size 1 and nothing else."""
    before, after = call.inputs[0].shape[1:], call.outputs[0].shape[1:]
    count = len(channels.origin)
    if any([size for size in sizes if size != 1] != [count] for sizes in (before, after)):
        raise NotFollowed(f"its channels reach {call.words}, which moves them to other places")
    index = after.index(count)
    stated = tuple(call.layer.target_shape)[index] != -1
    return Passage((), Channels(index + 1, channels.origin), (Setting("target_shape", index, channels.origin),) if stated else ())


def _vectors(layer: Any, origin: Array, *names: str) -> tuple[Touch, ...]:
    return tuple(Touch(name, 0, origin) for name in names if getattr(layer, name, None) is not None)


def _axis(layer: Any, rank: int) -> int:
    return 1 if getattr(layer, "data_format", None) == "channels_first" else rank - 1


def _refuse_other_axis(call: LayerCall, channels: Channels, axis: int) -> None:
    if axis != channels.axis:
        raise NotFollowed(f"its channels reach {call.words}, which works along another axis")


def _refuse_mixing(call: LayerCall) -> None:
    """NotFollowed where the layer's activation does not change each number by itself."""
    function = getattr(call.layer, "activation", None)
    name = getattr(function, "__name__", type(function).__name__)
    if function is not None and (_plain(name) not in ELEMENTWISE or root(function) not in (*KERAS, "tensorflow")):
        raise NotFollowed(f"the activation {name} of {call.words} is not known to keep channels apart")


def _refuse_own(call: LayerCall) -> None:
    """NotFollowed for a layer of the user's own, and for one that holds more weights than Keras's own of that name."""
    layer = call.layer
    if root(type(layer)) not in KERAS:
        raise NotFollowed(f"{call.words} is a layer of your own, which is not known to keep channels apart")
    known = {id(getattr(layer, name, None)) for name in WEIGHTS}
    if kind(layer) in {*MAKERS, *DEPTHWISE, "BatchNormalization", "PReLU"} and any(id(weight) not in known for weight in layer.weights):
        raise NotFollowed(f"{call.words} holds weights that are not known here")


def _function(layer: Any) -> str:
    """The last part of what the layer is called: that of ``nn.relu``."""
    return kind(layer).rpartition(".")[2]


def _plain(name: str) -> str:
    return name.replace("_", "").lower()

"""Convolutions, pooling, dense layers and normalisation, with the channels last."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from roadworthy.build.nhwc.program import FILTERS, NO_TENSOR, SAME, VALID
from roadworthy.build.nhwc.translation import Handler, OnnxTranslation
from roadworthy.build.onnx_graph import Node, Sizes
from roadworthy.core.errors import StepFailed
from roadworthy.core.types import Array

LOWEST = float(np.finfo(np.float32).min)
Window = tuple[Sequence[int], Sequence[int], Sequence[int]]
"""Kernel, strides and dilations of the two axes of an image."""


def convolution(to: OnnxTranslation, node: Node) -> None:
    """Conv of images, or of one axis as an image of one row: groups of any number; one for each channel is an operator of its own."""
    weights = to.constant(node.input(1), node)
    if weights.ndim not in (3, 4):
        raise StepFailed(f"{node}: a convolution over {weights.ndim - 2} axes, where 1 or 2 are translated")
    weights = weights.reshape(*weights.shape[:2], *_two(weights.shape[2:]))
    filters, each, *kernel = weights.shape
    bias = to.constant(node.input(2), node) if node.input(2) else np.zeros(filters, np.float32)
    channels = to.shape(node.input(0))[1]
    window = kernel, _two(node.attributes.get("strides", ())), _two(node.attributes.get("dilations", ()))
    tensor, padding = _padded(to, node, window, 0.0)
    (stride_h, stride_w), (dilation_h, dilation_w) = window[1:]
    options: dict[str, Any] = {
        "padding": padding, "strideH": stride_h, "strideW": stride_w, "dilationHFactor": dilation_h, "dilationWFactor": dilation_w,
    }  # fmt: skip
    code, order = "CONV_2D", (0, 2, 3, 1)
    if each == 1 and channels != 1:
        code, order, options["depthMultiplier"] = "DEPTHWISE_CONV_2D", (1, 2, 3, 0), filters // int(channels or 1)
    _image_operator(to, code, (tensor, to.program.constant(weights.transpose(order)), to.program.constant(bias)), node, **options)


def _two(sizes: Sequence[int]) -> tuple[int, ...]:
    """Sizes of two axes, of which ``sizes`` are the last ones and 1 is what is missing."""
    return (*(1,) * (2 - len(sizes)), *sizes)


def _image(to: OnnxTranslation, name: str) -> int:
    """The value with its channels last, and one row where it has one axis beside them."""
    tensor, shape = to.last(name), to.shape(name)
    if len(shape) not in (3, 4):
        raise StepFailed(f"{name!r} has {len(shape)} axes, and operators for images take 3 or 4")
    return tensor if len(shape) == 4 else to.reshaped(tensor, (shape[0], 1, shape[2], shape[1]), to.graph.dtypes[name])


def _image_operator(to: OnnxTranslation, code: str, inputs: tuple[int, ...], node: Node, **options: Any) -> None:
    """An operator for images whose output is the node's; without the row that ``_image`` added."""
    name = node.outputs[0]
    if len(to.shape(name)) == 4:
        to.add(code, inputs, name, last=True, **options)
        return
    batch, channels, size = to.shape(name)
    made = to.apply(code, inputs, (batch, 1, size, channels), **options)
    tensor = to.reshaped(made, (batch, size, channels), to.graph.dtypes[name])
    # What follows may still be done by the operator itself: nothing else takes its own output.
    to.program.producers[tensor] = to.program.producers[made]
    to.put(name, tensor, last=True)


def _padded(to: OnnxTranslation, node: Node, window: Window, value: float, *, counted: bool = False) -> tuple[int, str]:
    """The input, with ``value`` around it where no word says its padding or it has to be ``counted``; and that word."""
    tensor, shape, result = _image(to, node.input(0)), _extent(to, node.input(0)), _extent(to, node.outputs[0])
    before, extents = _pads(node, shape, result, window)
    found = []
    for size, made, first, kernel, stride in zip(shape, result, before, extents, window[1], strict=True):
        # What the last window does not reach is cut off by itself.
        found.append((first, max(0, (made - 1) * stride + kernel - size - first), math.ceil(size / stride) == made))
    if not any(first or behind for first, behind, _ in found):
        return tensor, VALID
    if not counted and all(whole and first == (first + behind) // 2 for first, behind, whole in found):
        return tensor, SAME
    return _surrounded(to, tensor, [(first, behind) for first, behind, _ in found], value), VALID


def _extent(to: OnnxTranslation, name: str) -> tuple[int, ...]:
    """Rows and columns of a value; one row where it has one axis beside the channels."""
    sizes = [size for size in to.shape(name)[2:] if size is not None]
    if len(sizes) != len(to.shape(name)) - 2:
        raise StepFailed(f"the size of the image {name!r} depends on the number of samples")
    return _two(sizes)


def _pads(node: Node, shape: Sequence[int], result: Sequence[int], window: Window) -> tuple[tuple[int, ...], list[int]]:
    """Rows and columns before the image, and how far one window reaches."""
    extents = [(size - 1) * dilation + 1 for size, dilation in zip(window[0], window[2], strict=True)]
    automatic = node.attributes.get("auto_pad", "NOTSET")
    if automatic in ("SAME_UPPER", "SAME_LOWER"):
        totals = [max(0, (made - 1) * by + extent - size) for made, by, extent, size in zip(result, window[1], extents, shape, strict=True)]
        return tuple((total + (automatic == "SAME_LOWER")) // 2 for total in totals), extents
    pads = node.attributes.get("pads", ())
    before = pads[: len(pads) // 2]
    return (*(0,) * (2 - len(before)), *before), extents


def _surrounded(to: OnnxTranslation, tensor: int, pads: list[tuple[int, int]], value: float) -> int:
    around = to.program.constant(np.array([(0, 0), *pads, (0, 0)], np.int32))
    batch, *sizes, channels = to.program.tensors[tensor].shape
    shape = (batch, *(int(size or 0) + sum(pad) for size, pad in zip(sizes, pads, strict=True)), channels)
    if value:
        return to.apply("PADV2", (tensor, around, to.number(value)), shape)
    return to.apply("PAD", (tensor, around), shape)


def pooling(to: OnnxTranslation, node: Node) -> None:
    """MaxPool and AveragePool of images, or of one axis."""
    kernel = _two(node.attributes["kernel_shape"])
    window = kernel, _two(node.attributes.get("strides", ())), _two(node.attributes.get("dilations", ()))
    if len(kernel) != 2 or any(one != 1 for one in window[2]) or any(name for name in node.outputs[1:]):
        raise StepFailed(f"{node}: pooling is translated over 1 or 2 axes, without dilation or indices")
    largest = node.op == "MaxPool"
    counted = not largest and node.attributes.get("count_include_pad", 0) == 1
    # Nothing is below 0 behind a ReLU: zeros around it change no maximum, and PAD is an operator that runtimes join with others.
    tensor, padding = _padded(to, node, window, 0.0 if not largest or node.input(0) in to.positive else LOWEST, counted=counted)
    if not largest and padding == VALID and not _inside(to, node, window, counted):
        raise StepFailed(f"{node}: an average over windows that reach beyond the image, as this one does, is not translated")
    (stride_h, stride_w), (filter_h, filter_w) = window[1], kernel
    options = {"padding": padding, "strideH": stride_h, "strideW": stride_w, "filterHeight": filter_h, "filterWidth": filter_w}
    _image_operator(to, "MAX_POOL_2D" if largest else "AVERAGE_POOL_2D", (tensor,), node, **options)
    to.keep_positive(node)


def _inside(to: OnnxTranslation, node: Node, window: Window, counted: bool) -> bool:
    """Whether no window takes what is not there: numbers around the image that do not count, or beyond those that do."""
    pads = node.attributes.get("pads", ())
    half = len(pads) // 2
    before, behind = ((*(0,) * (2 - half), *part) for part in (pads[:half], pads[half:]))
    made, given = _extent(to, node.outputs[0]), _extent(to, node.input(0))
    inside = [
        (count - 1) * stride + kernel <= size + first + last
        for count, stride, kernel, size, first, last in zip(made, window[1], window[0], given, before, behind, strict=True)
    ]
    return all(inside) and (counted or not any(pads))


def global_pooling(to: OnnxTranslation, node: Node) -> None:
    """The mean, or the largest, of each channel."""
    axes = range(1, len(to.shape(node.input(0))) - 1)
    code = "MEAN" if node.op == "GlobalAveragePool" else "REDUCE_MAX"
    to.add(code, (to.last(node.input(0)), to.numbers(axes)), node.outputs[0], last=True, keepDims=True)
    to.keep_positive(node)


def normalisation(to: OnnxTranslation, node: Node) -> None:
    """BatchNormalization: into the convolution before it where that alone takes its result, else a product and a sum."""
    scale, bias, mean, variance = (to.constant(node.input(number), node) for number in (1, 2, 3, 4))
    factor = scale / np.sqrt(variance + np.float32(node.attributes.get("epsilon", 1e-5)))
    offset = bias - mean * factor
    source = node.input(0)
    if _folded(to, source, factor, offset):
        to.put(node.outputs[0], to.last(source), last=True)
        return
    last = to.is_last(source)
    shape = (-1,) if last else (-1, *(1,) * (len(to.shape(source)) - 2))
    product = to.apply("MUL", (to.tensor(source, last), to.program.constant(factor.reshape(shape))), to.ordered(source, last))
    to.add("ADD", (product, to.program.constant(offset.reshape(shape))), node.outputs[0], last=last)


def _folded(to: OnnxTranslation, name: str, factor: Array, offset: Array) -> bool:
    """Whether the layer that makes the value now makes ``value * factor + offset``, by other weights."""
    if not to.is_last(name) or not to.alone(name):
        return False
    maker = to.program.producers.get(to.last(name))
    weights, bias = maker.inputs[1:3] if maker is not None and len(maker.inputs) == 3 else (NO_TENSOR, NO_TENSOR)
    before, added = to.program.array(weights), to.program.array(bias)
    if maker is None or before is None or added is None or maker.clamp:
        return False
    axis = FILTERS[maker.code]
    to.program.replace(weights, before * factor.reshape([-1 if axis == one else 1 for one in range(before.ndim)]))
    to.program.replace(bias, added * factor + offset)
    return True


def dense(to: OnnxTranslation, node: Node) -> None:
    """Gemm, by a matrix of weights."""
    attributes = node.attributes
    if attributes.get("transA"):
        raise StepFailed(f"{node}: its input is transposed, which that of a dense layer is not")
    weights = to.constant(node.input(1), node) * np.float32(attributes.get("alpha", 1.0))
    weights = weights if attributes.get("transB") else weights.T
    inputs = [to.plain(node.input(0)), to.program.constant(weights), NO_TENSOR]
    if node.input(2):
        bias = to.constant(node.input(2), node) * np.float32(attributes.get("beta", 1.0))
        inputs[2] = to.program.constant(np.broadcast_to(bias.reshape(-1), len(weights)))
    to.add("FULLY_CONNECTED", inputs, node.outputs[0], keepNumDims=False)


def product(to: OnnxTranslation, node: Node) -> None:
    """MatMul: by a matrix of weights, or of two values."""
    left, right = node.inputs
    if right in to.graph.constants and to.graph.constants[right].ndim == 2 and len(to.shape(left)) > 1:
        weights = to.program.constant(to.constant(right, node).T)
        to.add("FULLY_CONNECTED", (to.plain(left), weights, NO_TENSOR), node.outputs[0], keepNumDims=len(to.shape(left)) > 2)
        return
    if min(len(to.shape(left)), len(to.shape(right))) < 2:
        raise StepFailed(f"{node}: of vectors, where matrices are multiplied")
    to.add("BATCH_MATMUL", (to.plain(left), to.plain(right)), node.outputs[0])


def layer_norm(to: OnnxTranslation, node: Node) -> None:
    """LayerNormalization over the last axis, by its definition."""
    name, shape = node.input(0), to.shape(node.input(0))
    if node.attributes.get("axis", -1) not in (-1, len(shape) - 1):
        raise StepFailed(f"{node}: over several axes")
    scaled = _normalised(to, to.plain(name), shape, (len(shape) - 1,), node.attributes.get("epsilon", 1e-5))
    factor = to.plain(node.input(1))
    if not node.input(2):
        to.add("MUL", (scaled, factor), node.outputs[0])
        return
    to.add("ADD", (to.apply("MUL", (scaled, factor), shape), to.plain(node.input(2))), node.outputs[0])


def instance_norm(to: OnnxTranslation, node: Node) -> None:
    """InstanceNormalization: each channel of each sample, by its own mean and variance."""
    name, shape = node.input(0), to.shape(node.input(0))
    scale, bias = (to.constant(node.input(number), node).reshape(-1, *(1,) * (len(shape) - 2)) for number in (1, 2))
    scaled = _normalised(to, to.plain(name), shape, range(2, len(shape)), node.attributes.get("epsilon", 1e-5))
    to.add("ADD", (to.apply("MUL", (scaled, to.program.constant(scale)), shape), to.program.constant(bias)), node.outputs[0])


def _normalised(to: OnnxTranslation, x: int, shape: Sizes, axes: Sequence[int], epsilon: float) -> int:
    """``x`` without its mean over ``axes``, by its standard deviation over them."""
    over, mean_shape = to.numbers(axes), tuple(1 if axis in axes else size for axis, size in enumerate(shape))
    centred = to.apply("SUB", (x, to.apply("MEAN", (x, over), mean_shape, keepDims=True)), shape)
    variance = to.apply("MEAN", (to.apply("MUL", (centred, centred), shape), over), mean_shape, keepDims=True)
    safe = to.apply("ADD", (variance, to.number(epsilon)), mean_shape)
    return to.apply("MUL", (centred, to.apply("RSQRT", (safe,), mean_shape)), shape)


HANDLERS: dict[str, Handler] = {
    "Conv": convolution, "MaxPool": pooling, "AveragePool": pooling, "GlobalAveragePool": global_pooling, "GlobalMaxPool": global_pooling,
    "BatchNormalization": normalisation, "Gemm": dense, "MatMul": product, "LayerNormalization": layer_norm,
    "InstanceNormalization": instance_norm,
}  # fmt: skip

"""Convolutions, pooling, dense layers and normalisation, with the channels last."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from roadworthy.build.lower._tflite.file import NO_TENSOR
from roadworthy.build.lower._tflite.onnx_graph import Node
from roadworthy.build.lower._tflite.translation import Handler, OnnxTranslation
from roadworthy.core.errors import StepFailed
from roadworthy.core.types import Array

LOWEST = float(np.finfo(np.float32).min)
Window = tuple[Sequence[int], Sequence[int], Sequence[int]]
"""Kernel, strides and dilations of the two axes of an image."""


def convolution(to: OnnxTranslation, node: Node) -> None:
    """Conv of images: groups of any number; one for each channel is an operator of its own."""
    weights = to.constant(node.input(1), node)
    if weights.ndim != 4:
        raise StepFailed(f"{node}: a convolution over {weights.ndim - 2} axes; LiteRT's are over 2")
    filters, each, *kernel = weights.shape
    bias = to.constant(node.input(2), node) if node.input(2) else np.zeros(filters, np.float32)
    channels = to.shape(node.input(0))[1]
    window = kernel, node.attributes.get("strides", (1, 1)), node.attributes.get("dilations", (1, 1))
    tensor, padding = _padded(to, node, window, 0.0)
    (stride_h, stride_w), (dilation_h, dilation_w) = window[1:]
    options: dict[str, Any] = {
        "padding": padding, "strideH": stride_h, "strideW": stride_w, "dilationHFactor": dilation_h, "dilationWFactor": dilation_w,
    }  # fmt: skip
    code, order = "CONV_2D", (0, 2, 3, 1)
    if each == 1 and channels != 1:
        code, order, options["depthMultiplier"] = "DEPTHWISE_CONV_2D", (1, 2, 3, 0), filters // int(channels or 1)
    inputs = tensor, to.file.constant(weights.transpose(order)), to.file.constant(bias)
    to.add(code, inputs, node.outputs[0], last=True, **options)


def _padded(to: OnnxTranslation, node: Node, window: Window, value: float, *, counted: bool = False) -> tuple[int, int]:
    """The input, with ``value`` around it where LiteRT has no word for its padding or it has to be ``counted``; and that word."""
    tensor, shape, result = to.last(node.input(0)), to.shape(node.input(0))[2:], to.shape(node.outputs[0])[2:]
    before, extents = _pads(node, shape, result, window)
    found = []
    for size, made, first, kernel, stride in zip(shape, result, before, extents, window[1], strict=True):
        if size is None or made is None:
            raise StepFailed(f"{node}: the size of its image depends on the number of samples")
        # What the last window does not reach is cut off by itself.
        found.append((first, max(0, (made - 1) * stride + kernel - size - first), math.ceil(size / stride) == made))
    if not any(first or behind for first, behind, _ in found):
        return tensor, schema.Padding.VALID
    if not counted and all(whole and first == (first + behind) // 2 for first, behind, whole in found):
        return tensor, schema.Padding.SAME
    return _surrounded(to, tensor, [(first, behind) for first, behind, _ in found], value), schema.Padding.VALID


def _pads(node: Node, shape: Sequence[int | None], result: Sequence[int | None], window: Window) -> tuple[list[int], list[int]]:
    """Rows and columns before the image, and how far one window reaches."""
    extents = [(size - 1) * dilation + 1 for size, dilation in zip(window[0], window[2], strict=True)]
    automatic = node.attributes.get("auto_pad", "NOTSET")
    if automatic in ("SAME_UPPER", "SAME_LOWER"):
        totals = [
            max(0, (int(made or 1) - 1) * stride + extent - int(size or 1))
            for made, stride, extent, size in zip(result, window[1], extents, shape, strict=True)
        ]
        return [(total + (automatic == "SAME_LOWER")) // 2 for total in totals], extents
    return list(node.attributes.get("pads", (0, 0, 0, 0))[:2]), extents


def _surrounded(to: OnnxTranslation, tensor: int, pads: list[tuple[int, int]], value: float) -> int:
    around = to.file.constant(np.array([(0, 0), *pads, (0, 0)], np.int32))
    batch, *sizes, channels = to.file.shapes[tensor]
    shape = (batch, *(int(size or 0) + sum(pad) for size, pad in zip(sizes, pads, strict=True)), channels)
    if value:
        return to.made("PADV2", (tensor, around, to.number(value)), shape)
    return to.made("PAD", (tensor, around), shape)


def pooling(to: OnnxTranslation, node: Node) -> None:
    """MaxPool and AveragePool of images."""
    kernel = node.attributes["kernel_shape"]
    window = kernel, node.attributes.get("strides", (1, 1)), node.attributes.get("dilations", (1, 1))
    if len(kernel) != 2 or any(one != 1 for one in window[2]) or any(name for name in node.outputs[1:]):
        raise StepFailed(f"{node}: LiteRT pools over 2 axes, without dilation or indices")
    largest = node.op == "MaxPool"
    counted = not largest and node.attributes.get("count_include_pad", 0) == 1
    # Nothing is below 0 behind a ReLU: zeros around it change no maximum, and PAD is an operator that LiteRT joins with others.
    tensor, padding = _padded(to, node, window, 0.0 if not largest or node.input(0) in to.positive else LOWEST, counted=counted)
    if not largest and padding == schema.Padding.VALID and not _inside(to, node, window, counted):
        raise StepFailed(f"{node}: LiteRT has no average over windows that reach beyond the image as this one does")
    (stride_h, stride_w), (filter_h, filter_w) = window[1], kernel
    to.add(
        "MAX_POOL_2D" if largest else "AVERAGE_POOL_2D", (tensor,), node.outputs[0], last=True,
        padding=padding, strideH=stride_h, strideW=stride_w, filterHeight=filter_h, filterWidth=filter_w,
    )  # fmt: skip
    if node.input(0) in to.positive:
        to.positive.add(node.outputs[0])


def _inside(to: OnnxTranslation, node: Node, window: Window, counted: bool) -> bool:
    """Whether no window takes what is not there: numbers around the image that do not count, or beyond those that do."""
    pads = node.attributes.get("pads", (0, 0, 0, 0))
    places = zip(to.shape(node.outputs[0])[2:], window[1], window[0], to.shape(node.input(0))[2:], pads[:2], pads[2:], strict=True)
    inside = [
        (made - 1) * stride + kernel <= size + before + behind for made, stride, kernel, size, before, behind in places if made and size
    ]
    return all(inside) and (counted or not any(pads))


def global_pooling(to: OnnxTranslation, node: Node) -> None:
    """The mean, or the largest, of each channel."""
    code = "MEAN" if node.op == "GlobalAveragePool" else "REDUCE_MAX"
    if len(to.shape(node.input(0))) != 4:
        raise StepFailed(f"{node}: not of images")
    to.add(code, (to.last(node.input(0)), to.numbers((1, 2))), node.outputs[0], last=True, keepDims=True)
    if node.input(0) in to.positive:
        to.positive.add(node.outputs[0])


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
    product = to.made("MUL", (to.tensor(source, last), to.file.constant(factor.reshape(shape))), to.ordered(source, last))
    to.add("ADD", (product, to.file.constant(offset.reshape(shape))), node.outputs[0], last=last)


def _folded(to: OnnxTranslation, name: str, factor: Array, offset: Array) -> bool:
    """Whether the layer that makes the value now makes ``value * factor + offset``, by other weights."""
    if not to.is_last(name) or not to.alone(name):
        return False
    maker = to.file.producers.get(to.last(name))
    weights, bias = maker.inputs[1:3] if maker is not None and len(maker.inputs) == 3 else (0, 0)
    if maker is None or bias not in to.file.arrays or maker.builtinOptions.fusedActivationFunction:
        return False
    axis = 0 if to.file.shapes[weights][0] == len(factor) and not hasattr(maker.builtinOptions, "depthMultiplier") else 3
    to.file.replace(weights, to.file.arrays[weights] * factor.reshape([-1 if axis == one else 1 for one in range(4)]))
    to.file.replace(bias, to.file.arrays[bias] * factor + offset)
    return True


def dense(to: OnnxTranslation, node: Node) -> None:
    """Gemm, by a matrix of weights."""
    attributes = node.attributes
    if attributes.get("transA"):
        raise StepFailed(f"{node}: its input is transposed, which LiteRT's dense layer is not")
    weights = to.constant(node.input(1), node) * np.float32(attributes.get("alpha", 1.0))
    weights = weights if attributes.get("transB") else weights.T
    inputs = [to.plain(node.input(0)), to.file.constant(weights), NO_TENSOR]
    if node.input(2):
        bias = to.constant(node.input(2), node) * np.float32(attributes.get("beta", 1.0))
        inputs[2] = to.file.constant(np.broadcast_to(bias.reshape(-1), len(weights)))
    to.add("FULLY_CONNECTED", inputs, node.outputs[0], keepNumDims=False)


def product(to: OnnxTranslation, node: Node) -> None:
    """MatMul: by a matrix of weights, or of two values."""
    left, right = node.inputs
    if right in to.graph.constants and to.graph.constants[right].ndim == 2 and len(to.shape(left)) > 1:
        weights = to.file.constant(to.constant(right, node).T)
        to.add("FULLY_CONNECTED", (to.plain(left), weights, NO_TENSOR), node.outputs[0], keepNumDims=len(to.shape(left)) > 2)
        return
    if min(len(to.shape(left)), len(to.shape(right))) < 2:
        raise StepFailed(f"{node}: LiteRT multiplies matrices, and not vectors")
    to.add("BATCH_MATMUL", (to.plain(left), to.plain(right)), node.outputs[0])


def layer_norm(to: OnnxTranslation, node: Node) -> None:
    """LayerNormalization over the last axis, by its definition."""
    name, shape = node.input(0), to.shape(node.input(0))
    if node.attributes.get("axis", -1) not in (-1, len(shape) - 1):
        raise StepFailed(f"{node}: over several axes")
    x, axis, mean_shape = to.plain(name), to.numbers((len(shape) - 1,)), (*shape[:-1], 1)
    mean = to.made("MEAN", (x, axis), mean_shape, keepDims=True)
    centred = to.made("SUB", (x, mean), shape)
    variance = to.made("MEAN", (to.made("MUL", (centred, centred), shape), axis), mean_shape, keepDims=True)
    safe = to.made("ADD", (variance, to.number(node.attributes.get("epsilon", 1e-5))), mean_shape)
    scaled = to.made("MUL", (centred, to.made("RSQRT", (safe,), mean_shape)), shape)
    factor = to.plain(node.input(1))
    if not node.input(2):
        to.add("MUL", (scaled, factor), node.outputs[0])
        return
    to.add("ADD", (to.made("MUL", (scaled, factor), shape), to.plain(node.input(2))), node.outputs[0])


HANDLERS: dict[str, Handler] = {
    "Conv": convolution, "MaxPool": pooling, "AveragePool": pooling, "GlobalAveragePool": global_pooling, "GlobalMaxPool": global_pooling,
    "BatchNormalization": normalisation, "Gemm": dense, "MatMul": product, "LayerNormalization": layer_norm,
}  # fmt: skip

"""Convolutions, dense layers and batch normalisation, in float32 or, where the graph rounds what they multiply, in whole numbers."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial

import numpy as np

from roadworthy.build.cpp import integers, values
from roadworthy.build.cpp.integers import BLOCK, IntegerWeights
from roadworthy.build.cpp.network import Handler, Network
from roadworthy.build.cpp.steps import FREE, Fields, Step, written
from roadworthy.build.cpp.values import Image, Value
from roadworthy.build.cpp.windows import Window, segments, window
from roadworthy.build.onnx_graph import Node
from roadworthy.core.errors import StepFailed
from roadworthy.core.types import Array

DEPTH = 320
"""Most products that are summed before all positions had their turn: their weights fit the first cache."""
FEW = 12
"""Positions among which it does not pay to keep weights in the first cache."""
TAKES_FACTORS = ("convolution", "depthwise")


def convolution(to: Network, node: Node) -> None:
    """Conv over one axis or two, with any number of groups."""
    weights = to.constant(node.input(1), node)
    sizes, made = to.sizes(node.input(0), node), to.sizes(node.outputs[0], node)
    if weights.ndim not in (3, 4):
        raise StepFailed(f"{node}: a convolution over {weights.ndim - 2} axes; generated code has them over 1 and 2")
    bias = to.constant(node.input(2), node) if node.input(2) else np.zeros(len(weights), np.float32)
    over = window(node, weights.shape[2:], sizes, made)
    alone = weights.shape[1] == 1 and len(weights) == sizes[0]
    whole = None if alone else integers.weights(to, node, to.integers(node.input(0)), bias, axis=0)
    source = to.last(to.stored(node.input(0)) if alone or whole else node.input(0), over.border)
    to.add(_convolution(source, values.last(made), weights, bias, over, whole), node.outputs[0])


def _convolution(source: Value, output: Value, weights: Array, bias: Array, over: Window, whole: IntegerWeights | None) -> Step:
    weights = weights.reshape(*weights.shape[:2], *over.kernel)
    channels, filters = source.sizes[0], len(weights)
    groups = channels // weights.shape[1]
    if whole:
        return integers.convolution(source, output, replace(whole, weights=whole.weights.reshape(weights.shape)), groups, over)
    alone = groups == channels == filters
    kernel, structure = ("depthwise", "Depthwise") if alone else ("convolution", "Convolution")

    def fields() -> Fields:
        common = {"in": source.image, "out": output.image}
        added = {"added": step.added.image if step.added else output.image}
        low, high = step.kept()
        limits = {"low": low, "high": high}
        if alone:
            return common | over.fields("kernel", "stride", "dilation", "begin") | added | limits
        positions = output.image.height * output.image.width
        chunks = _chunked(list(segments(source.image, weights.shape[1], over)), DEPTH if positions > FEW else math.inf)
        flat = [segment for chunk in chunks for segment in chunk]
        starts = [sum(map(len, chunks[:number])) for number in range(len(chunks))]
        table = [(start, len(chunk), sum(length for _, length in chunk)) for start, chunk in zip(starts, chunks, strict=True)]
        return common | over.fields("stride", "begin") | {
            "groups": groups, "group_in": weights.shape[1], "group_out": filters // groups, "depth": math.prod(weights.shape[1:]),
            "chunks": len(chunks), "positions": over.positions(channels), **added, **limits,
            "segment": f"(const Segment[]){written('', flat)}", "chunk": f"(const Chunk[]){written('', table)}",
        }  # fmt: skip

    def packed_depthwise(constants: list[Array]) -> list[Array]:
        weights, bias = constants
        unit = step.output.scale
        return [weights[:, 0].transpose(1, 2, 0) * (source.scale / unit), bias / unit]

    pack = packed_depthwise if alone else partial(_packed, groups)
    step = Step(kernel, structure, fields, [source], output, [weights, bias], pack, FREE, adds=True)
    return step


def _packed(groups: int, constants: list[Array]) -> list[Array]:
    """Weights in blocks of output channels, those of one input number side by side; what a group's last block lacks is 0."""
    weights, bias = constants
    filters = len(weights) // groups
    missing = -filters % BLOCK
    by_group = weights.transpose(0, 2, 3, 1).reshape(groups, filters, -1)
    blocks = np.pad(by_group, ((0, 0), (0, missing), (0, 0))).reshape(groups, -1, BLOCK, by_group.shape[-1])
    return [blocks.transpose(0, 1, 3, 2), np.pad(bias.reshape(groups, filters), ((0, 0), (0, missing)))]


def _chunked(segments: list[tuple[int, int]], most: float) -> list[list[tuple[int, int]]]:
    """The segments cut into chunks of about the same length, none longer than ``most``."""
    total = sum(length for _, length in segments)
    each = math.ceil(total / math.ceil(total / most)) if most < total else total
    chunks: list[list[tuple[int, int]]] = [[]]
    left = each
    for start, length in segments:
        while length:
            if not left:
                chunks.append([])
                left = each
            part = min(length, left)
            chunks[-1].append((start, part))
            start, length, left = start + part, length - part, left - part
    return chunks


def gemm(to: Network, node: Node) -> None:
    """Gemm of values with constant weights."""
    weights = to.constant(node.input(1), node)
    attributes = node.attributes
    if attributes.get("transA"):
        raise StepFailed(f"{node}: its first operand is transposed, which would mix samples")
    weights = (weights if attributes.get("transB") else weights.T) * np.float32(attributes.get("alpha", 1.0))
    bias: Array = np.zeros(len(weights), np.float32)
    if node.input(2):
        stated = to.constant(node.input(2), node)
        if stated.size not in (1, len(weights)):
            raise StepFailed(f"{node}: its third operand differs between samples")
        bias = bias + stated.reshape(-1) * np.float32(attributes.get("beta", 1.0))
    alone = attributes.get("alpha", 1.0) == 1.0
    _dense(to, node, weights, bias, axis=(0 if attributes.get("transB") else 1) if alone else None)


def product(to: Network, node: Node) -> None:
    """MatMul of values with a constant matrix."""
    if to.is_constant(node.input(0)):
        raise StepFailed(f"{node}: its first operand is a constant; generated code multiplies values by constant matrices")
    weights = to.constant(node.input(1), node)
    if weights.ndim != 2:
        raise StepFailed(f"{node}: its second operand has {weights.ndim} axes; generated code multiplies by constant matrices")
    _dense(to, node, weights.T, np.zeros(weights.shape[1], np.float32), axis=1)


def _dense(to: Network, node: Node, weights: Array, bias: Array, axis: int | None) -> None:
    """A dense layer as a convolution: over one pixel a row, or over the whole image whose numbers it takes in ONNX's order.

    ``axis`` is that of the outputs in the graph's own weights, None where they are multiplied by a number first.
    """
    name = node.input(0)
    made = to.sizes(node.outputs[0], node)
    whole = None if axis is None else integers.weights(to, node, to.integers(name), bias, axis)
    if name in to.flattened:
        origin = to.flattened[name]
        source = to.last(to.stored(origin) if whole else origin)
        kernel = source.image.height, source.image.width
        weights = weights.reshape(len(weights), source.sizes[0], *kernel)
    else:
        value = to.plain(to.stored(name) if whole else name)
        rows = math.prod(value.sizes[:-1])
        image = Image(1, rows, value.sizes[-1])
        source = Value((value.sizes[-1], rows), values.Storage(image, value.storage.pointer, pinned=True, whole=value.storage), last=True)
        kernel = 1, 1
        weights = weights.reshape(*weights.shape, 1, 1)
    one = (1, 1)
    over = Window(kernel, one, one, (0, 0), (0, 0), (0, 0))
    output = values.plain(made)
    seen = Value(
        (len(weights), math.prod(made[:-1])),
        values.Storage(Image(1, math.prod(made[:-1]), len(weights)), whole=output.storage, pinned=True),
        last=True,
    )
    step = _convolution(source, seen, weights, bias, over, whole)
    step.output = output
    to.add(step, node.outputs[0])


def normalisation(to: Network, node: Node) -> None:
    """BatchNormalization: in the weights of the layer before where it can be, or a factor and an offset for each channel."""
    if node.attributes.get("training_mode") or len([name for name in node.outputs if name]) > 1:
        raise StepFailed(f"{node}: it normalises by the batch, as in training")
    scale, bias, mean, variance = (to.constant(node.input(number), node).astype(np.float64) for number in range(1, 5))
    factor = scale / np.sqrt(variance + node.attributes.get("epsilon", 1e-5))
    offset = bias - mean * factor
    name = node.input(0)
    before = to.maker(name)
    if before is not None and before.kernel in TAKES_FACTORS and before.added is None:
        weights, old = before.constants
        before.constants = [
            (weights * factor.reshape(-1, *(1,) * (weights.ndim - 1))).astype(np.float32),
            (old * factor + offset).astype(np.float32),
        ]
        to.put(node.outputs[0], before.output)
        return
    sizes = to.sizes(name, node)
    source = (to.last if len(sizes) > 1 else to.plain)(to.stored(name))
    output = values.like(source)

    def fields() -> Fields:
        low, high = step.limits or FREE
        return {"in": source.image, "out": output.image, "low": low, "high": high}

    step = Step("scale", "Scale", fields, [source], output, [factor.astype(np.float32), offset.astype(np.float32)], limits=FREE)
    to.add(step, node.outputs[0])


HANDLERS: dict[str, Handler] = {"Conv": convolution, "Gemm": gemm, "MatMul": product, "BatchNormalization": normalisation}

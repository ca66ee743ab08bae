"""What a graph rounds to whole numbers (QuantizeLinear, DequantizeLinear), and the layers that multiply these.

A whole number is stored in 16 bits, with the zero point taken off: so 0 stands for 0, in borders too, and products of two are exact.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from roadworthy.build.cpp import values
from roadworthy.build.cpp.network import Handler, Network
from roadworthy.build.cpp.steps import FREE, Fields, Step, written
from roadworthy.build.cpp.values import Integers, Value
from roadworthy.build.cpp.windows import Window, segments
from roadworthy.build.onnx_graph import Node
from roadworthy.core.errors import StepFailed
from roadworthy.core.types import Array

BLOCK = 16
"""Output channels whose weights lie side by side; the same in ``convolution.h``."""
DTYPES = ("int8", "uint8")


@dataclass(frozen=True)
class IntegerWeights:
    """Whole numbers of 8 bits, filters first; the bias in 32 bits, and for each filter what a sum of 1 stands for."""

    weights: Array
    bias: Array
    scales: Array


def quantize(to: Network, node: Node) -> None:
    """QuantizeLinear: by the step that makes the value where that can be, else by one of its own."""
    name, made = node.input(0), node.outputs[0]
    to.sizes(name, node)
    integers = _integers(to, node, to.graph.dtypes[made])
    if integers == to.integers(name):
        # Rounded so already.
        to.put(made, to.either(to.stored(name)))
        return
    maker = to.made(name)
    if maker is not None and maker.rounds:
        maker.output.storage.owner.integers = integers
        to.put(made, maker.output)
        return
    source = to.either(name)
    target = values.like(source, integers)
    to.convert(source, target)
    to.put(made, target)


def dequantize(to: Network, node: Node) -> None:
    """DequantizeLinear of what a QuantizeLinear with the same scale made."""
    name = node.input(0)
    if to.has(name) and _integers(to, node, to.graph.dtypes[name]) == to.either(name).integers:
        to.rounded[node.outputs[0]] = name
        return
    raise StepFailed(f"{node}: generated code needs {name!r} to come from a QuantizeLinear with the same scale and zero point")


def _integers(to: Network, node: Node, dtype: str) -> Integers:
    """The scale and the zero point of ``node``, and what the whole numbers can be."""
    scale = to.constant(node.input(1), node)
    zero = to.constant(node.input(2), node) if node.input(2) else np.zeros(1, np.float32)
    if dtype not in DTYPES:
        raise StepFailed(f"{node}: it rounds to {dtype}, and generated code has {' and '.join(DTYPES)}")
    if scale.size != 1 or zero.size != 1:
        raise StepFailed(f"{node}: it has a scale for each channel, and generated code rounds values by one")
    if not scale.reshape(-1)[0] > 0:
        raise StepFailed(f"{node}: its scale is not above 0")
    range_of, offset = np.iinfo(dtype), int(zero.reshape(-1)[0])
    return Integers(float(scale.reshape(-1)[0]), range_of.min - offset, range_of.max - offset)


def weights(to: Network, node: Node, taken: Integers | None, bias: Array, axis: int) -> IntegerWeights | None:
    """The second operand of ``node``, whose filters are along ``axis``, as whole numbers; None where the layer computes in float32.

    That is so where its first operand is not ``taken`` as whole numbers, where its weights are not 8 bits with one scale for each filter or
    for all, and where a sum could be more than 32 bits hold.
    """
    made = to.graph.computed.get(node.input(1))
    if taken is None or made is None or made.op != "DequantizeLinear" or made.attributes.get("block_size"):
        return None
    whole, scale = (to.graph.constants[name] for name in made.inputs[:2])
    along = int(made.attributes.get("axis", 1)) % whole.ndim
    if whole.dtype.name not in DTYPES or (scale.size > 1 and along != axis) or not np.all(scale > 0):
        return None
    zero = to.graph.constants[made.input(2)] if made.input(2) else np.zeros(1, whole.dtype)
    shifted = np.moveaxis(whole, axis, 0).astype(np.int64)
    shifted -= zero.astype(np.int64).reshape(-1, *(1,) * (whole.ndim - 1))
    scales = np.broadcast_to(scale.astype(np.float64).reshape(-1) * taken.scale, len(shifted))
    started = np.rint(bias / scales)
    sums = np.abs(shifted).reshape(len(shifted), -1).sum(1) * max(-taken.low, taken.high) + np.abs(started)
    if not np.all(sums < 2**31) or shifted.min() < -128 or shifted.max() > 127:
        return None
    return IntegerWeights(shifted.astype(np.int8), started.astype(np.int32), scales)


def convolution(source: Value, output: Value, whole: IntegerWeights, groups: int, over: Window) -> Step:
    """A convolution of whole numbers, with ``whole.weights`` of the sizes [filters, channels of a group, rows, columns]."""
    filters, depth = whole.weights.shape[:2]

    def pieces() -> list[tuple[int, int]]:
        return list(segments(source.image, depth, over))

    def fields() -> Fields:
        low, high = step.kept()
        pairs = [(start, (length + 1) // 2) for start, length in pieces()]
        return {"in": source.image, "out": output.image} | over.fields("stride", "begin") | {
            "groups": groups, "group_in": depth, "group_out": filters // groups, "depth": sum(length for _, length in pairs),
            "segments": len(pairs), "positions": over.positions(source.sizes[0]), "low": low, "high": high,
            "segment": f"(const Segment[]){written('', pairs)}",
        }  # fmt: skip

    def packed(constants: list[Array]) -> list[Array]:
        weights, bias, scales = constants
        lengths = [length for _, length in pieces()]
        by_channel = [_blocks(array.reshape(groups, -1), 1) for array in (bias, (scales / step.output.scale).astype(np.float32))]
        return [_pairs(weights, groups, lengths), *by_channel]

    step = Step(
        "integer_convolution", "IntegerConvolution", fields, [source], output, [whole.weights, whole.bias, whole.scales], packed, FREE
    )
    return step


def _pairs(weights: Array, groups: int, lengths: list[int]) -> Array:
    """Weights in blocks of output channels, of each channel two for input numbers that lie side by side, in segments of those lengths."""
    flat = weights.transpose(0, 2, 3, 1).reshape(groups, len(weights) // groups, -1)
    ends = np.cumsum(lengths)
    odd = [end for end, length in zip(ends, lengths, strict=True) if length % 2]
    blocks = _blocks(np.insert(flat, odd, 0, axis=2), 1)
    return blocks.reshape(groups, -1, BLOCK, blocks.shape[-1] // 2, 2).transpose(0, 1, 3, 2, 4)


def _blocks(array: Array, axis: int) -> Array:
    """The array with zeros for the channels that the last block lacks."""
    missing = -array.shape[axis] % BLOCK
    return np.pad(array, [(0, missing if number == axis else 0) for number in range(array.ndim)])


HANDLERS: dict[str, Handler] = {"QuantizeLinear": quantize, "DequantizeLinear": dequantize}

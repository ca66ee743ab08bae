"""Operators that move numbers and compute none: reshaped, transposed, joined, cut and padded."""

from __future__ import annotations

import math
from dataclasses import replace

from roadworthy.build.cpp import values
from roadworthy.build.cpp.network import Handler, Network
from roadworthy.build.cpp.steps import Step
from roadworthy.build.cpp.values import Value
from roadworthy.build.onnx_graph import Node
from roadworthy.core.errors import StepFailed

DENSE = ("Gemm", "MatMul")


def same(to: Network, node: Node) -> None:
    """Identity and Dropout, which does nothing when a model answers."""
    if [name for name in node.outputs[1:] if name]:
        raise StepFailed(f"{node}: it gives its mask as a second output")
    name = node.input(0)
    to.put_as(node.outputs[0], replace(to.either(to.stored(name))), name)


def reshape(to: Network, node: Node) -> None:
    """Reshape, Flatten, Squeeze and Unsqueeze: the same memory in ONNX's order."""
    name, output = node.input(0), node.outputs[0]
    old, sizes = to.sizes(name, node), to.sizes(output, node)
    if math.prod(old) != math.prod(sizes):
        raise StepFailed(f"{node}: it moves numbers from one sample to another")
    stored = to.stored(name)
    if to.is_last(stored) and len(sizes) == 1 and _only_dense(to, output):
        # A dense layer takes the image as it lies; its weights are in the order of ONNX, and are turned.
        to.flattened[output] = name
        return
    if to.is_last(stored) and sizes == old:
        to.put_as(output, replace(to.last(stored)), name)
        return
    source = to.plain(stored)
    to.put_as(output, Value(sizes, source.storage, last=False), name)


def _only_dense(to: Network, name: str) -> bool:
    """Whether the value is the first operand of a dense layer with constant weights, and nothing else."""
    takers = [node for node in to.graph.nodes if name in node.inputs]
    return (
        to.alone(name)
        and len(takers) == 1
        and takers[0].op in DENSE
        and takers[0].input(0) == name
        and to.is_constant(takers[0].input(1))
        and not takers[0].attributes.get("transA")
    )


def transpose(to: Network, node: Node) -> None:
    """Transpose of any axes but the samples'."""
    name = node.input(0)
    sizes = to.sizes(name, node)
    order = [int(axis) for axis in node.attributes.get("perm", range(len(sizes), -1, -1))]
    if order[0] != 0:
        raise StepFailed(f"{node}: it moves the axis of the samples")
    axes = [axis - 1 for axis in order[1:]]
    source, made = to.either(name), tuple(sizes[axis] for axis in axes)
    # Channels go first: the memory with the channels last is the same.
    as_image = len(axes) in (2, 3) and axes == [len(axes) - 1, *range(len(axes) - 1)]
    output = values.last(made) if as_image else values.plain(made)
    to.copy(
        source,
        output,
        made,
        lambda: (tuple(source.strides[axis] for axis in axes), source.origin),
        lambda: (output.strides, output.origin),
    )
    to.put(node.outputs[0], output)


def concat(to: Network, node: Node) -> None:
    """Concat along any axis but the samples'."""
    sizes = to.sizes(node.outputs[0], node)
    axis = int(node.attributes["axis"]) % (len(sizes) + 1) - 1
    if axis < 0:
        raise StepFailed(f"{node}: it joins along the axis of the samples")
    for name in node.inputs:
        to.sizes(name, node)
    keep_last = all(to.is_last(name) for name in node.inputs)
    output = values.last(sizes) if keep_last else values.plain(sizes)
    start = 0
    for name in node.inputs:
        source = to.last(name) if keep_last else to.plain(name)
        _place(to, source, output, axis, start)
        start += source.sizes[axis]
    to.put(node.outputs[0], output)


def _place(to: Network, source: Value, output: Value, axis: int, start: int) -> None:
    to.copy(
        source,
        output,
        source.sizes,
        lambda: (source.strides, source.origin),
        lambda: (output.strides, output.origin + start * output.strides[axis]),
    )


def split(to: Network, node: Node) -> None:
    """Split along any axis but the samples'."""
    source = to.either(node.input(0))
    axis = int(node.attributes.get("axis", 0)) % (len(source.sizes) + 1) - 1
    if axis < 0:
        raise StepFailed(f"{node}: it cuts the axis of the samples")
    start = 0
    for name in node.outputs:
        sizes = to.sizes(name, node)
        _cut(to, name, source, sizes, {axis: (start, 1)})
        start += sizes[axis]


def cut(to: Network, node: Node) -> None:
    """Slice with constant starts and steps, of any axes but the samples'."""
    source, sizes = to.either(node.input(0)), to.sizes(node.outputs[0], node)
    given = [_numbers(to, node, number, word) for number, word in ((1, "starts"), (2, "ends"), (3, "axes"), (4, "steps"))]
    starts, _, axes, steps = given
    axes, steps = axes or list(range(len(starts or []))), steps or [1] * len(starts or [])
    parts = {}
    for start, axis, step in zip(starts or [], axes, steps, strict=True):
        axis = axis % (len(source.sizes) + 1) - 1
        if axis < 0:
            if start == 0 and step == 1:
                continue
            raise StepFailed(f"{node}: it cuts the axis of the samples")
        size = source.sizes[axis]
        first = start + size if start < 0 else start
        parts[axis] = (min(max(first, 0), size - 1 if step < 0 else size), step)
    _cut(to, node.outputs[0], source, sizes, parts)


def _cut(to: Network, name: str, source: Value, sizes: tuple[int, ...], parts: dict[int, tuple[int, int]]) -> None:
    """Part of a value, from a start and by a step along each of the axes of ``parts``, in the layout that it has."""
    output = values.last(sizes) if source.last else values.plain(sizes)

    def read() -> tuple[tuple[int, ...], int]:
        steps = tuple(stride * parts.get(axis, (0, 1))[1] for axis, stride in enumerate(source.strides))
        return steps, source.origin + sum(start * source.strides[axis] for axis, (start, _) in parts.items())

    to.copy(source, output, sizes, read, lambda: (output.strides, output.origin))
    to.put(name, output)


def pad(to: Network, node: Node) -> None:
    """Pad with one number."""
    if node.attributes.get("mode", "constant") != "constant":
        raise StepFailed(f"{node}: it pads by {node.attributes['mode']}, and generated code pads with one number")
    source, sizes = to.either(node.input(0)), to.sizes(node.outputs[0], node)
    rank = len(sizes) + 1
    pads = _numbers(to, node, 1, "pads") or []
    axes = _numbers(to, node, 3, "-") or list(range(rank))
    number = float(to.constant(node.input(2), node).reshape(-1)[0]) if node.input(2) else float(node.attributes.get("value", 0.0))
    before, behind = [0] * rank, [0] * rank
    for place, axis in enumerate(axes):
        before[axis % rank], behind[axis % rank] = pads[place], pads[place + len(axes)]
    if before[0] or behind[0]:
        raise StepFailed(f"{node}: it pads the axis of the samples")
    output = values.last(sizes) if source.last else values.plain(sizes)
    to.steps.append(Step("fill", "", lambda: {"size": output.image.size, "number": number}, [], output))
    kept = tuple(min(size, old + first) - max(first, 0) for size, old, first in zip(sizes, source.sizes, before[1:], strict=True))

    def side(value: Value, firsts: list[int]) -> tuple[tuple[int, ...], int]:
        return value.strides, value.origin + sum(first * step for first, step in zip(firsts, value.strides, strict=True))

    to.copy(
        source,
        output,
        kept,
        lambda: side(source, [max(-first, 0) for first in before[1:]]),
        lambda: side(output, [max(first, 0) for first in before[1:]]),
    )
    to.put(node.outputs[0], output)


def _numbers(to: Network, node: Node, number: int, word: str) -> list[int] | None:
    """Whole numbers that are an operand, or an attribute in files of older operator sets."""
    if node.input(number):
        found = to.graph.sizes(node.input(number))
        if None in found:
            raise StepFailed(f"{node}: its {word} depend on the number of samples")
        return [size for size in found if size is not None]
    stated = node.attributes.get(word)
    return None if stated is None else [int(size) for size in stated]


HANDLERS: dict[str, Handler] = {
    "Identity": same, "Dropout": same, "Reshape": reshape, "Flatten": reshape, "Squeeze": reshape, "Unsqueeze": reshape,
    "Transpose": transpose, "Concat": concat, "Split": split, "Slice": cut, "Pad": pad,
}  # fmt: skip

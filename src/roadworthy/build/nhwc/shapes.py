"""Operators that move numbers, or take them together along an axis."""

from __future__ import annotations

from typing import Any

import numpy as np

from roadworthy.build.nhwc.translation import Handler, OnnxTranslation, from_last, to_last
from roadworthy.build.onnx_graph import Node
from roadworthy.core.errors import StepFailed

REDUCTIONS = {"ReduceMean": "MEAN", "ReduceSum": "SUM", "ReduceMax": "REDUCE_MAX", "ReduceMin": "REDUCE_MIN"}


def reshape(to: OnnxTranslation, node: Node) -> None:
    """Reshape, Flatten, Squeeze and Unsqueeze: the same numbers in the same order, in the shape that was inferred."""
    to.reshape(to.plain(node.input(0)), node.outputs[0])


def transpose(to: OnnxTranslation, node: Node) -> None:
    """Transpose; one that turns an image into ONNX's order of axes, or back, is only another name for it."""
    name, output = node.input(0), node.outputs[0]
    rank = len(to.shape(name))
    order = tuple(node.attributes.get("perm", range(rank)[::-1]))
    if rank > 2 and order == from_last(rank):
        to.put(output, to.plain(name), last=True)
    elif rank > 2 and order == to_last(rank):
        to.put(output, to.last(name))
    else:
        to.put(output, to.transposed(to.plain(name), order))


def concat(to: OnnxTranslation, node: Node) -> None:
    rank = len(to.shape(node.outputs[0]))
    last = any(to.is_last(name) for name in node.inputs)
    axis = _axis(node.attributes["axis"], rank, last)
    to.add("CONCATENATION", [to.tensor(name, last) for name in node.inputs], node.outputs[0], last=last, axis=axis)
    to.keep_positive(node)


def softmax(to: OnnxTranslation, node: Node) -> None:
    """Over the last axis, in whichever order the value is there."""
    name, output = node.input(0), node.outputs[0]
    rank = len(to.shape(name))
    axis = node.attributes.get("axis", -1) % rank
    code = "SOFTMAX" if node.op == "Softmax" else "LOG_SOFTMAX"
    options: dict[str, Any] = {"beta": 1.0} if node.op == "Softmax" else {}
    if axis == rank - 1 or axis == 1:
        last = axis != rank - 1
        to.add(code, (to.tensor(name, last),), output, last=last, **options)
        return
    order = (*(one for one in range(rank) if one != axis), axis)
    turned = to.transposed(to.plain(name), order)
    done = to.apply(code, (turned,), to.program.tensors[turned].shape, **options)
    to.put(output, to.transposed(done, tuple(int(one) for one in np.argsort(order))))


def reduction(to: OnnxTranslation, node: Node) -> None:
    """Over axes that are an input, or an attribute in files of older operator sets."""
    name, output = node.input(0), node.outputs[0]
    rank, kept = len(to.shape(name)), node.attributes.get("keepdims", 1) == 1
    axes = node.attributes.get("axes") or (to.constant(node.input(1), node).tolist() if node.input(1) else [])
    if not axes and node.attributes.get("noop_with_empty_axes"):
        raise StepFailed(f"{node}: it reduces no axis")
    last = to.is_last(name) and kept
    tensor = to.tensor(name, last)
    numbers = sorted(_axis(axis, rank, last) for axis in axes or range(rank))
    to.add(REDUCTIONS[node.op], (tensor, to.numbers(numbers)), output, last=last, keepDims=kept)


def argmax(to: OnnxTranslation, node: Node) -> None:
    """ArgMax, whose numbers are int64."""
    name, output = node.input(0), node.outputs[0]
    rank = len(to.shape(name))
    axis = node.attributes.get("axis", 0) % rank
    if node.attributes.get("select_last_index"):
        raise StepFailed(f"{node}: of equal values the last, where the first is translated")
    without = [size for one, size in enumerate(to.shape(name)) if one != axis]
    found = to.apply("ARG_MAX", (to.plain(name), to.numbers((axis,))), without, "int64", outputType="int64")
    to.reshape(found, output)


def cut(to: OnnxTranslation, node: Node) -> None:
    """Slice."""
    name, output = node.input(0), node.outputs[0]
    shape = to.shape(name)
    starts, ends = to.graph.sizes(node.input(1)), to.graph.sizes(node.input(2))
    axes = to.graph.sizes(node.input(3)) if node.input(3) else range(len(starts))
    steps = to.graph.sizes(node.input(4)) if node.input(4) else (1,) * len(starts)
    begin, end, step = [0] * len(shape), [0] * len(shape), [1] * len(shape)
    whole = set(range(len(shape)))
    for start, stop, axis, by in zip(starts, ends, axes, steps, strict=True):
        axis = int(axis or 0) % len(shape)
        size = shape[axis]
        if size is None or start is None or stop is None or by is None or by < 1:
            raise StepFailed(f"{node}: a part of the samples, or backwards")
        begin[axis], end[axis], step[axis] = slice(start, stop, by).indices(size)
        whole.discard(axis)
    _strided(to, name, output, (begin, end, step), whole)


def _strided(to: OnnxTranslation, name: str, output: str, places: tuple[list[int], list[int], list[int]], whole: set[int]) -> None:
    last = to.is_last(name)
    order = to_last(len(to.shape(name))) if last else tuple(range(len(to.shape(name))))
    mask = sum(1 << position for position, axis in enumerate(order) if axis in whole)
    numbers = [to.numbers([place[axis] for axis in order]) for place in places]
    to.add("STRIDED_SLICE", (to.tensor(name, last), *numbers), output, last=last, beginMask=mask, endMask=mask)


def split(to: OnnxTranslation, node: Node) -> None:
    """Split, as one part for each output."""
    name = node.input(0)
    rank = len(to.shape(name))
    axis, start = node.attributes.get("axis", 0) % rank, 0
    for output in node.outputs:
        size = to.shape(output)[axis]
        if size is None:
            raise StepFailed(f"{node}: it splits the samples")
        begin, end, step = [0] * rank, [0] * rank, [1] * rank
        begin[axis], end[axis] = start, start + size
        _strided(to, name, output, (begin, end, step), set(range(rank)) - {axis})
        start += size


def gather(to: OnnxTranslation, node: Node) -> None:
    """Gather along one axis."""
    axis = node.attributes.get("axis", 0) % len(to.shape(node.input(0)))
    to.add("GATHER", (to.plain(node.input(0)), _indices(to, node, axis)), node.outputs[0], axis=axis)


def _indices(to: OnnxTranslation, node: Node, axis: int) -> int:
    """What Gather takes along ``axis``; constants are counted from the front."""
    name = node.input(1)
    if name not in to.graph.constants:
        return to.plain(name)
    size, found = to.shape(node.input(0))[axis], to.constant(name, node)
    if size is None or (found < -size).any():
        raise StepFailed(f"{node}: it takes samples by their number")
    return to.program.constant(np.where(found < 0, found + size, found).astype(np.int32))


def pad(to: OnnxTranslation, node: Node) -> None:
    """Pad by a constant, or by reflection."""
    name, output = node.input(0), node.outputs[0]
    rank, last = len(to.shape(name)), to.is_last(name)
    widths = node.attributes.get("pads") or list(to.graph.sizes(node.input(1)))
    mode = node.attributes.get("mode", "constant")
    if node.input(3) or any(width is None or width < 0 for width in widths) or mode not in ("constant", "reflect"):
        raise StepFailed(f"{node}: of some axes alone, by less than nothing, or in the mode {mode}")
    order = to_last(rank) if last else tuple(range(rank))
    around = to.program.constant(np.array([(widths[axis], widths[axis + rank]) for axis in order], np.int32))
    tensor = to.tensor(name, last)
    value = float(to.constant(node.input(2), node).reshape(-1)[0]) if node.input(2) else float(node.attributes.get("value", 0.0))
    if mode == "reflect":
        to.add("MIRROR_PAD", (tensor, around), output, last=last, mode="REFLECT")
    elif value:
        to.add("PADV2", (tensor, around, to.number(value)), output, last=last)
    else:
        to.add("PAD", (tensor, around), output, last=last)


def _axis(axis: int, rank: int, last: bool) -> int:
    """Where ONNX's axis is in the order that the value has."""
    axis %= rank
    return to_last(rank).index(axis) if last else axis


HANDLERS: dict[str, Handler] = {
    **dict.fromkeys(("Reshape", "Flatten", "Squeeze", "Unsqueeze"), reshape), **dict.fromkeys(REDUCTIONS, reduction),
    "Transpose": transpose, "Concat": concat, "Softmax": softmax, "LogSoftmax": softmax, "ArgMax": argmax, "Slice": cut,
    "Split": split, "Gather": gather, "Pad": pad,
}  # fmt: skip

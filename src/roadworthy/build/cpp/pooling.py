"""Pooling over windows, and means, sums and extremes over whole images."""

from __future__ import annotations

import math

import numpy as np

from roadworthy.build.cpp import values
from roadworthy.build.cpp.network import Handler, Network
from roadworthy.build.cpp.steps import Fields, Step
from roadworthy.build.cpp.windows import window
from roadworthy.build.onnx_graph import Node
from roadworthy.core.errors import StepFailed

REDUCTIONS = {
    "GlobalAveragePool": "MEAN", "GlobalMaxPool": "MAX", "ReduceMean": "MEAN", "ReduceSum": "SUM", "ReduceMax": "MAX", "ReduceMin": "MIN",
}  # fmt: skip


def pooling(to: Network, node: Node) -> None:
    """MaxPool and AveragePool."""
    if len([name for name in node.outputs if name]) > 1:
        raise StepFailed(f"{node}: it gives the indices of what it found, which generated code does not")
    sizes, made = to.sizes(node.input(0), node), to.sizes(node.outputs[0], node)
    over = window(node, node.attributes["kernel_shape"], sizes, made)
    source, output = to.last(to.stored(node.input(0))), values.last(made)

    def fields() -> Fields:
        return {
            "in": source.image, "out": output.image, **over.fields("kernel", "stride", "dilation", "begin", "end"),
            "largest": node.op == "MaxPool", "padding": bool(node.attributes.get("count_include_pad")),
        }  # fmt: skip

    to.add(Step("pool", "Pool", fields, [source], output), node.outputs[0])


def reduction(to: Network, node: Node) -> None:
    """A mean, sum or extreme over any axes but the samples'."""
    name, sizes = node.input(0), to.sizes(node.input(0), node)
    axes = _axes(to, node, len(sizes) + 1)
    if not axes or axes[0] == 0:
        raise StepFailed(f"{node}: it reduces the axis of the samples")
    made = to.sizes(node.outputs[0], node)
    whole_image = len(sizes) in (2, 3) and axes == list(range(2, len(sizes) + 1))
    source = to.last(to.stored(name)) if whole_image else _turned(to, to.plain(to.stored(name)), axes)
    output = values.plain(made)
    by = f"Reduction::{REDUCTIONS[node.op]}"
    step = Step("reduce_pixels", "Reduce", lambda: {"in": source.image, "out": output.image, "by": by}, [source], output)
    to.add(step, node.outputs[0])


def _turned(to: Network, value: values.Value, axes: list[int]) -> values.Value:
    """The value as an image of one row: a channel for each number that is left, a column for each that is reduced."""
    reduced = [axis - 1 for axis in axes]
    kept = [axis for axis in range(len(value.sizes)) if axis not in reduced]
    channels, columns = (math.prod(value.sizes[axis] for axis in some) for some in (kept, reduced))
    made = values.last((channels, columns), value.integers)
    steps = [0] * len(value.sizes)
    for some, step in ((kept, 1), (reduced, channels)):
        for axis in reversed(some):
            steps[axis], step = step, step * value.sizes[axis]
    to.copy(value, made, value.sizes, lambda: (value.strides, 0), lambda: (tuple(steps), 0))
    return made


def _axes(to: Network, node: Node, rank: int) -> list[int]:
    """The axes that ``node`` reduces, in order, the samples' being 0."""
    if node.op.startswith("Global"):
        return list(range(2, rank))
    stated = node.attributes.get("axes")
    if stated is None and node.input(1):
        stated = [size for size in to.graph.sizes(node.input(1)) if size is not None]
    if not stated and node.attributes.get("noop_with_empty_axes"):
        raise StepFailed(f"{node}: it reduces no axis")
    return sorted(axis % rank for axis in (stated if stated else np.arange(rank).tolist()))


HANDLERS: dict[str, Handler] = {"MaxPool": pooling, "AveragePool": pooling, **dict.fromkeys(REDUCTIONS, reduction)}

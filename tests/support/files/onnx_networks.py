"""Whole networks with random weights, whose normalisation keeps numbers near 1: a digits CNN, a residual and an inverted-residual net."""

from __future__ import annotations

import numpy as np

from roadworthy.core.types import Array
from support.files.onnx_cases import Case, node


class NetworkWriter:
    """Layers one behind the other; ``value`` is the name of the last one's result."""

    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng(seed)
        self.nodes: list[object] = []
        self.constants: dict[str, Array] = {}
        self.value = "x"

    def layer(self, op: str, inputs: str = "", **attributes: object) -> str:
        """One more node, of the last value unless ``inputs`` are given."""
        output = f"v{len(self.nodes)}"
        self.nodes.append(node(op, inputs or self.value, output, name=f"{op.lower()}_{len(self.nodes)}", **attributes))
        self.value = output
        return output

    def constant(self, array: Array) -> str:
        name = f"w{len(self.constants)}"
        self.constants[name] = array.astype(np.float32)
        return name

    def conv(self, given: int, filters: int, kernel: int, *, stride: int = 1, groups: int = 1, clip: float | None = 0.0) -> str:
        """Convolution, normalisation and, unless ``clip`` is None, ReLU (0) or a ReLU that ends at ``clip``."""
        each = given // groups
        scale = np.sqrt(2 / (each * kernel * kernel))
        pad, half = [kernel // 2] * 4, self._random.uniform
        weights = self.constant(self._random.standard_normal((filters, each, kernel, kernel)) * scale)
        self.layer("Conv", f"{self.value} {weights}", group=groups, pads=pad, strides=[stride] * 2)
        statistics = (half(0.5, 1.5, filters), half(-0.2, 0.2, filters), half(-0.2, 0.2, filters), half(0.5, 1.5, filters))
        self.layer("BatchNormalization", " ".join((self.value, *map(self.constant, statistics))))
        if clip == 0.0:
            self.layer("Relu")
        elif clip:
            self.layer("Clip", f"{self.value} {self.constant(np.array(0))} {self.constant(np.array(clip))}")
        return self.value

    def classified(self, given: int, classes: int) -> list[object]:
        """All nodes, of which the last ones give a number for each class as ``y``."""
        self.layer("Flatten")
        weights = self._random.standard_normal((classes, given)) / np.sqrt(given)
        bias = self._random.standard_normal(classes)
        self.nodes.append(node("Gemm", f"{self.value} {self.constant(weights)} {self.constant(bias)}", "y", transB=1, name="classes"))
        return self.nodes


def _digits() -> Case:
    made = NetworkWriter(1)
    made.conv(1, 16, 3)
    made.layer("MaxPool", kernel_shape=[2, 2], strides=[2, 2])
    made.conv(16, 32, 3)
    made.layer("MaxPool", kernel_shape=[2, 2], strides=[2, 2])
    return Case(made.classified(128, 10), (1, 8, 8), made.constants)


def _residual() -> Case:
    made = NetworkWriter(2)
    made.conv(3, 16, 7, stride=2)
    made.layer("MaxPool", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    channels = 16
    for filters, stride in ((16, 1), (32, 2), (64, 2)):
        before = made.value
        made.conv(channels, filters, 3, stride=stride)
        branch = made.conv(filters, filters, 3, clip=None)
        made.value = before
        shortcut = before if filters == channels and stride == 1 else made.conv(channels, filters, 1, stride=stride, clip=None)
        made.layer("Add", f"{branch} {shortcut}")
        made.layer("Relu")
        channels = filters
    made.layer("GlobalAveragePool")
    return Case(made.classified(64, 10), (3, 64, 64), made.constants)


def _inverted() -> Case:
    made = NetworkWriter(3)
    made.conv(3, 16, 3, stride=2, clip=6.0)
    channels = 16
    for filters, stride in ((16, 1), (24, 2), (24, 1), (32, 2)):
        before, wide = made.value, channels * 4
        made.conv(channels, wide, 1, clip=6.0)
        made.conv(wide, wide, 3, stride=stride, groups=wide, clip=6.0)
        made.conv(wide, filters, 1, clip=None)
        if filters == channels and stride == 1:
            made.layer("Add", f"{made.value} {before}")
        channels = filters
    made.conv(32, 64, 1, clip=6.0)
    made.layer("GlobalAveragePool")
    return Case(made.classified(64, 10), (3, 32, 32), made.constants)


NETWORKS = {"a digits network": _digits(), "a residual network": _residual(), "an inverted-residual network": _inverted()}

"""Small ONNX graphs that round what they compute, as quantisers write them: QuantizeLinear and DequantizeLinear around each operator."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from roadworthy.core.types import Array
from support.models.operator_cases import OperatorCase

SIGNED, UNSIGNED = ("int8", 0), ("uint8", 113)


@dataclass
class _Graph:
    """A case under construction."""

    name: str
    inputs: Mapping[str, tuple[int, ...]]
    nodes: list[tuple[str, list[str], str, Mapping[str, object]]] = field(default_factory=list)
    constants: dict[str, Array] = field(default_factory=dict)

    def add(self, op: str, inputs: str, output: str, **attributes: object) -> str:
        self.nodes.append((op, inputs.split(), output, attributes))
        return output

    def rounded(self, name: str, scale: float, kind: tuple[str, int] = UNSIGNED) -> str:
        """The value rounded."""
        dtype, zero = kind
        self.constants |= {f"{name}_s": np.array(scale, np.float32), f"{name}_z": np.array(zero, dtype)}
        self.add("QuantizeLinear", f"{name} {name}_s {name}_z", f"{name}_q")
        return self.add("DequantizeLinear", f"{name}_q {name}_s {name}_z", f"{name}_d")

    def weights(self, name: str, whole: Array, scales: Array, axis: int = 0) -> str:
        self.constants |= {f"{name}_q": whole, f"{name}_s": scales, f"{name}_z": np.zeros(scales.shape, whole.dtype)}
        return self.add("DequantizeLinear", f"{name}_q {name}_s {name}_z", name, **({"axis": axis} if scales.ndim else {}))

    def case(self, *outputs: str) -> OperatorCase:
        return OperatorCase(self.name, self.inputs, self.nodes, self.constants, outputs)


def integer_cases() -> list[OperatorCase]:
    """All of them; the random ones are the same in every run."""
    random = np.random.default_rng(0)
    return [case for part in (_convolutions, _dense, _others) for case in part(random)]


def _whole(random: np.random.Generator, *sizes: int) -> Array:
    return random.integers(-128, 128, sizes).astype(np.int8)


def _scales(random: np.random.Generator, count: int) -> Array:
    return random.uniform(0.001, 0.01, count).astype(np.float32)


def _convolutions(random: np.random.Generator) -> Iterator[OperatorCase]:
    """Outputs: ``y`` as the layer gives it, ``z_d`` rounded."""
    chosen = [
        # channels, filters, groups, rows, columns, kernel, strides, dilations, pads
        (3, 16, 1, 9, 9, (3, 3), (1, 1), (1, 1), (1, 1, 1, 1)),
        (3, 70, 1, 17, 15, (7, 7), (2, 2), (1, 1), (3, 3, 3, 3)),
        (1, 10, 1, 8, 8, (3, 3), (1, 1), (1, 1), (0, 0, 0, 0)),
        (64, 33, 1, 5, 7, (3, 3), (1, 1), (1, 1), (1, 1, 1, 1)),
        (401, 40, 1, 4, 4, (1, 1), (1, 1), (1, 1), (0, 0, 0, 0)),
        (17, 48, 1, 6, 6, (1, 1), (2, 2), (1, 1), (0, 0, 0, 0)),
        (8, 5, 1, 10, 12, (3, 5), (2, 1), (1, 3), (0, 4, 1, 2)),
        (7, 24, 1, 11, 10, (2, 3), (1, 1), (2, 2), (2, 1, 0, 2)),
        (20, 20, 20, 9, 11, (3, 3), (2, 2), (1, 1), (0, 1, 1, 0)),
        (5, 5, 5, 9, 9, (5, 5), (1, 1), (1, 1), (2, 2, 2, 2)),
        (6, 12, 6, 8, 8, (3, 3), (1, 1), (1, 1), (1, 1, 1, 1)),
        (15, 9, 3, 7, 7, (3, 3), (2, 2), (1, 1), (1, 1, 1, 1)),
        (32, 64, 2, 6, 6, (3, 3), (1, 1), (1, 1), (1, 1, 1, 1)),
        (5, 130, 1, 3, 3, (3, 3), (1, 1), (1, 1), (0, 0, 0, 0)),
        (5, 50, 1, 1, 3, (1, 1), (1, 1), (1, 1), (0, 0, 0, 0)),
        (40, 20, 1, 40, 41, (3, 3), (1, 1), (1, 1), (1, 1, 1, 1)),
    ]
    for number, (channels, filters, groups, rows, columns, kernel, strides, dilations, pads) in enumerate(chosen):
        alone = groups == channels == filters
        graph = _Graph(f"rounded_{'depthwise' if alone else 'conv'}_{number}", {"x": (channels, rows, columns)})
        graph.rounded("x", 0.02, SIGNED if number % 3 == 1 else UNSIGNED)
        one = number % 4 == 3
        graph.weights(
            "w", _whole(random, filters, channels // groups, *kernel), np.array(0.01, np.float32) if one else _scales(random, filters)
        )
        graph.constants["b"] = random.standard_normal(filters, dtype=np.float32)
        layer = {"group": groups, "strides": strides, "dilations": dilations, "pads": pads}
        graph.add("Conv", "x_d w b", "y", **layer)
        graph.add("Conv", "x_d w", "c", **layer)
        graph.add("Relu" if number % 2 else "Identity", "c", "z")
        graph.rounded("z", 0.05)
        yield graph.case("y", "z_d")


def _dense(random: np.random.Generator) -> Iterator[OperatorCase]:
    for name, transposed in (("rounded_gemm", 0), ("rounded_gemm_transposed", 1)):
        graph = _Graph(name, {"x": (37,)})
        graph.rounded("x", 0.02)
        graph.weights("w", _whole(random, *((21, 37) if transposed else (37, 21))), _scales(random, 21), axis=1 - transposed)
        graph.constants["b"] = random.standard_normal(21, dtype=np.float32)
        graph.add("Gemm", "x_d w b", "y", transB=transposed)
        graph.rounded("y", 0.05)
        yield graph.case("y" if transposed else "y_d")
    graph = _Graph("matmul_of_rows", {"x": (5, 9)})
    graph.rounded("x", 0.02)
    graph.weights("w", _whole(random, 9, 33), np.array(0.01, np.float32))
    graph.add("MatMul", "x_d w", "y")
    yield graph.case("y")
    graph = _Graph("layers_and_a_flatten", {"x": (3, 6, 5)})
    graph.rounded("x", 0.02)
    graph.weights("w", _whole(random, 7, 3, 3, 3), _scales(random, 7))
    graph.add("Conv", "x_d w", "c", pads=(1, 1, 1, 1))
    graph.rounded("c", 0.02)
    graph.add("MaxPool", "c_d", "m", kernel_shape=(2, 2), strides=(2, 2))
    graph.rounded("m", 0.02)
    graph.add("Flatten", "m_d", "f")
    graph.rounded("f", 0.02)
    graph.weights("v", _whole(random, 42, 6), _scales(random, 6), axis=1)
    graph.add("Gemm", "f_d v", "y")
    yield graph.case("y")


def _others(random: np.random.Generator) -> Iterator[OperatorCase]:
    """Operators between rounded values, as images, and one that takes whole numbers and floats."""
    size = {"x": (19, 8, 7)}
    operators: list[tuple[str, Mapping[str, object]]] = [
        ("MaxPool", {"kernel_shape": (3, 3), "strides": (2, 2), "pads": (1, 1, 1, 1)}),
        ("AveragePool", {"kernel_shape": (2, 2), "strides": (2, 2)}),
        ("GlobalAveragePool", {}), ("Sigmoid", {}), ("Flatten", {}), ("Transpose", {"perm": (0, 2, 3, 1)}), ("Softmax", {"axis": 1}),
        ("Reshape", {}),
    ]  # fmt: skip
    for op, attributes in operators:
        graph = _Graph(f"rounded_{op}", size)
        graph.weights("w", _whole(random, 19, 19, 1, 1), _scales(random, 19))
        graph.rounded("x", 0.02)
        graph.add("Conv", "x_d w", "c")
        graph.rounded("c", 0.02)
        if op == "Reshape":
            graph.constants["shape"] = np.array([0, 7, -1])
        graph.add(op, "c_d shape" if op == "Reshape" else "c_d", "o", **attributes)
        graph.rounded("o", 0.0137)
        yield graph.case("o_d")
    for op in ("Add", "Mul"):
        graph = _Graph(f"rounded_{op}", {"x": size["x"], "v": size["x"], "k": (19, 1, 1)})
        for name, scale in (("x", 0.02), ("v", 0.0317), ("k", 0.0113)):
            graph.rounded(name, scale)
        graph.add(op, "x_d v_d", "a")
        graph.add("Relu", "a", "r")
        graph.rounded("r", 0.0401, SIGNED)
        graph.add(op, "r_d k_d", "b")
        graph.add(op, "b x", "y")
        yield graph.case("r_d", "y")
    graph = _Graph("limits_beyond_what_is_stored", size)
    graph.constants |= {"low": np.array(-9.0, np.float32), "high": np.array(-5.0, np.float32)}
    graph.weights("w", _whole(random, 19, 19, 1, 1), _scales(random, 19))
    graph.rounded("x", 0.02)
    graph.add("Conv", "x_d w", "c")
    graph.add("Clip", "c low high", "l")
    graph.rounded("l", 0.02, ("int8", 100))
    yield graph.case("l_d")
    graph = _Graph("normalised", size)
    graph.constants |= {name: random.uniform(0.5, 1.5, 19).astype(np.float32) for name in ("g", "o", "m", "v")}
    graph.rounded("x", 0.02)
    graph.add("BatchNormalization", "x_d g o m v", "n")
    graph.rounded("n", 0.03)
    yield graph.case("n_d")
    graph = _Graph("saturating", {"x": (255, 5, 5)})
    graph.rounded("x", 1e-3, ("uint8", 255))
    graph.weights("w", np.full((17, 255, 3, 3), -128, np.int8), _scales(random, 17))
    graph.add("Conv", "x_d w", "y", pads=(1, 1, 1, 1))
    yield graph.case("y")
    graph = _Graph("sums_that_32_bits_do_not_hold", {"x": (7, 5, 5)})
    graph.rounded("x", 1e-3)
    graph.weights("w", _whole(random, 5, 7, 1, 1), np.full(5, 1e-6, np.float32))
    graph.constants["b"] = np.full(5, 3.0, np.float32)
    graph.add("Conv", "x_d w b", "y")
    yield graph.case("y")
    graph = _Graph("rounded_twice_and_given", size)
    graph.rounded("x", 0.02)
    graph.weights("w", _whole(random, 6, 19, 3, 3), _scales(random, 6))
    graph.add("Conv", "x_d w", "c", pads=(1, 1, 1, 1))
    graph.rounded("c", 0.02)
    graph.add("Identity", "c_d", "i")
    graph.rounded("i", 0.03)
    yield graph.case("c", "c_d", "i_d")

"""Small ONNX graphs, one or a few operators each, with the attributes and sizes that a generator gets wrong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from roadworthy.core.types import BATCH, Array, Signature, TensorSpec

OPSET = 17
Nodes = Sequence[tuple[str, Sequence[str], str, Mapping[str, object]]]
"""Operator, inputs, output and attributes of each."""


@dataclass(frozen=True)
class OperatorCase:
    """``inputs`` are the sizes of one sample of each input; outputs are named in ``outputs``."""

    name: str
    inputs: Mapping[str, tuple[int, ...]]
    nodes: Nodes
    constants: Mapping[str, Array] = field(default_factory=dict)
    outputs: tuple[str, ...] = ("y",)
    opset: int = OPSET
    samples: int | None = None

    def model(self) -> onnx.ModelProto:
        """The graph, for any number of samples, or for ``samples``."""
        first = self.samples or BATCH
        ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, (first, *sizes)) for name, sizes in self.inputs.items()]
        made = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in self.outputs]
        nodes = [
            helper.make_node(op, list(inputs), output.split(), name=f"node_{number}", **attributes)
            for number, (op, inputs, output, attributes) in enumerate(self.nodes)
        ]
        weights = [numpy_helper.from_array(array, name) for name, array in self.constants.items()]
        graph = helper.make_graph(nodes, "case", ports, made, weights)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=8)

    def signature(self, outputs: Sequence[Array]) -> Signature:
        """The signature of the graph that answers with arrays like ``outputs``."""
        first = self.samples or BATCH
        specs = [TensorSpec(name, "float32", (first, *array.shape[1:])) for name, array in zip(self.outputs, outputs, strict=True)]
        return Signature(tuple(TensorSpec(name, "float32", (first, *sizes)) for name, sizes in self.inputs.items()), tuple(specs))

    def feeds(self, samples: int) -> dict[str, Array]:
        """Random numbers."""
        random = np.random.default_rng(7)
        return {name: random.standard_normal((samples, *sizes), dtype=np.float32) for name, sizes in self.inputs.items()}


def cases() -> list[OperatorCase]:
    """All of them; the random ones are the same in every run."""
    random = np.random.default_rng(0)
    parts = (_convolutions, _pools, _dense, _normalisations, _pointwise, _pairs, _shapes, _joined)
    return [case for part in parts for case in part(random)]


def _numbers(random: np.random.Generator, *sizes: int) -> Array:
    return random.standard_normal(sizes, dtype=np.float32)


def _one(
    name: str, op: str, sizes: tuple[int, ...], constants: Mapping[str, Array] | None = None, opset: int = OPSET, **attributes: object
) -> OperatorCase:
    """One operator on the input ``x`` and constants."""
    return OperatorCase(name, {"x": sizes}, [(op, ["x", *(constants or {})], "y", attributes)], constants or {}, opset=opset)


def _convolutions(random: np.random.Generator) -> Iterator[OperatorCase]:
    chosen = [
        # channels, filters, groups, rows, columns, kernel, strides, dilations, pads
        (3, 16, 1, 9, 9, (3, 3), (1, 1), (1, 1), (1, 1, 1, 1)),
        (3, 64, 1, 17, 15, (7, 7), (2, 2), (1, 1), (3, 3, 3, 3)),
        (1, 10, 1, 8, 8, (3, 3), (1, 1), (1, 1), (0, 0, 0, 0)),
        (64, 33, 1, 5, 7, (3, 3), (1, 1), (1, 1), (1, 1, 1, 1)),
        (400, 40, 1, 4, 4, (1, 1), (1, 1), (1, 1), (0, 0, 0, 0)),
        (17, 48, 1, 6, 6, (1, 1), (2, 2), (1, 1), (0, 0, 0, 0)),
        (8, 24, 1, 11, 10, (3, 3), (1, 1), (2, 2), (2, 2, 2, 2)),
        (8, 5, 1, 10, 12, (3, 5), (2, 1), (1, 3), (0, 4, 1, 2)),
        (6, 7, 1, 7, 7, (2, 2), (2, 2), (1, 1), (0, 1, 1, 0)),
        (12, 12, 12, 9, 9, (3, 3), (1, 1), (1, 1), (1, 1, 1, 1)),
        (20, 20, 20, 9, 11, (3, 3), (2, 2), (1, 1), (0, 1, 1, 0)),
        (32, 32, 32, 13, 10, (5, 5), (1, 1), (1, 1), (2, 2, 2, 2)),
        (19, 19, 19, 12, 12, (5, 5), (2, 2), (1, 1), (2, 2, 2, 2)),
        (9, 9, 9, 12, 12, (3, 3), (1, 1), (2, 2), (2, 2, 2, 2)),
        (3, 3, 3, 9, 9, (7, 3), (1, 2), (1, 1), (3, 1, 3, 1)),
        (6, 12, 6, 8, 8, (3, 3), (1, 1), (1, 1), (1, 1, 1, 1)),
        (16, 40, 4, 8, 9, (3, 3), (1, 1), (1, 1), (1, 1, 1, 1)),
        (15, 9, 3, 7, 7, (3, 3), (2, 2), (1, 1), (1, 1, 1, 1)),
        (128, 128, 2, 6, 6, (3, 3), (1, 1), (1, 1), (1, 1, 1, 1)),
        (5, 130, 1, 3, 3, (3, 3), (1, 1), (1, 1), (0, 0, 0, 0)),
        (5, 50, 1, 1, 3, (1, 1), (1, 1), (1, 1), (0, 0, 0, 0)),
        (40, 20, 1, 40, 41, (3, 3), (1, 1), (1, 1), (1, 1, 1, 1)),
    ]  # fmt: skip
    for _ in range(12):
        groups = int(random.choice([1, 1, 2, 3]))
        kernel, strides, dilations = (tuple(int(size) for size in random.integers(1, most, 2)) for most in (5, 4, 3))
        rows, columns = (int(size) for size in random.integers(10, 16, 2))
        pads = tuple(int(random.integers(0, kernel[axis % 2] + 1)) for axis in range(4))
        channels, filters = groups * int(random.integers(1, 20)), groups * int(random.integers(1, 40))
        chosen.append((channels, filters, groups, rows, columns, kernel, strides, dilations, pads))
    for number, (channels, filters, groups, rows, columns, kernel, strides, dilations, pads) in enumerate(chosen):
        constants = {"w": _numbers(random, filters, channels // groups, *kernel), "b": _numbers(random, filters)}
        if number % 5 == 4:
            del constants["b"]
        yield _one(
            f"conv_{number}", "Conv", (channels, rows, columns), constants, group=groups, strides=strides, dilations=dilations, pads=pads
        )
    weights = {"w": _numbers(random, 9, 4, 3, 2)}
    for way in ("SAME_UPPER", "SAME_LOWER", "VALID"):
        yield _one(f"conv_{way}", "Conv", (4, 9, 8), weights, auto_pad=way, strides=(2, 2))
    yield _one("conv_one_axis", "Conv", (6, 21), {"w": _numbers(random, 10, 3, 4)}, group=2, strides=(2,), pads=(1, 2), dilations=(2,))
    yield _one("conv_one_axis_depthwise", "Conv", (6, 21), {"w": _numbers(random, 6, 1, 3)}, group=6, pads=(1, 1))


def _pools(random: np.random.Generator) -> Iterator[OperatorCase]:
    for op in ("MaxPool", "AveragePool"):
        yield _one(f"{op}_plain", op, (8, 8, 8), kernel_shape=(2, 2), strides=(2, 2))
        yield _one(f"{op}_odd", op, (13, 9, 7), kernel_shape=(3, 2), strides=(2, 3))
        yield _one(f"{op}_pads", op, (5, 9, 9), kernel_shape=(3, 3), strides=(2, 2), pads=(1, 1, 1, 1))
        yield _one(f"{op}_uneven_pads", op, (33, 9, 9), kernel_shape=(3, 3), strides=(1, 2), pads=(0, 1, 2, 0))
        yield _one(f"{op}_ceil", op, (6, 10, 9), kernel_shape=(3, 3), strides=(2, 2), ceil_mode=1)
        yield _one(f"{op}_same", op, (6, 10, 9), kernel_shape=(3, 3), strides=(2, 2), auto_pad="SAME_UPPER")
        yield _one(f"{op}_one_axis", op, (6, 10), kernel_shape=(3,), strides=(2,), pads=(1, 0))
    yield _one("AveragePool_counted", "AveragePool", (6, 9, 9), kernel_shape=(3, 3), strides=(2, 2), pads=(1, 1, 1, 1), count_include_pad=1)
    yield _one("MaxPool_dilated", "MaxPool", (6, 11, 12), kernel_shape=(3, 2), dilations=(2, 3), pads=(1, 1, 1, 1))
    for op in ("GlobalAveragePool", "GlobalMaxPool"):
        yield _one(op, op, (21, 5, 6))
    for op in ("ReduceMean", "ReduceMax", "ReduceMin"):
        yield _one(f"{op}_space", op, (21, 5, 6), axes=(2, 3), keepdims=0)
        yield _one(f"{op}_space_kept", op, (21, 5, 6), axes=(-1, -2), keepdims=1)
        yield _one(f"{op}_channels", op, (21, 5, 6), axes=(1,), keepdims=0)
        yield _one(f"{op}_first", op, (7, 5), axes=(1,), keepdims=1)
    yield _one("ReduceSum", "ReduceSum", (4, 5, 6), {"axes": np.array([1, 3])}, keepdims=0)


def _dense(random: np.random.Generator) -> Iterator[OperatorCase]:
    yield _one("gemm", "Gemm", (37,), {"w": _numbers(random, 37, 21), "b": _numbers(random, 21)})
    yield _one("gemm_turned", "Gemm", (128,), {"w": _numbers(random, 64, 128), "b": _numbers(random, 64)}, transB=1, alpha=0.5, beta=2.0)
    yield _one("gemm_one_bias", "Gemm", (5,), {"w": _numbers(random, 3, 5), "b": _numbers(random, 1)}, transB=1)
    yield _one("gemm_wide", "Gemm", (512,), {"w": _numbers(random, 512, 200)})
    yield _one("matmul", "MatMul", (9,), {"w": _numbers(random, 9, 50)})
    yield _one("matmul_rows", "MatMul", (7, 9), {"w": _numbers(random, 9, 20)})
    yield _one("matmul_images", "MatMul", (2, 7, 9), {"w": _numbers(random, 9, 4)})
    for number, sizes in enumerate([(6, 5, 4), (16, 1, 1), (1, 4, 4)]):
        count = int(np.prod(sizes))
        yield OperatorCase(
            f"flatten_dense_{number}",
            {"x": sizes},
            [
                ("Conv", ["x", "k"], "c", {"pads": (1, 1, 1, 1)}),
                ("Flatten", ["c"], "f", {"axis": 1}),
                ("Gemm", ["f", "w"], "y", {"transB": 1}),
            ],
            {"k": _numbers(random, sizes[0], sizes[0], 3, 3), "w": _numbers(random, 10, count)},
        )


def _normalisations(random: np.random.Generator) -> Iterator[OperatorCase]:
    def statistics(channels: int) -> dict[str, Array]:
        scale, bias, mean = (_numbers(random, channels) for _ in range(3))
        return {"s": scale, "b": bias, "m": mean, "v": np.abs(_numbers(random, channels)) + 0.1}

    yield _one("batch_norm", "BatchNormalization", (11, 4, 5), statistics(11), epsilon=1e-3)
    yield _one("batch_norm_one_axis", "BatchNormalization", (11, 4), statistics(11))
    yield _one("batch_norm_numbers", "BatchNormalization", (11,), statistics(11))
    for groups in (1, 12):
        yield OperatorCase(
            f"batch_norm_behind_conv_{groups}",
            {"x": (12, 6, 6)},
            [
                ("Conv", ["x", "w"], "c", {"group": groups, "pads": (1, 1, 1, 1)}),
                ("BatchNormalization", ["c", "s", "b", "m", "v"], "n", {}),
                ("Relu", ["n"], "y", {}),
            ],
            {"w": _numbers(random, 12, 12 // groups, 3, 3), **statistics(12)},
        )
    yield OperatorCase(
        "batch_norm_before_conv",
        {"x": (12, 6, 6)},
        [
            ("BatchNormalization", ["x", "s", "b", "m", "v"], "n", {}),
            ("Relu", ["n"], "r", {}),
            ("Conv", ["r", "w"], "y", {"pads": (1, 1, 1, 1)}),
        ],
        {"w": _numbers(random, 5, 12, 3, 3), **statistics(12)},
    )
    yield OperatorCase(
        "batch_norm_behind_dense",
        {"x": (12,)},
        [("Gemm", ["x", "w"], "g", {}), ("BatchNormalization", ["g", "s", "b", "m", "v"], "y", {})],
        {"w": _numbers(random, 12, 9), **statistics(9)},
    )


def _pointwise(random: np.random.Generator) -> Iterator[OperatorCase]:
    plain = ("Relu", "Sigmoid", "Tanh", "HardSwish", "Softplus", "Erf", "Exp", "Abs", "Neg", "Identity")
    with_attributes = {
        "LeakyRelu": {"alpha": 0.2},
        "HardSigmoid": {"alpha": 0.3, "beta": 0.4},
        "Elu": {"alpha": 1.5},
    }
    for op, attributes in ({op: {} for op in plain} | with_attributes).items():
        yield _one(f"{op}_images", op, (13, 5, 3), **attributes)
        yield _one(f"{op}_numbers", op, (21,), **attributes)
    for op in ("Log", "Sqrt"):
        yield OperatorCase(op, {"x": (21,)}, [("Abs", ["x"], "a", {}), (op, ["a"], "y", {})])
    limits = {"low": np.float32(0.0).reshape(()), "high": np.float32(6.0).reshape(())}
    yield _one("clip", "Clip", (13, 5, 3), limits)
    yield OperatorCase("clip_above", {"x": (13,)}, [("Clip", ["x", "", "high"], "y", {})], {"high": np.float32(0.5).reshape(())})
    yield _one("clip_attributes", "Clip", (13,), opset=7, min=-0.5, max=0.25)
    for op in ("Softmax", "LogSoftmax"):
        yield _one(f"{op}_numbers", op, (21,), axis=-1)
        yield _one(f"{op}_channels", op, (10, 3, 4), axis=1)
        yield _one(f"{op}_columns", op, (3, 4, 9), axis=3)
    yield OperatorCase("swish", {"x": (13, 5, 3)}, [("Sigmoid", ["x"], "s", {}), ("Mul", ["x", "s"], "y", {})])
    yield OperatorCase(
        "sigmoid_used_twice",
        {"x": (13, 5, 3)},
        [("Sigmoid", ["x"], "s", {}), ("Mul", ["x", "s"], "m", {}), ("Add", ["m", "s"], "y", {})],
    )
    yield _one("prelu_channels", "PRelu", (13, 5, 3), {"slope": _numbers(random, 13, 1, 1)})
    yield _one("prelu_number", "PRelu", (13,), {"slope": _numbers(random, 1)})
    yield _one("gelu", "Gelu", (13, 5, 3), opset=20)


def _pairs(random: np.random.Generator) -> Iterator[OperatorCase]:
    for op in ("Add", "Sub", "Mul", "Div"):
        yield OperatorCase(f"{op}_values", {"x": (9, 4, 5), "z": (9, 4, 5)}, [(op, ["x", "z"], "y", {})])
        yield OperatorCase(f"{op}_channels", {"x": (9, 4, 5), "z": (9, 1, 1)}, [(op, ["x", "z"], "y", {})])
        yield OperatorCase(f"{op}_channels_first", {"x": (9, 1, 1), "z": (9, 4, 5)}, [(op, ["x", "z"], "y", {})])
        yield OperatorCase(f"{op}_columns", {"x": (9, 4, 5), "z": (1, 4, 1)}, [(op, ["x", "z"], "y", {})])
        yield OperatorCase(f"{op}_numbers", {"x": (21,), "z": (21,)}, [(op, ["x", "z"], "y", {})])
        for name, sizes in {"number": (), "one": (1,), "channel": (9, 1, 1), "row": (5,), "whole": (1, 9, 4, 5), "plane": (4, 5)}.items():
            constant = {"c": _numbers(random, *sizes) + np.float32(3)}
            yield OperatorCase(f"{op}_constant_{name}", {"x": (9, 4, 5)}, [(op, ["x", "c"], "y", {})], constant)
            if name in ("number", "channel"):
                yield OperatorCase(f"{op}_{name}_constant", {"x": (9, 4, 5)}, [(op, ["c", "x"], "y", {})], constant)
    for op in ("Max", "Min"):
        yield OperatorCase(op, {"x": (9, 4, 5), "z": (9, 4, 5)}, [(op, ["x", "z"], "y", {})])
    yield OperatorCase("Sum", {"x": (9,), "z": (9,)}, [("Sum", ["x", "z"], "y", {})])
    yield OperatorCase("doubled", {"x": (9, 4, 5)}, [("Relu", ["x"], "r", {}), ("Add", ["r", "r"], "y", {})])


def _shapes(random: np.random.Generator) -> Iterator[OperatorCase]:
    yield _one("flatten", "Flatten", (3, 4, 5), axis=1)
    yield _one("reshape", "Reshape", (3, 4, 5), {"shape": np.array([0, 5, -1])})
    yield _one("squeeze", "Squeeze", (1, 4, 1), {"axes": np.array([1, 3])})
    yield _one("unsqueeze", "Unsqueeze", (4, 5), {"axes": np.array([1, -1])})
    for order in ((0, 2, 3, 1), (0, 3, 1, 2), (0, 1, 3, 2), (0, 3, 2, 1)):
        yield _one(f"transpose_{order}", "Transpose", (3, 4, 5), perm=order)
    yield _one("transpose_5", "Transpose", (2, 3, 4, 5), perm=(0, 4, 2, 1, 3))
    for axis in (1, 2, 3, -1):
        sizes = {"x": (3, 4, 5), "z": tuple(7 if number == axis % 4 else size for number, size in ((1, 3), (2, 4), (3, 5)))}
        yield OperatorCase(f"concat_{axis}", sizes, [("Concat", ["x", "z"], "y", {"axis": axis})])
    yield OperatorCase("split", {"x": (9, 4)}, [("Split", ["x", "s"], "y z", {"axis": 1})], {"s": np.array([3, 6])}, ("y", "z"))
    cut = {"a": np.array([1, -1]), "e": np.array([8, -9]), "i": np.array([1, 2]), "s": np.array([2, -2])}
    yield OperatorCase("slice", {"x": (9, 6)}, [("Slice", ["x", "a", "e", "i", "s"], "y", {})], cut)
    pads = {"p": np.array([0, 1, 2, 0, 0, 0, 1, 3]), "v": np.float32(1.5).reshape(())}
    yield _one("pad", "Pad", (3, 4, 5), pads)
    yield _one("pad_less", "Pad", (3, 4, 5), {"p": np.array([0, 0, -1, 2, 0, 1, 1, -2])})


def _joined(random: np.random.Generator) -> Iterator[OperatorCase]:
    """What goes wrong between operators: the order of numbers, borders, and sums that a layer takes over."""
    kernel, wide = _numbers(random, 6, 6, 3, 3), _numbers(random, 12, 10, 3, 3)
    same = {"pads": (1, 1, 1, 1)}
    yield OperatorCase(
        "flatten_of_an_image_twice_used",
        {"x": (6, 4, 5)},
        [("Conv", ["x", "k"], "c", same), ("Flatten", ["c"], "y", {}), ("Gemm", ["y", "w"], "z", {})],
        {"k": kernel, "w": _numbers(random, 120, 7)},
        ("y", "z"),
    )
    yield OperatorCase(
        "flatten_of_an_image_with_a_border",
        {"x": (6, 4, 5)},
        [
            ("Conv", ["x", "k"], "c", same), ("Conv", ["c", "k"], "d", same), ("Flatten", ["c"], "f", {}), ("Flatten", ["d"], "g", {}),
            ("MatMul", ["f", "w"], "y", {}), ("MatMul", ["g", "w"], "z", {}),
        ],
        {"k": kernel, "w": _numbers(random, 120, 7)},
        ("y", "z"),
    )  # fmt: skip
    yield OperatorCase(
        "concat_of_images",
        {"x": (6, 4, 5), "z": (4, 4, 5)},
        [
            ("Conv", ["x", "k"], "c", same), ("Relu", ["z"], "r", {}), ("Concat", ["c", "r"], "j", {"axis": 1}),
            ("Conv", ["j", "w"], "d", same), ("Flatten", ["d"], "y", {}),
        ],
        {"k": kernel, "w": wide},
    )  # fmt: skip
    yield OperatorCase(
        "sum_with_a_later_value",
        {"x": (6, 4, 5)},
        [
            ("Conv", ["x", "k"], "c", same), ("Sigmoid", ["x"], "s", {}), ("Tanh", ["s"], "t", {}), ("Add", ["c", "t"], "a", {}),
            ("Relu", ["a"], "r", {}), ("Add", ["r", "x"], "y", {}),
        ],
        {"k": kernel},
    )  # fmt: skip
    yield OperatorCase(
        "sum_of_two_convolutions",
        {"x": (6, 4, 5)},
        [
            ("Conv", ["x", "k"], "c", same), ("Conv", ["x", "l"], "d", {}), ("Add", ["d", "c"], "a", {}),
            ("Clip", ["a", "low", "high"], "y", {}),
        ],
        {"k": kernel, "l": _numbers(random, 6, 6, 1, 1), "low": np.float32(-1).reshape(()), "high": np.float32(1).reshape(())},
    )  # fmt: skip
    yield OperatorCase(
        "sum_behind_a_depthwise_layer",
        {"x": (6, 4, 5)},
        [("Conv", ["x", "k"], "c", {"group": 6, **same}), ("Add", ["x", "c"], "y", {})],
        {"k": _numbers(random, 6, 1, 3, 3)},
    )
    yield OperatorCase(
        "sum_of_dense_layers",
        {"x": (6,)},
        [("Gemm", ["x", "w"], "c", {}), ("Relu", ["c"], "r", {}), ("Gemm", ["r", "w"], "d", {}), ("Add", ["d", "r"], "y", {})],
        {"w": _numbers(random, 6, 6)},
    )
    yield OperatorCase(
        "activation_of_a_value_used_twice",
        {"x": (6, 4, 5)},
        [("Conv", ["x", "k"], "c", same), ("Relu", ["c"], "r", {}), ("Add", ["r", "c"], "y", {})],
        {"k": kernel},
    )
    yield OperatorCase(
        "activation_behind_identity_of_a_value_used_twice",
        {"x": (6, 4, 5)},
        [("Conv", ["x", "k"], "c", same), ("Identity", ["c"], "i", {}), ("Relu", ["i"], "r", {}), ("Add", ["r", "c"], "y", {})],
        {"k": kernel},
    )
    yield OperatorCase(
        "squeeze_and_excite",
        {"x": (6, 4, 5)},
        [
            ("Conv", ["x", "k"], "c", same), ("GlobalAveragePool", ["c"], "p", {}), ("Conv", ["p", "f"], "f1", {}),
            ("Relu", ["f1"], "f2", {}), ("Conv", ["f2", "g"], "g1", {}), ("HardSigmoid", ["g1"], "s", {}), ("Mul", ["s", "c"], "y", {}),
        ],
        {"k": kernel, "f": _numbers(random, 3, 6, 1, 1), "g": _numbers(random, 6, 3, 1, 1)},
    )  # fmt: skip
    yield OperatorCase(
        "channels_last_in_and_out",
        {"x": (4, 5, 6)},
        [
            ("Transpose", ["x"], "t", {"perm": (0, 3, 1, 2)}), ("Conv", ["t", "k"], "c", same),
            ("Transpose", ["c"], "y", {"perm": (0, 2, 3, 1)}),
        ],
        {"k": kernel},
    )  # fmt: skip
    yield OperatorCase(
        "mean_and_dense",
        {"x": (6, 4, 5)},
        [
            ("Conv", ["x", "k"], "c", same), ("GlobalAveragePool", ["c"], "p", {}), ("Flatten", ["p"], "f", {}),
            ("Gemm", ["f", "w"], "g", {}), ("Softmax", ["g"], "y", {"axis": 1}),
        ],
        {"k": kernel, "w": _numbers(random, 6, 10)},
    )  # fmt: skip
    yield OperatorCase(
        "shuffled_channels",
        {"x": (6, 4, 5)},
        [
            ("Conv", ["x", "k"], "c", same), ("Reshape", ["c", "s"], "r", {}), ("Transpose", ["r"], "t", {"perm": (0, 2, 1, 3, 4)}),
            ("Reshape", ["t", "b"], "u", {}), ("Conv", ["u", "k"], "y", same),
        ],
        {"k": kernel, "s": np.array([0, 2, 3, 4, 5]), "b": np.array([0, 6, 4, 5])},
    )  # fmt: skip
    yield OperatorCase(
        "pad_before_conv",
        {"x": (6, 4, 5)},
        [("Pad", ["x", "p"], "q", {}), ("Conv", ["q", "k"], "y", {"strides": (2, 2), **same})],
        {"k": kernel, "p": np.array([0, 0, 0, 1, 0, 0, 1, 0])},
    )
    yield OperatorCase(
        "a_fixed_number_of_samples",
        {"x": (6, 4, 5)},
        [("Conv", ["x", "k"], "c", same), ("Flatten", ["c"], "y", {})],
        {"k": kernel},
        samples=3,
    )

"""ONNX graphs of one operator or a few, with what ONNX's own reference answers: for every file that is written from ONNX here."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from roadworthy.core.stages import Graph
from roadworthy.core.types import Array, Signature, TensorSpec

OPSETS = [helper.make_opsetid("", 20), helper.make_opsetid("com.example", 1)]
RANDOM = np.random.default_rng(0)


def weights(*shape: int) -> Array:
    return RANDOM.standard_normal(shape, dtype=np.float32)


def whole(*numbers: int) -> Array:
    return np.array(numbers, np.int64)


@dataclass
class Case:
    """Operators from ``x`` to ``y``; what is not ``x`` and not made by one of them is in ``constants``. ``shape`` is of one sample."""

    nodes: list[Any]
    shape: tuple[int, ...] = (4, 6, 5)
    constants: dict[str, Array] = field(default_factory=dict)
    dtype: str = "float32"
    batch: int | str = "batch"

    def model(self) -> Any:
        given = helper.np_dtype_to_tensor_dtype(np.dtype(self.dtype))
        graph = helper.make_graph(
            self.nodes,
            "case",
            [helper.make_tensor_value_info("x", given, [self.batch, *self.shape])],
            [onnx.ValueInfoProto(name="y")],
            [numpy_helper.from_array(array, name) for name, array in self.constants.items()],
        )
        made = helper.make_model(graph, opset_imports=OPSETS, ir_version=10)
        made = onnx.shape_inference.infer_shapes(made, data_prop=True)
        if not made.graph.output[0].type.tensor_type.HasField("elem_type"):
            made.graph.output[0].type.tensor_type.elem_type = TensorProto.FLOAT
        return made

    def feeds(self, samples: int) -> dict[str, Array]:
        random = np.random.default_rng(samples)
        if self.dtype != "float32":
            return {"x": random.integers(0, 5, (samples, *self.shape)).astype(self.dtype)}
        return {"x": random.standard_normal((samples, *self.shape), dtype=np.float32)}


def node(op: str, inputs: str = "x", output: str = "y", **attributes: Any) -> Any:
    return helper.make_node(op, inputs.split(), output.split(), **attributes)


KERNEL = {"w": weights(8, 4, 3, 3), "b": weights(8)}
DEPTHWISE = {"w": weights(8, 1, 3, 3), "b": weights(8)}
INTO = node("Conv", "x w b", "c", pads=[1, 1, 1, 1])
"""A convolution before the operator, so that what it gets is there with the channels last."""
POSITIVE = node("Relu", "c", "r")
CASES = {
    "conv, padding on all sides": Case([node("Conv", "x w b", pads=[1, 1, 1, 1])], constants=KERNEL),
    "conv, no padding": Case([node("Conv", "x w b")], constants=KERNEL),
    "conv without a bias": Case([node("Conv", "x w", pads=[0, 1, 2, 1])], constants=KERNEL),
    "conv by twos, even image": Case([node("Conv", "x w b", pads=[1, 1, 1, 1], strides=[2, 2])], (4, 8, 8), KERNEL),
    "conv by twos, odd image": Case([node("Conv", "x w b", pads=[1, 1, 1, 1], strides=[2, 2])], (4, 7, 9), KERNEL),
    "conv by twos, SAME_UPPER": Case([node("Conv", "x w b", auto_pad="SAME_UPPER", strides=[2, 2])], (4, 8, 8), KERNEL),
    "conv by twos, SAME_LOWER": Case([node("Conv", "x w b", auto_pad="SAME_LOWER", strides=[2, 2])], (4, 8, 8), KERNEL),
    "conv, VALID": Case([node("Conv", "x w b", auto_pad="VALID", strides=[2, 1])], (4, 8, 8), KERNEL),
    "conv, dilated": Case([node("Conv", "x w b", pads=[2, 2, 2, 2], dilations=[2, 2])], (4, 8, 8), KERNEL),
    "conv, two groups": Case([node("Conv", "x w b", group=2)], constants={"w": weights(8, 2, 3, 3), "b": weights(8)}),
    "conv, one channel": Case([node("Conv", "x w b")], (1, 6, 6), DEPTHWISE),
    "conv, a group a channel": Case([node("Conv", "x w b", group=8, pads=[1, 1, 1, 1])], (8, 6, 6), DEPTHWISE),
    "conv, two filters a channel": Case([node("Conv", "x w b", group=4, pads=[1, 1, 1, 1])], constants=DEPTHWISE),
    "conv and batch normalisation": Case(
        [INTO, node("BatchNormalization", "c s o m v", "n"), node("Relu", "n")],
        constants=KERNEL | {"s": weights(8), "o": weights(8), "m": weights(8), "v": np.abs(weights(8))},
    ),
    "a group a channel and batch normalisation": Case(
        [node("Conv", "x w b", "c", group=8), node("BatchNormalization", "c s o m v")],
        (8, 6, 6),
        DEPTHWISE | {"s": weights(8), "o": weights(8), "m": weights(8), "v": np.abs(weights(8))},
    ),
    "batch normalisation of what two take": Case(
        [INTO, node("BatchNormalization", "c s o m v", "n"), node("Add", "n c")],
        constants=KERNEL | {"s": weights(8), "o": weights(8), "m": weights(8), "v": np.abs(weights(8))},
    ),
    "batch normalisation behind a ReLU": Case(
        [INTO, POSITIVE, node("BatchNormalization", "r s o m v")],
        constants=KERNEL | {"s": weights(8), "o": weights(8), "m": weights(8), "v": np.abs(weights(8))},
    ),
    "batch normalisation of the input": Case(
        [node("BatchNormalization", "x s o m v")],
        constants={"s": weights(4), "o": weights(4), "m": weights(4), "v": np.abs(weights(4))},
    ),
    "conv over one axis": Case([node("Conv", "x w b", pads=[1, 2], strides=[2])], (4, 9), {"w": weights(8, 4, 5), "b": weights(8)}),
    "conv over one axis and what follows": Case(
        [
            node("Conv", "x w", "c", pads=[1, 1]),
            node("BatchNormalization", "c s o m v", "n"),
            node("Relu", "n", "r"),
            node("MaxPool", "r", "p", kernel_shape=[3], strides=[2], pads=[1, 1]),
            node("Conv", "p d", "q", group=8, pads=[1, 1]),
            node("AveragePool", "q", "a", kernel_shape=[2], strides=[2]),
            node("GlobalAveragePool", "a"),
        ],
        (4, 12),
        {
            "w": weights(8, 4, 3),
            "d": weights(8, 1, 3),
            "s": weights(8),
            "o": weights(8),
            "m": weights(8),
            "v": np.abs(weights(8)),
        },
    ),
    "instance norm": Case([INTO, node("InstanceNormalization", "c s o")], constants=KERNEL | {"s": weights(8), "o": weights(8)}),
    "largest of windows": Case([node("MaxPool", kernel_shape=[2, 2], strides=[2, 2])]),
    "largest, padded, below 0": Case([node("MaxPool", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])], (4, 8, 8)),
    "largest, padded, behind a ReLU": Case(
        [INTO, POSITIVE, node("MaxPool", "r", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])], (4, 8, 8), KERNEL
    ),
    "largest, last window beyond": Case([node("MaxPool", kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1)], (4, 7, 5)),
    "mean of windows": Case([node("AveragePool", kernel_shape=[2, 2], strides=[2, 2])]),
    "mean, last window beyond": Case([node("AveragePool", kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1)], (4, 7, 5)),
    "mean, padding counted": Case([node("AveragePool", kernel_shape=[3, 3], pads=[1, 1, 1, 1], count_include_pad=1)]),
    "mean, padding not counted": Case([node("AveragePool", kernel_shape=[3, 3], pads=[1, 1, 1, 1])]),
    "mean of a channel, dense": Case(
        [INTO, node("GlobalAveragePool", "c", "g"), node("Flatten", "g", "f"), node("Gemm", "f m v", transB=1)],
        constants=KERNEL | {"m": weights(3, 8), "v": weights(3)},
    ),
    "largest of a channel": Case([INTO, node("GlobalMaxPool", "c")], constants=KERNEL),
    "dense behind a flattened image": Case(
        [INTO, node("Flatten", "c", "f"), node("Gemm", "f m", alpha=0.5)], constants=KERNEL | {"m": weights(240, 3)}
    ),
    "a shape computed from the batch": Case(
        [
            node("Shape", "x", "s"),
            node("Gather", "s zero", "n"),
            node("Concat", "n rest", "to", axis=0),
            INTO,
            node("Reshape", "c to"),
        ],
        constants=KERNEL | {"zero": whole(0), "rest": whole(-1)},
    ),
    "matrices": Case([node("MatMul", "x m", "h"), node("Add", "h v")], (7, 5), {"m": weights(5, 3), "v": weights(3)}),
    "matrices of two values": Case([node("Transpose", "x", "t", perm=[0, 2, 1]), node("MatMul", "x t")], (7, 5)),
    "layer norm": Case([node("LayerNormalization", "x s b", axis=-1)], (7, 5), {"s": weights(5), "b": weights(5)}),
    "residual": Case(
        [INTO, POSITIVE, node("Conv", "r w2", "d", pads=[1, 1, 1, 1]), node("Add", "d c", "a"), node("Relu", "a")],
        constants=KERNEL | {"w2": weights(8, 8, 3, 3)},
    ),
    "squeeze and excite": Case(
        [
            INTO,
            node("GlobalAveragePool", "c", "g"),
            node("Conv", "g w1", "e"),
            node("HardSigmoid", "e", "h", alpha=1 / 6, beta=0.5),
            node("Mul", "c h"),
        ],
        constants=KERNEL | {"w1": weights(8, 8, 1, 1)},
    ),
    "a scale for each channel": Case([INTO, node("Mul", "c s")], constants=KERNEL | {"s": weights(8, 1, 1)}),
    "a scale for each column": Case([INTO, node("Mul", "c s")], constants=KERNEL | {"s": weights(5)}),
    "a number": Case([INTO, node("Div", "c s")], constants=KERNEL | {"s": np.float32(3)}),
    "two orders meet": Case([INTO, node("Add", "c x2")], constants=KERNEL | {"x2": weights(1, 8, 6, 5)}),
    "clip to 6": Case([INTO, node("Clip", "c low high")], constants=KERNEL | {"low": np.float32(0), "high": np.float32(6)}),
    "clip to odd limits": Case([INTO, node("Clip", "c low high")], constants=KERNEL | {"low": np.float32(-0.3), "high": np.float32(0.7)}),
    "clip from -1 to 1": Case([node("Clip", "x low high")], constants={"low": np.float32(-1), "high": np.float32(1)}),
    "a ReLU of what two take": Case([INTO, POSITIVE, node("Sub", "r c")], constants=KERNEL),
    "swish": Case([INTO, node("Sigmoid", "c", "g"), node("Mul", "c g")], constants=KERNEL),
    "hard swish": Case([INTO, node("HardSwish", "c")], constants=KERNEL),
    "hard sigmoid of its own slope": Case([node("HardSigmoid", "x")]),
    "leaky": Case([INTO, node("LeakyRelu", "c", alpha=0.1)], constants=KERNEL),
    "elu": Case([node("Elu")]),
    "elu of its own slope": Case([INTO, node("Elu", "c", alpha=0.5)], constants=KERNEL),
    "selu": Case([INTO, node("Selu", "c")], constants=KERNEL),
    "celu": Case([node("Celu", alpha=0.5)]),
    "softplus and mish": Case([INTO, node("Softplus", "c", "p"), node("Mish", "p")], constants=KERNEL),
    "a slope for each channel": Case([INTO, node("PRelu", "c s")], constants=KERNEL | {"s": weights(8, 1, 1)}),
    "a slope for each channel of the input": Case([node("PRelu", "x s")], constants={"s": weights(4, 1, 1)}),
    "one slope": Case([INTO, node("PRelu", "c s")], constants=KERNEL | {"s": weights(1)}),
    "three at once": Case([INTO, POSITIVE, node("Neg", "c", "n"), node("Max", "c n r", "m"), node("Sum", "m c n")], constants=KERNEL),
    "gelu": Case([node("Gelu")], (7, 5)),
    "tanh, exp, log": Case([node("Exp", "x", "e"), node("Log", "e", "l"), node("Tanh", "l")]),
    "reciprocal and root": Case([node("Exp", "x", "e"), node("Sqrt", "e", "q"), node("Reciprocal", "q")]),
    "one of two": Case(
        [INTO, node("Greater", "c zero", "g"), node("Exp", "c", "e"), node("Where", "g c e")], constants=KERNEL | {"zero": np.float32(0)}
    ),
    "softmax": Case([node("Softmax", axis=1)], (9,)),
    "softmax over channels": Case([INTO, node("Softmax", "c", axis=1)], constants=KERNEL),
    "softmax over rows": Case([INTO, node("LogSoftmax", "c", axis=2)], constants=KERNEL),
    "mean of rows and columns": Case([INTO, node("ReduceMean", "c a", keepdims=0)], constants=KERNEL | {"a": whole(2, 3)}),
    "mean of channels": Case([INTO, node("ReduceMean", "c a")], constants=KERNEL | {"a": whole(1)}),
    "joined channels": Case([INTO, POSITIVE, node("Concat", "c r", axis=1)], constants=KERNEL),
    "some channels": Case([INTO, node("Slice", "c from to axes")], constants=KERNEL | {"from": whole(2), "to": whole(7), "axes": whole(1)}),
    "every second column": Case(
        [node("Slice", "x from to axes by")], constants={"from": whole(1), "to": whole(9), "axes": whole(-1), "by": whole(2)}
    ),
    "parts": Case([INTO, node("Split", "c", "p q", axis=1, num_outputs=2), node("Mul", "p q")], constants=KERNEL),
    "padded by itself": Case([node("Pad", "x p v")], constants={"p": whole(0, 0, 1, 2, 0, 0, 0, 1), "v": np.float32(0.5)}),
    "reflected": Case([INTO, node("Pad", "c p", mode="reflect")], constants=KERNEL | {"p": whole(0, 0, 1, 2, 0, 0, 0, 1)}),
    "channels last from the start": Case(
        [node("Transpose", "x", "t", perm=[0, 3, 1, 2]), node("Conv", "t w b", "c"), node("Transpose", "c", perm=[0, 2, 3, 1])],
        (6, 5, 4),
        KERNEL,
    ),
    "a ReLU of a difference, a quotient and windows": Case(
        [
            INTO,
            node("Sub", "c w1", "s"),
            node("Relu", "s", "r"),
            node("Div", "r w1", "d"),
            node("Relu", "d", "e"),
            node("AveragePool", "e", "a", kernel_shape=[2, 2]),
            node("Clip", "a low high", "p"),
            node("MaxPool", "p", "m", kernel_shape=[2, 2]),
            node("Clip", "m low high"),
        ],
        constants=KERNEL | {"w1": weights(8, 1, 1), "low": np.float32(0), "high": np.float32(6)},
    ),
    "a ReLU of joined channels": Case([INTO, POSITIVE, node("Concat", "c r", "j", axis=1), node("Relu", "j")], constants=KERNEL),
    "another order": Case([INTO, node("Transpose", "c", perm=[0, 2, 1, 3])], constants=KERNEL),
    "an axis more, an axis less": Case(
        [node("Unsqueeze", "x one", "u"), node("Squeeze", "u one", "s"), node("Neg", "s")], constants={"one": whole(1)}
    ),
    "words": Case(
        [node("Gather", "table x", "e"), node("ReduceMean", "e a", keepdims=0)], (7,), {"table": weights(5, 3), "a": whole(1)}, "int64"
    ),
    "a place that is a number as well": Case([node("Gather", "x p", "g", axis=1), node("Add", "g p")], (7, 5), {"p": whole(-1)}, "int64"),
    "the last of a sequence": Case([node("Gather", "x last", axis=1)], (7, 5), {"last": whole(-1)}),
    "the largest's number": Case([node("ArgMax", axis=1, keepdims=0)], (9,)),
    "three samples a call": Case([INTO, node("Flatten", "c")], constants=KERNEL, batch=3),
}


def spec(value: Any) -> TensorSpec:
    tensor = value.type.tensor_type
    sizes = tuple(
        axis.dim_value if axis.HasField("dim_value") else ("batch", "?")[number > 0] for number, axis in enumerate(tensor.shape.dim)
    )
    return TensorSpec(value.name, helper.tensor_dtype_to_np_dtype(tensor.elem_type).name, sizes)


def written(case: Case, folder: Path, *, batch: int | None = None) -> tuple[Any, Graph]:
    model = case.model()
    path = folder / "model.onnx"
    onnx.save(model, path)
    fixed = None if case.batch == "batch" else int(case.batch)
    answer = TensorSpec("y", *_answer(case, model))
    signature = Signature((spec(model.graph.input[0]),), (answer,), fixed)
    return model, Graph("onnx", path, signature, "test")


def _answer(case: Case, model: Any) -> tuple[str, tuple[int | str, ...]]:
    (found,) = ReferenceEvaluator(model).run(None, case.feeds(1 if case.batch == "batch" else int(case.batch)))
    return found.dtype.name, (case.batch, *found.shape[1:])

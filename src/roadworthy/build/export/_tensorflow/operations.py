"""A program with the channels last (``build/nhwc``) as TensorFlow operations: what an ONNX graph becomes in a SavedModel."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from roadworthy.build.nhwc.program import NO_TENSOR, NhwcOperator, NhwcProgram
from roadworthy.core.errors import StepFailed
from roadworthy.core.types import Array
from roadworthy.frameworks.tensorflow import framework


@dataclass(frozen=True)
class TensorFlowCall:
    """One operator: its operands as tensors, None where one was left out, and as arrays where they are constants; its options.

    ``dtype`` is that of the result.
    """

    operator: NhwcOperator
    tensors: tuple[Any, ...]
    arrays: tuple[Array | None, ...]
    dtype: str

    @property
    def options(self) -> Mapping[str, Any]:
        return self.operator.options

    def constant(self, number: int) -> Array:
        """The operand of that number, which has to be a constant: weights are, and sizes."""
        array = self.arrays[number]
        if array is None:
            raise StepFailed(f"{self.operator.origin}: it computes an operand that TensorFlow's operation needs as a constant")
        return array

    @property
    def strides(self) -> tuple[int, int]:
        return self.options["strideH"], self.options["strideW"]

    @property
    def dilations(self) -> tuple[int, int]:
        return self.options.get("dilationHFactor", 1), self.options.get("dilationWFactor", 1)


Operation = Callable[[Any, TensorFlowCall], Any]


def function_of(program: NhwcProgram) -> Callable[..., list[Any]]:
    """``program`` as a function of TensorFlow tensors in the order of its inputs, which gives tensors in the order of its outputs.

    Raises StepFailed, with the ONNX node, for an operator that is not among ``OPERATIONS``.
    """
    tf = framework.framework()
    lacking = {operator.code: operator.origin for operator in reversed(program.operators) if operator.code not in OPERATIONS}
    if lacking:
        words = ", ".join(f"{code} for {origin}" for code, origin in sorted(lacking.items()))
        raise StepFailed(f"operators that are not written as TensorFlow operations: {words}")

    def call(*arguments: Any) -> list[Any]:
        values = dict(zip(program.inputs.values(), arguments, strict=True))

        def value(number: int) -> Any:
            if number == NO_TENSOR:
                return None
            return values[number] if number in values else tf.constant(program.array(number))

        for operator in program.operators:
            (output,) = operator.outputs
            operands, arrays = (tuple(map(read, operator.inputs)) for read in (value, program.array))
            made = OPERATIONS[operator.code](tf, TensorFlowCall(operator, operands, arrays, program.tensors[output].dtype))
            values[output] = CLAMPED[operator.clamp](tf, made)
        return [value(number) for number in program.outputs.values()]

    return call


CLAMPED: dict[str, Callable[[Any, Any], Any]] = {
    "": lambda tf, value: value,
    "RELU": lambda tf, value: tf.nn.relu(value),
    "RELU6": lambda tf, value: tf.nn.relu6(value),
    "RELU_N1_TO_1": lambda tf, value: tf.clip_by_value(value, -1.0, 1.0),
    "RELU_0_TO_1": lambda tf, value: tf.clip_by_value(value, 0.0, 1.0),
}
"""Keeping a value between two others, by the words that programs have for it."""


def _convolution(tf: Any, call: TensorFlowCall) -> Any:
    """One convolution for each group: TensorFlow's own grouped one fails on the CPU where a bias follows, which it joins with it."""
    filters = call.constant(1).transpose(1, 2, 3, 0)
    groups = call.tensors[0].shape[3] // filters.shape[2]
    images = tf.split(call.tensors[0], groups, axis=3) if groups > 1 else call.tensors[:1]
    parts = zip(images, np.split(filters, groups, axis=3), strict=True)
    made = [tf.nn.conv2d(part, weights, call.strides, call.options["padding"], dilations=call.dilations) for part, weights in parts]
    return tf.nn.bias_add(made[0] if groups == 1 else tf.concat(made, 3), call.tensors[2])


def _depthwise(tf: Any, call: TensorFlowCall) -> Any:
    """The filters of one channel are neighbours in both forms; a dilated filter is written out, with zeros between its numbers."""
    filters, (down, across), each = call.constant(1)[0], call.dilations, call.options["depthMultiplier"]
    if len(set(call.strides)) > 1:
        raise StepFailed(
            f"{call.operator.origin}: each channel by itself with the strides {call.strides}; TensorFlow's has one for both axes"
        )
    height, width, count = filters.shape
    wide = np.zeros(((height - 1) * down + 1, (width - 1) * across + 1, count), filters.dtype)
    wide[::down, ::across] = filters
    weights = wide.reshape(*wide.shape[:2], count // each, each)
    made = tf.nn.depthwise_conv2d(call.tensors[0], weights, (1, *call.strides, 1), call.options["padding"])
    return tf.nn.bias_add(made, call.tensors[2])


def _pooling(kind: str) -> Operation:
    def pool(tf: Any, call: TensorFlowCall) -> Any:
        window = call.options["filterHeight"], call.options["filterWidth"]
        return getattr(tf.nn, kind)(call.tensors[0], window, call.strides, call.options["padding"])

    return pool


def _dense(tf: Any, call: TensorFlowCall) -> Any:
    weights = call.constant(1)
    given = call.tensors[0]
    rows = given if call.options["keepNumDims"] else tf.reshape(given, [-1, weights.shape[1]])
    made = tf.tensordot(rows, weights.T, 1) if rows.shape.rank != 2 else tf.linalg.matmul(rows, weights.T.copy())
    return made if call.tensors[2] is None else tf.nn.bias_add(made, call.tensors[2])


def _matrices(tf: Any, call: TensorFlowCall) -> Any:
    return tf.linalg.matmul(*call.tensors)


def _reduced(kind: str) -> Operation:
    return lambda tf, call: getattr(tf, kind)(call.tensors[0], call.constant(1).tolist(), keepdims=call.options["keepDims"])


def _slice(tf: Any, call: TensorFlowCall) -> Any:
    masks = {"begin_mask": call.options["beginMask"], "end_mask": call.options["endMask"]}
    return tf.strided_slice(*call.tensors, **masks)


def _largest(tf: Any, call: TensorFlowCall) -> Any:
    return tf.argmax(call.tensors[0], int(call.constant(1)[0]), output_type=call.dtype)


def _below_by_factor(tf: Any, call: TensorFlowCall) -> Any:
    x, factor = call.tensors
    return tf.maximum(x, 0.0) + factor * tf.minimum(x, 0.0)


def _padded(tf: Any, call: TensorFlowCall) -> Any:
    value = call.tensors[2][0] if len(call.tensors) > 2 else 0
    return tf.pad(call.tensors[0], call.tensors[1], constant_values=value)


def _plain(name: str) -> Operation:
    """An operation of all operands that has no options, by its name below ``tf``."""

    def apply(tf: Any, call: TensorFlowCall) -> Any:
        found = tf
        for part in name.split("."):
            found = getattr(found, part)
        return found(*call.tensors)

    return apply


def _clamped(word: str) -> Operation:
    return lambda tf, call: CLAMPED[word](tf, call.tensors[0])


PLAIN = {
    "ADD": "add", "SUB": "subtract", "MUL": "multiply", "DIV": "divide", "POW": "pow", "MAXIMUM": "maximum", "MINIMUM": "minimum",
    "GREATER": "greater", "LESS": "less", "SELECT_V2": "where", "EXP": "exp", "LOG": "math.log", "SQRT": "sqrt", "RSQRT": "math.rsqrt",
    "NEG": "negative", "ABS": "abs", "FLOOR": "floor", "TANH": "tanh", "LOGISTIC": "sigmoid",
    "ELU": "nn.elu", "SOFTMAX": "nn.softmax", "LOG_SOFTMAX": "nn.log_softmax", "RESHAPE": "reshape", "TRANSPOSE": "transpose",
}  # fmt: skip
OPERATIONS: dict[str, Operation] = {
    **{code: _plain(name) for code, name in PLAIN.items()},
    **{code: _clamped(code) for code in CLAMPED if code},
    "CONV_2D": _convolution, "DEPTHWISE_CONV_2D": _depthwise, "MAX_POOL_2D": _pooling("max_pool2d"),
    "AVERAGE_POOL_2D": _pooling("avg_pool2d"), "FULLY_CONNECTED": _dense, "BATCH_MATMUL": _matrices,
    "MEAN": _reduced("reduce_mean"), "SUM": _reduced("reduce_sum"), "REDUCE_MAX": _reduced("reduce_max"),
    "REDUCE_MIN": _reduced("reduce_min"), "ARG_MAX": _largest, "STRIDED_SLICE": _slice, "PRELU": _below_by_factor,
    "PAD": _padded, "PADV2": _padded,
    "MIRROR_PAD": lambda tf, call: tf.pad(*call.tensors, mode="REFLECT"),
    "HARD_SWISH": lambda tf, call: call.tensors[0] * tf.nn.relu6(call.tensors[0] + 3.0) * np.float32(1 / 6),
    "LEAKY_RELU": lambda tf, call: tf.nn.leaky_relu(call.tensors[0], call.options["alpha"]),
    "GELU": lambda tf, call: tf.nn.gelu(call.tensors[0], approximate=call.options["approximate"]),
    "CONCATENATION": lambda tf, call: tf.concat(call.tensors, call.options["axis"]),
    "GATHER": lambda tf, call: tf.gather(*call.tensors, axis=call.options["axis"]),
    "CAST": lambda tf, call: tf.cast(call.tensors[0], call.dtype),
}  # fmt: skip

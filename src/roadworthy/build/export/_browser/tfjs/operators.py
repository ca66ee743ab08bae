"""Each operator of a program with the channels last as nodes of TensorFlow.js."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from roadworthy.build.export._browser.tfjs.graph_model import DTYPES, GraphModel
from roadworthy.build.nhwc.program import NO_TENSOR, NhwcOperator, NhwcProgram, NhwcTensor
from roadworthy.core.errors import StepFailed
from roadworthy.core.types import Array

UNARY = {
    "LOGISTIC": "Sigmoid", "TANH": "Tanh", "EXP": "Exp", "LOG": "Log", "SQRT": "Sqrt", "RSQRT": "Rsqrt", "NEG": "Neg", "ABS": "Abs",
    "FLOOR": "Floor", "ELU": "Elu", "RELU": "Relu", "RELU6": "Relu6", "SOFTMAX": "Softmax", "LOG_SOFTMAX": "LogSoftmax",
}  # fmt: skip
PLAIN = {
    "ADD": "AddV2", "SUB": "Sub", "MUL": "Mul", "DIV": "RealDiv", "MAXIMUM": "Maximum", "MINIMUM": "Minimum", "POW": "Pow",
    "GREATER": "Greater", "LESS": "Less", "SELECT_V2": "SelectV2", "BATCH_MATMUL": "BatchMatMulV2", "PAD": "Pad",
    "TRANSPOSE": "Transpose", "RESHAPE": "Reshape",
}  # fmt: skip
"""Operators whose inputs are those of one node, which has no attributes."""
REDUCTIONS = {"MEAN": "Mean", "SUM": "Sum", "REDUCE_MAX": "Max", "REDUCE_MIN": "Min"}
FUSED = {"RELU": "Relu", "RELU6": "Relu6"}
"""What a convolution or a dense layer does with its own result."""
LIMITS = {"RELU_N1_TO_1": (-1.0, 1.0), "RELU_0_TO_1": (0.0, 1.0)}
MOVING = ("CAST", "RESHAPE", "TRANSPOSE", "STRIDED_SLICE", "GATHER", "CONCATENATION")
"""Operators that compute nothing, and so take whole numbers of any width."""
NARROW = ("int8", "uint8")


class TfjsTranslation:
    """Which node holds which tensor of the program."""

    def __init__(self, program: NhwcProgram) -> None:
        self.program = program
        self.model = GraphModel()
        self.values = {number: self.model.placeholder(program.tensors[number]) for number in program.inputs.values()}

    def value(self, number: int) -> str:
        """The node of a tensor; a constant's is made when it is first asked for."""
        if number not in self.values:
            self.values[number] = self.model.constant(self.array(number))
        return self.values[number]

    def array(self, number: int) -> Array:
        """The numbers of a constant."""
        array = self.program.array(number)
        if array is None:
            raise StepFailed(f"{self.program.origin}: weights that are computed, where TensorFlow.js's file holds constants")
        return array

    def tensor(self, number: int) -> NhwcTensor:
        return self.program.tensors[number]

    def carry_out(self, operator: NhwcOperator) -> None:
        """Make the nodes of ``operator``. Raises StepFailed, which names the ONNX node, where TensorFlow.js has none of that function."""
        handler = HANDLERS.get(operator.code)
        if handler is None:
            raise StepFailed(f"{operator.origin}: TensorFlow.js's file has no {operator.code} here")
        dtypes = {self.tensor(number).dtype for number in (*operator.inputs, *operator.outputs) if number != NO_TENSOR}
        if operator.code not in MOVING and dtypes.intersection(NARROW):
            raise StepFailed(f"{operator.origin}: it computes in {'/'.join(sorted(dtypes))}, where TensorFlow.js has int32 alone")
        if operator.code == "DIV" and dtypes != {"float32"}:
            raise StepFailed(f"{operator.origin}: a quotient of whole numbers, which TensorFlow.js rounds another way")
        self.values[operator.outputs[0]] = handler(self, operator)

    def clamped(self, value: str, clamp: str) -> str:
        """The value kept between the two limits of ``clamp``, by a node of its own; the value itself where it is empty."""
        if clamp in LIMITS:
            return self.model.node("ClipByValue", (value, *map(self.model.number, LIMITS[clamp])))
        return self.model.node(UNARY[clamp], (value,)) if clamp else value


TfjsHandler: TypeAlias = Callable[[TfjsTranslation, NhwcOperator], str]


def unary(to: TfjsTranslation, operator: NhwcOperator) -> str:
    return to.model.node(UNARY[operator.code], (to.value(operator.inputs[0]),))


def limits(to: TfjsTranslation, operator: NhwcOperator) -> str:
    return to.clamped(to.value(operator.inputs[0]), operator.code)


def plain(to: TfjsTranslation, operator: NhwcOperator) -> str:
    return to.clamped(to.model.node(PLAIN[operator.code], map(to.value, operator.inputs)), operator.clamp)


def leaky(to: TfjsTranslation, operator: NhwcOperator) -> str:
    return to.model.node("LeakyRelu", (to.value(operator.inputs[0]),), alpha=float(operator.options["alpha"]))


def prelu(to: TfjsTranslation, operator: NhwcOperator) -> str:
    """``max(x, 0) + slope * min(x, 0)``: the node Prelu on wasm takes every slope for one of the last axis, without a word."""
    x, slope = map(to.value, operator.inputs)
    model = to.model
    below = model.node("Mul", (slope, model.node("Minimum", (x, model.number(0.0)))))
    return model.node("AddV2", (model.node("Relu", (x,)), below))


def hard_swish(to: TfjsTranslation, operator: NhwcOperator) -> str:
    """``x * min(max(x + 3, 0), 6) / 6``."""
    x, model = to.value(operator.inputs[0]), to.model
    six = model.node("Relu6", (model.node("AddV2", (x, model.number(3.0))),))
    return model.node("Mul", (model.node("Mul", (x, six)), model.number(1 / 6)))


def gelu(to: TfjsTranslation, operator: NhwcOperator) -> str:
    """``x / 2 * (1 + erf(x / sqrt(2)))``, or by tanh where the model has that approximation."""
    x, model = to.value(operator.inputs[0]), to.model
    if operator.options["approximate"]:
        cube = model.node("Mul", (model.node("Mul", (x, x)), x))
        inner = model.node("AddV2", (x, model.node("Mul", (cube, model.number(0.044715)))))
        curve = model.node("Tanh", (model.node("Mul", (inner, model.number(float(np.sqrt(2 / np.pi))))),))
    else:
        curve = model.node("Erf", (model.node("Mul", (x, model.number(float(np.sqrt(0.5))))),))
    return model.node("Mul", (model.node("Mul", (x, model.number(0.5))), model.node("AddV2", (curve, model.number(1.0)))))


def convolution(to: TfjsTranslation, operator: NhwcOperator) -> str:
    """One node; for several groups one node each, on its part of the channels."""
    image, weights, bias = operator.inputs
    array, added = to.array(weights).transpose(1, 2, 3, 0), to.array(bias)
    groups = int(to.tensor(image).shape[3] or array.shape[2]) // array.shape[2]
    if groups == 1:
        return _convolution(to, operator, "_FusedConv2D", to.value(image), array, added)
    each = array.shape[2]
    parts = [
        _convolution(to, operator, "_FusedConv2D", _channels(to, image, number * each, each), filters, its)
        for number, (filters, its) in enumerate(zip(np.split(array, groups, axis=3), np.split(added, groups), strict=True))
    ]
    return to.model.node("ConcatV2", (*parts, to.model.numbers((3,))), N=groups)


def _channels(to: TfjsTranslation, image: int, first: int, count: int) -> str:
    begin, end = to.model.numbers((0, 0, 0, first)), to.model.numbers((0, 0, 0, first + count))
    return to.model.node("StridedSlice", (to.value(image), begin, end, to.model.numbers((1,) * 4)), begin_mask=7, end_mask=7)


def depthwise(to: TfjsTranslation, operator: NhwcOperator) -> str:
    image, weights, bias = operator.inputs
    _, height, width, filters = to.array(weights).shape
    multiplier = int(operator.options["depthMultiplier"])
    array = to.array(weights).reshape(height, width, filters // multiplier, multiplier)
    return _convolution(to, operator, "FusedDepthwiseConv2dNative", to.value(image), array, to.array(bias))


def _convolution(to: TfjsTranslation, operator: NhwcOperator, op: str, image: str, weights: Array, bias: Array) -> str:
    options = operator.options
    strides, dilations = (options["strideH"], options["strideW"]), (options["dilationHFactor"], options["dilationWFactor"])
    if max(strides) > 1 and max(dilations) > 1:
        raise StepFailed(f"{operator.origin}: strides and dilations at once, of which TensorFlow.js takes one")
    fused = ["BiasAdd", *([FUSED[operator.clamp]] if operator.clamp in FUSED else [])]
    made = to.model.node(
        op, (image, to.model.constant(weights), to.model.constant(bias)), strides=[1, *strides, 1], dilations=[1, *dilations, 1],
        padding=options["padding"], data_format="NHWC", fused_ops=fused, num_args=1,
    )  # fmt: skip
    return to.clamped(made, "" if operator.clamp in FUSED else operator.clamp)


def dense(to: TfjsTranslation, operator: NhwcOperator) -> str:
    """A product of matrices; an input of more axes is one of two axes in between."""
    source, weights, bias = operator.inputs
    value, shape = to.value(source), to.tensor(source).shape
    deep = len(shape) > 2
    if deep:
        value = to.model.node("Reshape", (value, to.model.numbers((-1, int(shape[-1] or -1)))))
    matrix, fused = to.model.constant(to.array(weights).T), [FUSED[operator.clamp]] if operator.clamp in FUSED else []
    if bias == NO_TENSOR:
        made, fused = to.model.node("MatMul", (value, matrix)), []
    else:
        made = to.model.node("_FusedMatMul", (value, matrix, to.value(bias)), fused_ops=["BiasAdd", *fused], num_args=1)
    made = to.clamped(made, "" if fused else operator.clamp)
    if not deep:
        return made
    return to.model.node("Reshape", (made, to.model.numbers(-1 if size is None else size for size in to.tensor(operator.outputs[0]).shape)))


def pooling(to: TfjsTranslation, operator: NhwcOperator) -> str:
    options, op = operator.options, "MaxPool" if operator.code == "MAX_POOL_2D" else "AvgPool"
    made = to.model.node(
        op, (to.value(operator.inputs[0]),), ksize=[1, options["filterHeight"], options["filterWidth"], 1],
        strides=[1, options["strideH"], options["strideW"], 1], padding=options["padding"],
    )  # fmt: skip
    return to.clamped(made, operator.clamp)


def reduction(to: TfjsTranslation, operator: NhwcOperator) -> str:
    return to.model.node(REDUCTIONS[operator.code], map(to.value, operator.inputs), keep_dims=bool(operator.options["keepDims"]))


def argmax(to: TfjsTranslation, operator: NhwcOperator) -> str:
    (axis,) = to.array(operator.inputs[1]).tolist()
    return to.model.node("ArgMax", (to.value(operator.inputs[0]), to.model.constant(np.array(axis, np.int32))))


def concat(to: TfjsTranslation, operator: NhwcOperator) -> str:
    axis = to.model.constant(np.array(operator.options["axis"], np.int32))
    return to.model.node("ConcatV2", (*map(to.value, operator.inputs), axis), N=len(operator.inputs))


def cut(to: TfjsTranslation, operator: NhwcOperator) -> str:
    masks = {"begin_mask": int(operator.options["beginMask"]), "end_mask": int(operator.options["endMask"])}
    return to.model.node("StridedSlice", map(to.value, operator.inputs), **masks)


def gather(to: TfjsTranslation, operator: NhwcOperator) -> str:
    axis = to.model.constant(np.array(operator.options["axis"], np.int32))
    return to.model.node("GatherV2", (*map(to.value, operator.inputs), axis))


def padded(to: TfjsTranslation, operator: NhwcOperator) -> str:
    """With a number around; the node takes it without axes."""
    source, around, number = operator.inputs
    return to.model.node("PadV2", (to.value(source), to.value(around), to.model.number(float(to.array(number).reshape(-1)[0]))))


def reflected(to: TfjsTranslation, operator: NhwcOperator) -> str:
    return to.model.node("MirrorPad", map(to.value, operator.inputs), mode=str(operator.options["mode"]).lower())


def cast(to: TfjsTranslation, operator: NhwcOperator) -> str:
    given, wanted = operator.options["inDataType"], operator.options["outDataType"]
    if wanted in NARROW:
        raise StepFailed(f"{operator.origin}: to {wanted}, which TensorFlow.js has not")
    value = to.value(operator.inputs[0])
    return value if DTYPES[given] == DTYPES[wanted] else to.model.cast(value, wanted)


HANDLERS: dict[str, TfjsHandler] = {
    **dict.fromkeys(UNARY, unary), **dict.fromkeys(LIMITS, limits), **dict.fromkeys(PLAIN, plain), **dict.fromkeys(REDUCTIONS, reduction),
    "LEAKY_RELU": leaky, "PRELU": prelu, "HARD_SWISH": hard_swish, "GELU": gelu, "CONV_2D": convolution, "DEPTHWISE_CONV_2D": depthwise,
    "FULLY_CONNECTED": dense, "MAX_POOL_2D": pooling, "AVERAGE_POOL_2D": pooling, "ARG_MAX": argmax, "CONCATENATION": concat,
    "STRIDED_SLICE": cut, "GATHER": gather, "PADV2": padded, "MIRROR_PAD": reflected, "CAST": cast,
}  # fmt: skip

"""Operators that work on each number by itself, in whichever order of axes it is there."""

from __future__ import annotations

import numpy as np

from roadworthy.build.lower._tflite.file import DTYPES
from roadworthy.build.lower._tflite.onnx_graph import Node
from roadworthy.build.lower._tflite.translation import Handler, OnnxTranslation, to_last
from roadworthy.core.errors import StepFailed

UNARY = {
    "Sigmoid": "LOGISTIC", "Tanh": "TANH", "Exp": "EXP", "Log": "LOG", "Sqrt": "SQRT", "Neg": "NEG", "Abs": "ABS", "Elu": "ELU",
    "HardSwish": "HARD_SWISH", "Floor": "FLOOR",
}  # fmt: skip
BINARY = {"Add": "ADD", "Sub": "SUB", "Mul": "MUL", "Div": "DIV", "Max": "MAXIMUM", "Min": "MINIMUM", "Pow": "POW"}
CLAMPS = {(0.0, np.inf): "RELU", (0.0, 6.0): "RELU6", (-1.0, 1.0): "RELU_N1_TO_1", (0.0, 1.0): "RELU_0_TO_1"}


def unary(to: OnnxTranslation, node: Node) -> None:
    if node.op == "Elu" and node.attributes.get("alpha", 1.0) != 1.0:
        raise StepFailed(f"{node}: LiteRT's ELU has the alpha 1 alone")
    _same(to, node, UNARY[node.op])


def _same(to: OnnxTranslation, node: Node, code: str, **options: object) -> None:
    """One operator whose output has the order of axes of its input."""
    last = to.is_last(node.input(0))
    to.add(code, (to.tensor(node.input(0), last),), node.outputs[0], last=last, **options)


def relu(to: OnnxTranslation, node: Node) -> None:
    _clamped(to, node, 0.0, np.inf)


def clip(to: OnnxTranslation, node: Node) -> None:
    """Clip; its limits are constants, or attributes in files of older operator sets."""
    limits = [
        float(to.constant(node.input(number), node).reshape(-1)[0]) if node.input(number) else float(node.attributes.get(word, default))
        for number, word, default in ((1, "min", -np.inf), (2, "max", np.inf))
    ]
    _clamped(to, node, *limits)


def _clamped(to: OnnxTranslation, node: Node, low: float, high: float) -> None:
    """Values kept between two limits: by the operator before, where it can, or by one operator, or by two."""
    name, output = node.input(0), node.outputs[0]
    if low >= 0:
        to.positive.add(output)
    last = to.is_last(name)
    joined = to.clamp(name, low, high)
    if joined is not None:
        to.put(output, joined, last=last)
    elif (low, high) in CLAMPS:
        _same(to, node, CLAMPS[low, high])
    else:
        tensor, shape, dtype = to.tensor(name, last), to.ordered(name, last), to.graph.dtypes[name]
        for code, limit in (("MAXIMUM", low), ("MINIMUM", high)):
            if np.isfinite(limit):
                tensor = to.made(code, (tensor, to.file.constant(np.array([limit], dtype))), shape, dtype)
        to.put(output, tensor, last=last)


def leaky(to: OnnxTranslation, node: Node) -> None:
    _same(to, node, "LEAKY_RELU", alpha=node.attributes.get("alpha", 0.01))


def gelu(to: OnnxTranslation, node: Node) -> None:
    _same(to, node, "GELU", approximate=node.attributes.get("approximate", "none") == "tanh")


def hard_sigmoid(to: OnnxTranslation, node: Node) -> None:
    """``x * alpha + beta`` between 0 and 1; as RELU6 of six times that, which LiteRT joins with the sum."""
    name, output = node.input(0), node.outputs[0]
    last = to.is_last(name)
    x, shape = to.tensor(name, last), to.ordered(name, last)
    alpha, beta = float(node.attributes.get("alpha", 0.2)), float(node.attributes.get("beta", 0.5))
    if not np.isclose(alpha * 6, 1):
        x = to.made("MUL", (x, to.number(alpha * 6)), shape)
    six = to.made("ADD", (x, to.number(beta * 6)), shape)
    to.add("MUL", (to.made("RELU6", (six,), shape), to.number(1 / 6)), output, last=last)
    to.positive.add(output)


def binary(to: OnnxTranslation, node: Node) -> None:
    """With the channels last where one of the two is there only so, and no axis has to be added to the other."""
    if len(node.inputs) > 2:
        raise StepFailed(f"{node}: of {len(node.inputs)} tensors")
    rank = len(to.shape(node.outputs[0]))
    last = any(to.is_last(name) for name in node.inputs) and rank > 2
    tensors = [_operand(to, name, rank) if last else to.plain(name) for name in node.inputs]
    to.add(BINARY[node.op], tensors, node.outputs[0], last=last)
    if node.op in ("Add", "Mul", "Max"):
        to.keep_positive(node)


def _operand(to: OnnxTranslation, name: str, rank: int) -> int:
    """One of two values with the channels last; one of fewer axes gets the others in front first, as in ONNX."""
    shape = to.shape(name)
    if len(shape) == rank:
        return to.last(name)
    if all(size == 1 for size in shape):
        return to.plain(name)
    wide = (*(1,) * (rank - len(shape)), *shape)
    tensor = to.plain(name)
    if tensor in to.file.arrays:
        return to.file.constant(to.file.arrays[tensor][(None,) * (rank - len(shape))].transpose(to_last(rank)))
    return to.transposed(to.reshaped(tensor, wide, to.graph.dtypes[name]), to_last(rank))


def reciprocal(to: OnnxTranslation, node: Node) -> None:
    last = to.is_last(node.input(0))
    to.add("DIV", (to.number(1.0), to.tensor(node.input(0), last)), node.outputs[0], last=last)


def cast(to: OnnxTranslation, node: Node) -> None:
    dtypes = to.graph.dtypes
    given, wanted = dtypes[node.input(0)], dtypes[node.outputs[0]]
    if {given, wanted} - set(DTYPES):
        raise StepFailed(f"{node}: from {given} to {wanted}")
    if given == wanted:
        identity(to, node)
        return
    _same(to, node, "CAST", inDataType=DTYPES[given], outDataType=DTYPES[wanted])


def identity(to: OnnxTranslation, node: Node) -> None:
    """The same value under another name."""
    last = to.is_last(node.input(0))
    to.put(node.outputs[0], to.tensor(node.input(0), last), last=last)
    to.keep_positive(node)


HANDLERS: dict[str, Handler] = {
    **dict.fromkeys(UNARY, unary), **dict.fromkeys(BINARY, binary), "Relu": relu, "Clip": clip, "LeakyRelu": leaky, "Gelu": gelu,
    "HardSigmoid": hard_sigmoid, "Reciprocal": reciprocal, "Cast": cast, "Identity": identity, "Dropout": identity,
}  # fmt: skip

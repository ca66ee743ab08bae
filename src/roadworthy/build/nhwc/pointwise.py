"""Operators that work on each number by itself, in whichever order of axes it is there."""

from __future__ import annotations

import numpy as np

from roadworthy.build.nhwc.program import CLAMPS, DTYPES
from roadworthy.build.nhwc.translation import Handler, OnnxTranslation, to_last
from roadworthy.build.onnx_graph import Node
from roadworthy.core.errors import StepFailed

UNARY = {
    "Sigmoid": "LOGISTIC", "Tanh": "TANH", "Exp": "EXP", "Log": "LOG", "Sqrt": "SQRT", "Neg": "NEG", "Abs": "ABS",
    "HardSwish": "HARD_SWISH", "Floor": "FLOOR",
}  # fmt: skip
BINARY = {
    "Add": "ADD", "Sum": "ADD", "Sub": "SUB", "Mul": "MUL", "Div": "DIV", "Max": "MAXIMUM", "Min": "MINIMUM", "Pow": "POW",
    "Greater": "GREATER", "Less": "LESS",
}  # fmt: skip
ALONE = CLAMPS | {(0.0, 1.0): "RELU_0_TO_1"}
"""The operators that keep values between two limits."""


def unary(to: OnnxTranslation, node: Node) -> None:
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
    elif (low, high) in ALONE:
        _same(to, node, ALONE[low, high])
    else:
        tensor, shape, dtype = to.tensor(name, last), to.ordered(name, last), to.graph.dtypes[name]
        for code, limit in (("MAXIMUM", low), ("MINIMUM", high)):
            if np.isfinite(limit):
                tensor = to.apply(code, (tensor, to.program.constant(np.array([limit], dtype))), shape, dtype)
        to.put(output, tensor, last=last)


def elu(to: OnnxTranslation, node: Node) -> None:
    """Elu, Selu and Celu: ``gamma * (max(x, 0) + alpha * (exp(min(x, 0) / width) - 1))``."""
    alpha = float(node.attributes.get("alpha", 1.6732632 if node.op == "Selu" else 1.0))
    gamma = float(node.attributes.get("gamma", 1.050701)) if node.op == "Selu" else 1.0
    width = alpha if node.op == "Celu" else 1.0
    if (alpha, gamma, width) == (1.0, 1.0, 1.0):
        _same(to, node, "ELU")
        return
    name = node.input(0)
    last = to.is_last(name)
    x, shape = to.tensor(name, last), to.ordered(name, last)

    def with_number(code: str, tensor: int, number: float) -> int:
        return to.apply(code, (tensor, to.number(number)), shape)

    below = with_number(
        "MUL", with_number("SUB", to.apply("EXP", (with_number("DIV", with_number("MINIMUM", x, 0.0), width),), shape), 1.0), alpha
    )
    both = to.apply("ADD", (to.apply("RELU", (x,), shape), below), shape)
    to.put(node.outputs[0], both if gamma == 1.0 else with_number("MUL", both, gamma), last=last)


def softplus(to: OnnxTranslation, node: Node) -> None:
    """Softplus, ``max(x, 0) + log(1 + exp(-|x|))``, which is large for no x; and Mish, ``x * tanh(softplus(x))``."""
    name, output = node.input(0), node.outputs[0]
    last = to.is_last(name)
    x, shape = to.tensor(name, last), to.ordered(name, last)
    small = to.apply("EXP", (to.apply("NEG", (to.apply("ABS", (x,), shape),), shape),), shape)
    rest = to.apply("LOG", (to.apply("ADD", (small, to.number(1.0)), shape),), shape)
    summed = to.apply("ADD", (to.apply("RELU", (x,), shape), rest), shape)
    found = to.apply("MUL", (x, to.apply("TANH", (summed,), shape)), shape) if node.op == "Mish" else summed
    to.put(output, found, last=last)


def prelu(to: OnnxTranslation, node: Node) -> None:
    """PRelu: below 0 by a factor, the same for all numbers or one for each channel."""
    factor, last = to.constant(node.input(1), node), to.is_last(node.input(0))
    if factor.size == 1:
        _same(to, node, "LEAKY_RELU", alpha=float(factor.reshape(-1)[0]))
        return
    inputs = to.tensor(node.input(0), last), _operand(to, node.input(1), len(to.shape(node.input(0)))) if last else to.plain(node.input(1))
    to.add("PRELU", inputs, node.outputs[0], last=last)


def leaky(to: OnnxTranslation, node: Node) -> None:
    _same(to, node, "LEAKY_RELU", alpha=node.attributes.get("alpha", 0.01))


def gelu(to: OnnxTranslation, node: Node) -> None:
    _same(to, node, "GELU", approximate=node.attributes.get("approximate", "none") == "tanh")


def hard_sigmoid(to: OnnxTranslation, node: Node) -> None:
    """``x * alpha + beta`` between 0 and 1; as RELU6 of six times that, which can be joined with the sum."""
    name, output = node.input(0), node.outputs[0]
    last = to.is_last(name)
    x, shape = to.tensor(name, last), to.ordered(name, last)
    alpha, beta = float(node.attributes.get("alpha", 0.2)), float(node.attributes.get("beta", 0.5))
    if not np.isclose(alpha * 6, 1):
        x = to.apply("MUL", (x, to.number(alpha * 6)), shape)
    six = to.apply("ADD", (x, to.number(beta * 6)), shape)
    to.add("MUL", (to.apply("RELU6", (six,), shape), to.number(1 / 6)), output, last=last)
    to.positive.add(output)


def binary(to: OnnxTranslation, node: Node) -> None:
    """With the channels last where one of the two is there only so, and no axis has to be added to the other."""
    rank = len(to.shape(node.outputs[0]))
    last = any(to.is_last(name) for name in node.inputs) and rank > 2
    first, *others = [_operand(to, name, rank) if last else to.plain(name) for name in node.inputs]
    if len(others) != 1 and any(to.shape(name) != to.shape(node.outputs[0]) for name in node.inputs):
        raise StepFailed(f"{node}: of {len(node.inputs)} tensors of different shapes")
    for tensor in others[:-1]:
        first = to.apply(BINARY[node.op], (first, tensor), to.ordered(node.outputs[0], last), to.graph.dtypes[node.outputs[0]])
    to.add(BINARY[node.op], (first, *others[-1:]), node.outputs[0], last=last)
    if node.op in ("Add", "Sum", "Mul", "Max"):
        to.keep_positive(node)


def where(to: OnnxTranslation, node: Node) -> None:
    """Where: of two values, by a third."""
    rank = len(to.shape(node.outputs[0]))
    last = any(to.is_last(name) for name in node.inputs) and rank > 2
    tensors = [_operand(to, name, rank) if last else to.plain(name) for name in node.inputs]
    to.add("SELECT_V2", tensors, node.outputs[0], last=last)


def _operand(to: OnnxTranslation, name: str, rank: int) -> int:
    """One of two values with the channels last; one of fewer axes gets the others in front first, as in ONNX."""
    shape = to.shape(name)
    if len(shape) == rank:
        return to.last(name)
    if all(size == 1 for size in shape):
        return to.plain(name)
    wide = (*(1,) * (rank - len(shape)), *shape)
    tensor = to.plain(name)
    array = to.program.array(tensor)
    if array is not None:
        return to.program.constant(array[(None,) * (rank - len(shape))].transpose(to_last(rank)))
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
    _same(to, node, "CAST", inDataType=given, outDataType=wanted)


def identity(to: OnnxTranslation, node: Node) -> None:
    """The same value under another name."""
    last = to.is_last(node.input(0))
    to.put(node.outputs[0], to.tensor(node.input(0), last), last=last)
    to.keep_positive(node)


HANDLERS: dict[str, Handler] = {
    **dict.fromkeys(UNARY, unary), **dict.fromkeys(BINARY, binary), "Relu": relu, "Clip": clip, "LeakyRelu": leaky, "Gelu": gelu,
    **dict.fromkeys(("Elu", "Selu", "Celu"), elu), "Softplus": softplus, "Mish": softplus, "PRelu": prelu, "Where": where,
    "HardSigmoid": hard_sigmoid, "Reciprocal": reciprocal, "Cast": cast, "Identity": identity, "Dropout": identity,
}  # fmt: skip

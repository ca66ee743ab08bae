"""Functions of single numbers and of pairs, in whichever layout their operands have, and softmax."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from roadworthy.build.cpp import values
from roadworthy.build.cpp.network import Handler, Network
from roadworthy.build.cpp.steps import FREE, Fields, Step
from roadworthy.build.cpp.values import Value
from roadworthy.build.onnx_graph import Node
from roadworthy.core.errors import StepFailed
from roadworthy.core.types import Array

UNARY = {
    "LeakyRelu": ("LEAKY_RELU", {"alpha": 0.01}), "Sigmoid": ("SIGMOID", {}), "HardSigmoid": ("HARD_SIGMOID", {"alpha": 0.2, "beta": 0.5}),
    "HardSwish": ("HARD_SWISH", {}), "Tanh": ("TANH", {}), "Elu": ("ELU", {"alpha": 1.0}), "Softplus": ("SOFTPLUS", {}),
    "Erf": ("ERF", {}), "Exp": ("EXP", {}), "Log": ("LOG", {}), "Sqrt": ("SQRT", {}), "Abs": ("ABS", {}), "Neg": ("NEG", {}),
}  # fmt: skip
"""The kernel's word for each operator, and its attributes with their defaults."""
BINARY = {
    "Add": ("ADD", "ADD"), "Sub": ("SUB", "SUB_FROM"), "Mul": ("MUL", "MUL"), "Div": ("DIV", "DIV_INTO"), "Max": ("MAX", "MAX"),
    "Min": ("MIN", "MIN"), "PRelu": ("PRELU", ""),
}  # fmt: skip
"""The kernel's word for each operator, and for the same with its operands exchanged."""


def unary(to: Network, node: Node) -> None:
    word, defaults = UNARY[node.op]
    numbers = [float(node.attributes.get(name, default)) for name, default in defaults.items()]
    _mapped(to, node, word, *numbers)


def gelu(to: Network, node: Node) -> None:
    """Gelu by the error function."""
    if node.attributes.get("approximate", "none") != "none":
        raise StepFailed(f"{node}: generated code has the exact Gelu, and this one is an approximation")
    _mapped(to, node, "GELU")


def _mapped(to: Network, node: Node, word: str, a: float = 0.0, b: float = 0.0) -> None:
    to.sizes(node.outputs[0], node)
    source = to.either(to.stored(node.input(0)))
    output = values.like(source)
    fields: dict[str, object] = {"a": a, "b": b}
    step = Step(f"map<Unary::{word}>", "Map", lambda: {"in": source.image, "out": output.image, **fields}, [source], output)
    to.add(step, node.outputs[0])


def relu(to: Network, node: Node) -> None:
    _clamped(to, node, 0.0, math.inf)


def clip(to: Network, node: Node) -> None:
    """Clip; its limits are constants, or attributes in files of older operator sets."""
    low, high = (
        float(to.constant(node.input(number), node).reshape(-1)[0]) if node.input(number) else float(node.attributes.get(word, default))
        for number, word, default in ((1, "min", -math.inf), (2, "max", math.inf))
    )
    _clamped(to, node, low, high)


def _clamped(to: Network, node: Node, low: float, high: float) -> None:
    """Values kept between two limits, by the step that makes them where it can."""
    before = to.maker(node.input(0))
    if before is None:
        _mapped(to, node, "CLIP", low, high)
        return
    before.limits = low, high
    to.put(node.outputs[0], before.output)


def binary(to: Network, node: Node) -> None:
    """Operators of two operands; Add, Sum, Max and Min of more are done one after the other."""
    op = "Add" if node.op == "Sum" else node.op
    names = list(node.inputs)
    if len(names) == 1:
        to.put(node.outputs[0], replace(to.either(names[0])))
        return
    if len(names) > 2:
        raise StepFailed(f"{node}: it has {len(names)} operands, and generated code takes 2")
    first, second = names
    word, exchanged = BINARY[op]
    if to.is_constant(first) or (not to.is_constant(second) and _count(to, first) < _count(to, second)):
        if not exchanged:
            raise StepFailed(f"{node}: its first operand is smaller than its second")
        first, second, word = second, first, exchanged
    sizes = to.sizes(node.outputs[0], node)
    if to.is_constant(second):
        _with_constant(to, node, word, first, to.constant(second, node))
    elif not (_joined(to, node, first, second) or _swish(to, node, first, second)):
        _with_value(to, node, word, _whole(to, to.either(to.stored(first)), sizes), to.stored(second), to.sizes(second, node))


def _count(to: Network, name: str) -> int:
    return math.prod(size or 1 for size in to.graph.shapes[name])


def _joined(to: Network, node: Node, first: str, second: str) -> bool:
    """Whether it is a sum, and a layer that makes one operand adds the other one itself."""
    if node.op not in ("Add", "Sum") or to.sizes(first, node) != to.sizes(second, node):
        return False
    for name, other in ((first, second), (second, first)):
        maker = to.maker(name)
        if maker is None or not maker.adds or maker.added is not None or name == other:
            continue
        value = to.last(other) if maker.output.last else to.plain(other)
        # What only this operator takes may be computed as late as this.
        to.steps.remove(maker)
        to.steps.append(maker)
        maker.added = value
        to.put(node.outputs[0], maker.output)
        return True
    return False


def _swish(to: Network, node: Node, first: str, second: str) -> bool:
    """Whether it is a value times its own sigmoid, which one step does."""
    if node.op != "Mul":
        return False
    for name, other in ((first, second), (second, first)):
        if other in to.rounded:
            continue
        maker = to.maker(other)
        if maker is None and to.alone(other):
            maker = next((step for step in to.steps if step.output is to.either(other)), None)
        if maker is not None and maker.kernel == "map<Unary::SIGMOID>" and maker.reads[0] is to.either(name) and to.alone(other):
            maker.kernel = "map<Unary::SILU>"
            to.put(node.outputs[0], maker.output)
            return True
    return False


def _whole(to: Network, value: Value, sizes: tuple[int, ...]) -> Value:
    """The value with all ``sizes``: where it has fewer, its numbers are repeated."""
    if value.sizes == sizes:
        return value
    shorter = (1,) * (len(sizes) - len(value.sizes)) + value.sizes
    keep_last = value.last and len(value.sizes) == len(sizes)
    made = values.last(sizes, value.integers) if keep_last else values.plain(sizes, integers=value.integers)

    def read() -> tuple[tuple[int, ...], int]:
        steps = (0,) * (len(sizes) - len(value.sizes)) + value.strides
        return tuple(0 if size == 1 else step for size, step in zip(shorter, steps, strict=True)), value.origin

    to.copy(value, made, sizes, read, lambda: (made.strides, made.origin))
    return made


def _with_value(to: Network, node: Node, word: str, first: Value, second: str, sizes: tuple[int, ...]) -> None:
    """The second operand in the layout of the first: as it is, a number for each channel, or repeated until it has all ``sizes``."""
    channels = first.last and len(sizes) == len(first.sizes) and sizes == (first.sizes[0], *(1,) * (len(sizes) - 1))
    if channels and sizes != first.sizes:
        other, kind = to.plain(second), "CHANNEL"
    else:
        other, kind = (
            _whole(to, to.last(second) if first.last and len(sizes) == len(first.sizes) else to.plain(second), first.sizes),
            "SAME",
        )
        if other.last != first.last:
            made = values.like(first, other.integers)
            to.move(other, made)
            other = made
    output = values.like(first)

    def fields() -> Fields:
        low, high = step.limits or FREE
        return {
            "first": first.image, "second": other.image, "out": output.image, "second_step": other.image.size, "low": low, "high": high,
        }  # fmt: skip

    step = Step(f"pairs<Binary::{word}, Second::{kind}>", "Pairs", fields, [first, other], output, limits=FREE)
    to.add(step, node.outputs[0])


def _with_constant(to: Network, node: Node, word: str, name: str, constant: Array) -> None:
    sizes = to.sizes(node.outputs[0], node)
    first = _whole(to, to.either(to.stored(name)), sizes)
    if constant.ndim > len(sizes):
        if constant.shape[0] != 1:
            raise StepFailed(f"{node}: its constant differs between samples")
        constant = constant[0]
    spread = constant.reshape((1,) * (len(sizes) - constant.ndim) + constant.shape)
    if constant.size == 1:
        kind, numbers = "NUMBER", constant.reshape(1)
    elif first.last and spread.shape[1:] == (1,) * (len(sizes) - 1):
        kind, numbers = "CHANNEL", spread.reshape(-1)
    else:
        kind, numbers = "SAME", np.broadcast_to(spread, sizes)
        numbers = np.moveaxis(numbers, 0, -1) if first.last else numbers
    output = values.like(first)
    image = first.image
    plain_image = values.Image(image.height, image.width, image.channels)

    def fields() -> Fields:
        low, high = step.limits or FREE
        return {"first": first.image, "second": plain_image, "out": output.image, "second_step": 0, "low": low, "high": high}

    step = Step(f"pairs<Binary::{word}, Second::{kind}>", "Pairs", fields, [first], output, [numbers], limits=FREE)
    to.add(step, node.outputs[0])


def softmax(to: Network, node: Node) -> None:
    """Softmax and LogSoftmax along one axis."""
    sizes = to.sizes(node.input(0), node)
    axis = int(node.attributes.get("axis", -1)) % (len(sizes) + 1) - 1
    if axis < 0:
        raise StepFailed(f"{node}: it is along the axis of the samples")
    source, output = to.plain(node.input(0)), values.plain(sizes)
    fields: dict[str, object] = {
        "outer": math.prod(sizes[:axis]), "length": sizes[axis], "inner": math.prod(sizes[axis + 1 :]),
        "logarithm": node.op == "LogSoftmax",
    }  # fmt: skip
    to.add(Step("softmax", "Softmax", lambda: fields, [source], output), node.outputs[0])


HANDLERS: dict[str, Handler] = {
    "Relu": relu, "Clip": clip, "Gelu": gelu, "Softmax": softmax, "LogSoftmax": softmax, "Sum": binary,
    **dict.fromkeys(UNARY, unary), **dict.fromkeys(BINARY, binary),
}  # fmt: skip

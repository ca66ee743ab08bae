"""A network under translation: its values by their names in ONNX, the steps so far, and how a value gets from one layout to another."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from roadworthy.build.cpp import values
from roadworthy.build.cpp.steps import FREE, Step
from roadworthy.build.cpp.values import Integers, Value
from roadworthy.build.onnx_graph import Node, OnnxGraph
from roadworthy.core.errors import StepFailed
from roadworthy.core.types import Array

AXES = 6
"""Axes that the kernel which moves numbers has."""


class Network:
    """Steps in order. A value may be there in both layouts: each is made when a step needs it.

    What the graph rounds is there as whole numbers, under the name that these have in ONNX, and ``rounded`` has that name by the one of
    the numbers for which they stand, which are made where a step cannot take whole ones. ``flattened`` are images in ONNX's order that a
    dense layer takes as they lie, by the names before and after.
    """

    def __init__(self, graph: OnnxGraph, samples: int | None) -> None:
        self.graph, self._samples = graph, samples
        self.steps: list[Step] = []
        self.flattened: dict[str, str] = {}
        self.rounded: dict[str, str] = {}
        self._last: dict[str, Value] = {}
        self._plain: dict[str, Value] = {}
        self._uses = Counter([name for node in graph.nodes for name in node.inputs] + list(graph.outputs))

    def sizes(self, name: str, node: Node) -> tuple[int, ...]:
        """The sizes of one sample. Raises StepFailed where the first axis does not count the samples, or is not float32."""
        first, *rest = self.graph.shapes.get(name) or (0,)
        if name in self.graph.constants:
            raise StepFailed(f"{node}: its operand {name!r} is a constant, where generated code needs a value")
        known = [size for size in rest if size is not None]
        if first != self._samples or len(known) != len(rest):
            raise StepFailed(f"{node}: the first axis of {name!r} does not count the samples, or another axis depends on their number")
        if self.graph.dtypes[name] != "float32":
            raise StepFailed(f"{node}: {name!r} is {self.graph.dtypes[name]}, and generated code computes in float32")
        return tuple(known)

    def constant(self, name: str, node: Node) -> Array:
        """The constant operand ``name`` of ``node`` as float32."""
        if name not in self.graph.constants or name in self.graph.varying:
            raise StepFailed(f"{node}: generated code needs its operand {name!r} to be a constant")
        return np.asarray(self.graph.constants[name], np.float32)

    def is_constant(self, name: str) -> bool:
        """Whether the file states the value."""
        return name in self.graph.constants

    def alone(self, name: str) -> bool:
        """Whether one operator alone takes the value."""
        return self._uses[name] == 1

    # Values

    def put(self, name: str, value: Value) -> None:
        """``value`` holds what ONNX calls ``name``."""
        (self._last if value.last else self._plain)[name] = value

    def stored(self, name: str) -> str:
        """The name of the whole numbers that stand for the value, or its own where there are none."""
        return self.rounded.get(name, name)

    def integers(self, name: str) -> Integers | None:
        """What the whole numbers are that stand for the value, None where there are none."""
        name = self.flattened.get(name, name)
        return self.either(self.rounded[name]).integers if name in self.rounded else None

    def has(self, name: str) -> bool:
        """Whether the value is there."""
        return name in self._last or name in self._plain

    def _with_floats(self, name: str) -> None:
        """Where there are only whole numbers that stand for the value, make it."""
        if name in self.rounded and not self.has(name):
            source = self.either(self.rounded[name])
            made = values.like(source)
            self.convert(source, made)
            self.put(name, made)

    def put_as(self, name: str, value: Value, source: str) -> None:
        """``value``, of the same numbers as ``source``, holds what ONNX calls ``name``, as whole numbers where it does so."""
        if source in self.rounded:
            self.rounded[name] = f"{name} in whole numbers"
        self.put(self.stored(name), value)

    def is_last(self, name: str) -> bool:
        """Whether the value is there with its channels last and not otherwise: its followers then keep it so."""
        self._with_floats(name)
        return name in self._last and name not in self._plain

    def either(self, name: str) -> Value:
        """The value in the layout that it has."""
        return self._last[name] if self.is_last(name) else self.plain(name)

    def output(self, name: str) -> Value:
        """The value that the model answers with. Raises StepFailed where it is a constant."""
        if name in self.graph.constants:
            raise StepFailed(f"the output {name!r} is a constant, which generated code does not give")
        return self.either(name)

    def plain(self, name: str) -> Value:
        """The value in ONNX's order of axes."""
        self._with_floats(name)
        if name not in self._plain:
            self._plain[name] = self._as_plain(self._last[name])
        return self._plain[name]

    def last(self, name: str, border: tuple[int, int] = (0, 0)) -> Value:
        """The value with its channels last, and at least that many rows and columns of zeros around it."""
        self._with_floats(name)
        if name not in self._last:
            self._last[name] = self._as_last(self._plain[name])
        if not self._last[name].storage.has_border(*border):
            made = values.like(self._last[name], self._last[name].integers)
            made.storage.has_border(*border)
            self.move(self._last[name], made)
            self._last[name] = made
        return self._last[name]

    def _as_plain(self, value: Value) -> Value:
        image = value.storage.image
        if (image.channels == 1 or image.height * image.width == 1) and not (image.border_h or image.border_w):
            value.storage.pinned = True
            return Value(value.sizes, value.storage, last=False)
        made = values.plain(value.sizes, integers=value.integers)
        self.move(value, made)
        return made

    def _as_last(self, value: Value) -> Value:
        if len(value.sizes) in (2, 3) and math.prod(value.sizes[1:]) == 1:
            # One pixel: its channels lie there already.
            storage = values.Storage(values.Image(1, 1, value.sizes[0]), value.storage.pointer, pinned=True, whole=value.storage)
            return Value(value.sizes, storage, last=True)
        made = values.last(value.sizes, value.integers)
        self.move(value, made)
        return made

    # Steps

    def add(self, step: Step, name: str) -> None:
        """One more step, whose output is the value ``name``."""
        self.steps.append(step)
        self.put(name, step.output)

    def move(self, source: Value, target: Value) -> None:
        """Copy a value into memory of another layout."""
        self.copy(source, target, source.sizes, lambda: (source.strides, source.origin), lambda: (target.strides, target.origin))

    def convert(self, source: Value, target: Value) -> None:
        """Copy a value into memory where its numbers are stored otherwise, in the same layout."""

        def fields() -> dict[str, object]:
            return {"in": source.image, "out": target.image, "a": 0.0, "b": 0.0}

        self.steps.append(Step("map<Unary::SAME>", "Map", fields, [source], target))

    def copy(
        self,
        source: Value,
        target: Value,
        sizes: tuple[int, ...],
        read: Callable[[], tuple[tuple[int, ...], int]],
        write: Callable[[], tuple[tuple[int, ...], int]],
    ) -> None:
        """Copy ``sizes`` numbers; ``read`` and ``write`` give the steps along each axis and the start on the two sides."""

        def fields() -> dict[str, object]:
            (steps_in, start_in), (steps_out, start_out) = read(), write()
            loops = _loops(sizes, steps_in, steps_out)
            in_sizes, in_steps, out_steps = zip(*loops, strict=True)
            return {
                "sizes": in_sizes, "in": in_steps, "out": out_steps, "in_start": start_in, "out_start": start_out,
                "in_size": source.image.size, "out_size": target.image.size,
            }  # fmt: skip

        self.steps.append(Step("move", "Move", fields, [source], target))

    def maker(self, name: str) -> Step | None:
        """The step that made the value, where nothing but one operator takes it and the step may do more to it; else None."""
        made = self.made(name)
        return made if made is not None and made.limits == FREE else None

    def made(self, name: str) -> Step | None:
        """The step that made the value, where nothing but one operator takes it; else None."""
        if name in self.rounded or name in self.flattened or not self.alone(name):
            return None
        value = self._last[name] if self.is_last(name) else self._plain.get(name)
        steps = [step for step in self.steps if step.output is value]
        return steps[0] if len(steps) == 1 else None


def _loops(sizes: tuple[int, ...], steps_in: tuple[int, ...], steps_out: tuple[int, ...]) -> list[tuple[int, int, int]]:
    """The axes as loops, those with the smallest steps of the output innermost; axes that lie behind one another are one loop."""
    axes = sorted((one for one in zip(sizes, steps_in, steps_out, strict=True) if one[0] != 1), key=lambda one: -one[2])
    loops: list[tuple[int, int, int]] = []
    for size, step_in, step_out in axes:
        if loops and loops[-1][1] == size * step_in and loops[-1][2] == size * step_out:
            loops[-1] = loops[-1][0] * size, step_in, step_out
        else:
            loops.append((size, step_in, step_out))
    if len(loops) > AXES:
        raise StepFailed(f"a tensor of {len(loops)} axes is moved, and generated code moves {AXES}")
    return [(1, 0, 0)] * (AXES - len(loops)) + loops


Handler: TypeAlias = Callable[[Network, Node], None]

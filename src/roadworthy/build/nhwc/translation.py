"""The state of one translation: which tensor of the program holds which value of the graph, in which order of axes.

ONNX has channels second, TensorFlow's image operators have them last. A value may be there in both orders; a missing one is made when it is
asked for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import TypeAlias

import numpy as np

from roadworthy.build.nhwc.program import CLAMPING, CLAMPS, NhwcProgram
from roadworthy.build.onnx_graph import Node, OnnxGraph, Sizes
from roadworthy.core.errors import StepFailed
from roadworthy.core.types import Array


class OnnxTranslation:
    """``plain`` and ``last`` give the tensors by the graph's names: in ONNX's order of axes, and with the channels last.

    ``positive`` are the names of values that are never below 0.
    """

    def __init__(self, graph: OnnxGraph) -> None:
        self.graph = graph
        self.program = NhwcProgram()
        self._plain: dict[str, int] = {}
        self._last: dict[str, int] = {}
        self.positive: set[str] = set()
        self._uses = Counter(name for node in graph.nodes for name in node.inputs)
        self._uses.update(graph.outputs)

    def add_input(self, name: str) -> None:
        """The next input of the model."""
        self.program.inputs[name] = self._plain[name] = self.program.tensor(self.graph.shapes[name], self.graph.dtypes[name])

    def finished(self, outputs: Mapping[str, str]) -> NhwcProgram:
        """The program, whose outputs are values of the graph: ``outputs`` maps their names there to those that they get."""
        found = self.program.outputs
        for inner, name in outputs.items():
            tensor = self.plain(inner)
            if tensor in self.program.inputs.values() or tensor in found.values() or self.program.array(tensor) is not None:
                tensor = self.reshaped(tensor, self.graph.shapes[inner], self.graph.dtypes[inner])
            found[name] = tensor
        return self.program

    # Values of the graph

    def shape(self, name: str) -> Sizes:
        """In ONNX's order; None is a size that depends on the batch."""
        return self.graph.shapes[name]

    def constant(self, name: str, node: Node) -> Array:
        """The value of a constant; StepFailed where it is none, or depends on the batch."""
        if name not in self.graph.constants or name in self.graph.varying:
            raise StepFailed(f"{node}: its operand {name!r} has to be a constant")
        return self.graph.constants[name]

    def plain(self, name: str) -> int:
        """The tensor of a value in ONNX's order of axes."""
        if name not in self._plain:
            if name in self.graph.constants:
                self._plain[name] = self._constant(name, tuple(range(len(self.shape(name)))))
            else:
                self._plain[name] = self.transposed(self._last[name], from_last(len(self.shape(name))))
        return self._plain[name]

    def last(self, name: str) -> int:
        """The tensor of a value with its channels last."""
        if name not in self._last:
            order = to_last(len(self.shape(name)))
            constant = name in self.graph.constants
            self._last[name] = self._constant(name, order) if constant else self.transposed(self.plain(name), order)
        return self._last[name]

    def _constant(self, name: str, order: tuple[int, ...]) -> int:
        if name in self.graph.varying:
            raise StepFailed(f"the constant {name!r} depends on the number of samples")
        return self.program.constant(_narrowed(self.graph.constants[name]).transpose(order))

    def is_last(self, name: str) -> bool:
        """Whether the value is there with its channels last and not otherwise: its followers then keep it so."""
        return name in self._last and name not in self._plain

    def tensor(self, name: str, last: bool) -> int:
        """The tensor of a value in one of the two orders."""
        return self.last(name) if last else self.plain(name)

    def ordered(self, name: str, last: bool) -> Sizes:
        """The sizes of a value in one of the two orders."""
        shape = self.shape(name)
        return tuple(shape[axis] for axis in to_last(len(shape))) if last else shape

    def put(self, name: str, tensor: int, *, last: bool = False) -> None:
        """``tensor`` holds the value ``name``."""
        (self._last if last else self._plain)[name] = tensor

    def keep_positive(self, node: Node) -> None:
        """The output of ``node`` is never below 0 where none of its inputs is."""
        if all(name in self.positive for name in node.inputs):
            self.positive.update(node.outputs)

    # Operators

    def add(self, code: str, inputs: Iterable[int], name: str, *, last: bool = False, **options: object) -> int:
        """An operator whose only output is the value ``name``."""
        tensor = self.apply(code, inputs, self.ordered(name, last), self.graph.dtypes[name], **options)
        self.put(name, tensor, last=last)
        return tensor

    def apply(self, code: str, inputs: Iterable[int], shape: Iterable[int | None], dtype: str = "float32", **options: object) -> int:
        """An operator whose output is a value that the graph does not have."""
        tensor = self.program.tensor(shape, dtype)
        self.program.operator(code, inputs, (tensor,), **options)
        return tensor

    def transposed(self, tensor: int, order: tuple[int, ...]) -> int:
        """The tensor with its axes in ``order``; where only axes of size 1 move, its memory stays as it is."""
        shape = self.program.tensors[tensor].shape
        turned = tuple(shape[axis] for axis in order)
        moving = [axis for axis in order if shape[axis] != 1]
        dtype = self.program.tensors[tensor].dtype
        if moving == sorted(moving):
            return self.reshaped(tensor, turned, dtype)
        return self.apply("TRANSPOSE", (tensor, self.numbers(order)), turned, dtype)

    def reshape(self, tensor: int, name: str) -> None:
        """The value ``name`` has the memory of ``tensor`` in another shape."""
        self.put(name, self.reshaped(tensor, self.shape(name), self.graph.dtypes[name]))

    def reshaped(self, tensor: int, shape: Sizes, dtype: str) -> int:
        """The memory of ``tensor`` in another shape."""
        if shape.count(None) > 1:
            raise StepFailed("two sizes of a tensor depend on the number of samples, and one of them alone can be found")
        wanted = [-1 if size is None else size for size in shape]
        return self.apply("RESHAPE", (tensor, self.numbers(wanted)), shape, dtype, newShape=wanted)

    def numbers(self, numbers: Iterable[int]) -> int:
        """A constant of whole numbers, as operators take shapes and axes."""
        return self.program.constant(np.array(list(numbers), np.int32))

    def number(self, number: float) -> int:
        """A constant of one number."""
        return self.program.constant(np.full(1, number, np.float32))

    def clamp(self, name: str, low: float, high: float) -> int | None:
        """Let the operator that makes the value ``name`` keep it between the two; None where it cannot."""
        if self._uses[name] != 1 or (low, high) not in CLAMPS:
            return None
        tensor = self._last[name] if self.is_last(name) else self._plain[name]
        producer = self.program.producers.get(tensor)
        if producer is None or producer.code not in CLAMPING or producer.clamp:
            return None
        producer.clamp = CLAMPS[low, high]
        return tensor

    def alone(self, name: str) -> bool:
        """Whether one operator alone takes the value."""
        return self._uses[name] == 1


Handler: TypeAlias = Callable[[OnnxTranslation, Node], None]


def to_last(rank: int) -> tuple[int, ...]:
    """The order of axes that puts the second one last."""
    return (0, *range(2, rank), 1) if rank > 2 else tuple(range(rank))


def from_last(rank: int) -> tuple[int, ...]:
    """The order of axes that brings the last one back to the second place."""
    return (0, rank - 1, *range(1, rank - 1)) if rank > 2 else tuple(range(rank))


def _narrowed(array: Array) -> Array:
    """Float16 and float64 constants as float32: an exporter writes single numbers so."""
    return array.astype(np.float32) if array.dtype.kind == "f" else array

"""The parts of a program with the channels last: tensors, constants, operators in the order in which they run."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from roadworthy.build.onnx_graph import Sizes
from roadworthy.core.errors import StepFailed
from roadworthy.core.types import Array

DTYPES = ("float32", "int64", "int32", "int8", "uint8", "bool")
NO_TENSOR = -1
"""In the place of an input that an operator does without."""
SAME, VALID = "SAME", "VALID"
"""How an image is padded: as much as keeps its size by the stride, or not at all."""
CLAMPS = {(0.0, np.inf): "RELU", (0.0, 6.0): "RELU6", (-1.0, 1.0): "RELU_N1_TO_1"}
"""The words for keeping a result between two values."""
CLAMPING = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "MAX_POOL_2D", "AVERAGE_POOL_2D", "ADD", "SUB", "MUL", "DIV")
"""Operators that may keep their result between two values themselves. CONCATENATION has the option too, and LiteRT ignores it."""
FILTERS = {"CONV_2D": 0, "DEPTHWISE_CONV_2D": 3, "FULLY_CONNECTED": 0}
"""The operators with weights, each with the axis of its weights that counts the outputs."""


@dataclass(frozen=True)
class NhwcTensor:
    """A value, or a constant where ``array`` is given."""

    shape: Sizes
    dtype: str
    array: Array | None = None


@dataclass
class NhwcOperator:
    """One operator of LiteRT's schema; tensors by their numbers. ``clamp`` is one of the words of ``CLAMPS``, or empty.

    ``origin`` is the ONNX node that it was made for, in words.
    """

    code: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: dict[str, Any]
    origin: str
    clamp: str = ""


@dataclass
class NhwcProgram:
    """A model. ``inputs`` and ``outputs`` are the numbers of tensors by the names that a caller knows."""

    tensors: list[NhwcTensor] = field(default_factory=list)
    operators: list[NhwcOperator] = field(default_factory=list)
    inputs: dict[str, int] = field(default_factory=dict)
    outputs: dict[str, int] = field(default_factory=dict)
    producers: dict[int, NhwcOperator] = field(default_factory=dict)
    origin: str = ""

    def tensor(self, shape: Iterable[int | None], dtype: str) -> int:
        """The number of a new tensor, which an operator or the caller fills."""
        return self._added(NhwcTensor(tuple(shape), dtype))

    def constant(self, array: Array) -> int:
        """The number of a new tensor that holds ``array``."""
        array = np.asarray(array, order="C")
        return self._added(NhwcTensor(array.shape, array.dtype.name, array))

    def _added(self, tensor: NhwcTensor) -> int:
        if tensor.dtype not in DTYPES:
            raise StepFailed(f"{self.origin}: a tensor of {tensor.dtype}; those that are translated are {', '.join(DTYPES)}")
        self.tensors.append(tensor)
        return len(self.tensors) - 1

    def array(self, number: int) -> Array | None:
        """The constant's array; None where the tensor is none."""
        return self.tensors[number].array if number != NO_TENSOR else None

    def replace(self, number: int, array: Array) -> None:
        """Give the constant tensor other numbers in the same shape."""
        self.tensors[number] = replace(self.tensors[number], array=np.asarray(array, order="C"))

    def operator(self, code: str, inputs: Iterable[int], outputs: Iterable[int], **options: object) -> None:
        """One more operator, ``code`` by its name in the schema, with the fields of its options."""
        made = NhwcOperator(code, tuple(inputs), tuple(outputs), options, self.origin)
        self.operators.append(made)
        self.producers |= dict.fromkeys(made.outputs, made)

"""The parts of a ``.tflite`` file as they are put together: tensors, their buffers, operators; and the file's content at the end."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from roadworthy.core.errors import StepFailed
from roadworthy.core.types import Array

IDENTIFIER = b"TFL3"
DTYPES = {
    "float32": schema.TensorType.FLOAT32, "int64": schema.TensorType.INT64, "int32": schema.TensorType.INT32,
    "int8": schema.TensorType.INT8, "uint8": schema.TensorType.UINT8, "bool": schema.TensorType.BOOL,
}  # fmt: skip
FREE = -1
"""A size that the caller of the model chooses, as the file writes it."""
NO_TENSOR = -1
OPTIONS = {
    "CONV_2D": "Conv2DOptions", "DEPTHWISE_CONV_2D": "DepthwiseConv2DOptions", "TRANSPOSE_CONV": "TransposeConvOptions",
    "MAX_POOL_2D": "Pool2DOptions", "AVERAGE_POOL_2D": "Pool2DOptions", "FULLY_CONNECTED": "FullyConnectedOptions",
    "BATCH_MATMUL": "BatchMatMulOptions", "ADD": "AddOptions", "SUB": "SubOptions", "MUL": "MulOptions", "DIV": "DivOptions",
    "POW": "PowOptions", "MAXIMUM": "MaximumMinimumOptions", "MINIMUM": "MaximumMinimumOptions", "LEAKY_RELU": "LeakyReluOptions",
    "GELU": "GeluOptions", "SOFTMAX": "SoftmaxOptions", "LOG_SOFTMAX": "LogSoftmaxOptions", "MEAN": "ReducerOptions",
    "SUM": "ReducerOptions", "REDUCE_MAX": "ReducerOptions", "REDUCE_MIN": "ReducerOptions", "ARG_MAX": "ArgMaxOptions",
    "RESHAPE": "ReshapeOptions", "TRANSPOSE": "TransposeOptions", "CONCATENATION": "ConcatenationOptions",
    "STRIDED_SLICE": "StridedSliceOptions", "GATHER": "GatherOptions", "PAD": "PadOptions", "PADV2": "PadV2Options",
    "MIRROR_PAD": "MirrorPadOptions", "CAST": "CastOptions", "RESIZE_NEAREST_NEIGHBOR": "ResizeNearestNeighborOptions",
    "RESIZE_BILINEAR": "ResizeBilinearOptions", "DEPTH_TO_SPACE": "DepthToSpaceOptions", "EXP": "ExpOptions", "NEG": "NegOptions",
    "ABS": "AbsOptions", "HARD_SWISH": "HardSwishOptions",
}  # fmt: skip
"""The table of each operator's options in the file's schema; operators that are not listed have none."""
PLAIN_RELU = schema.ActivationFunctionType.RELU
ACTIVATIONS = {
    (0.0, np.inf): PLAIN_RELU,
    (0.0, 6.0): schema.ActivationFunctionType.RELU6,
    (-1.0, 1.0): schema.ActivationFunctionType.RELU_N1_TO_1,
}
"""What an operator may do with its result by itself: keep it between two values."""


class FlatModel:
    """One model of one subgraph. A tensor is its number in the file."""

    def __init__(self) -> None:
        self.tensors: list[Any] = []
        self.shapes: list[tuple[int | None, ...]] = []
        self.arrays: dict[int, Array] = {}
        self.producers: dict[int, Any] = {}
        self._operators: list[Any] = []
        self._codes: dict[str, int] = {}
        self._buffers = [schema.BufferT()]

    def tensor(self, shape: Iterable[int | None], dtype: str) -> int:
        """A new tensor, which an operator or the caller fills; None is a size that depends on the batch."""
        if dtype not in DTYPES:
            raise StepFailed(f"a tensor of {dtype}, which LiteRT does not compute with here")
        shape = tuple(shape)
        made = schema.TensorT()
        made.name, made.type, made.hasRank = f"t{len(self.tensors)}", DTYPES[dtype], True
        made.shape = [1 if size is None else size for size in shape]
        if None in shape:
            made.shapeSignature = [FREE if size is None else size for size in shape]
        self.tensors.append(made)
        self.shapes.append(shape)
        return len(self.tensors) - 1

    def constant(self, array: Array) -> int:
        """A new tensor that holds ``array``."""
        array = np.asarray(array, order="C")
        number = self.tensor(array.shape, array.dtype.name)
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(array.tobytes(), np.uint8)
        self._buffers.append(buffer)
        self.tensors[number].buffer = len(self._buffers) - 1
        self.arrays[number] = array
        return number

    def replace(self, number: int, array: Array) -> None:
        """Give the constant tensor another value of the same shape."""
        self.arrays[number] = array
        self._buffers[self.tensors[number].buffer].data = np.frombuffer(np.asarray(array, order="C").tobytes(), np.uint8)

    def operator(self, code: str, inputs: Iterable[int], outputs: Iterable[int], **options: object) -> None:
        """One more operator, ``code`` by its name in the schema, with the fields of its options."""
        made = schema.OperatorT()
        made.opcodeIndex = self._codes.setdefault(code, len(self._codes))
        made.inputs, made.outputs = list(inputs), list(outputs)
        if code in OPTIONS:
            made.builtinOptionsType = getattr(schema.BuiltinOptions, OPTIONS[code])
            made.builtinOptions = getattr(schema, f"{OPTIONS[code]}T")()
            for field, value in options.items():
                setattr(made.builtinOptions, field, value)
        self._operators.append(made)
        self.producers |= dict.fromkeys(made.outputs, made)

    def content(self, inputs: Mapping[str, int], outputs: Mapping[str, int]) -> bytes:
        """The file; its only signature definition names the tensors of ``inputs`` and ``outputs``."""
        model, graph, definition = schema.ModelT(), schema.SubGraphT(), schema.SignatureDefT()
        graph.tensors, graph.operators, graph.name = self.tensors, self._operators, b"main"
        graph.inputs, graph.outputs = list(inputs.values()), list(outputs.values())
        definition.signatureKey, definition.subgraphIndex = "serving_default", 0
        definition.inputs, definition.outputs = _ports(inputs), _ports(outputs)
        model.version, model.description = 3, "roadworthy"
        model.operatorCodes = [_code(name) for name in self._codes]
        model.subgraphs, model.buffers, model.signatureDefs = [graph], self._buffers, [definition]
        builder = flatbuffers.Builder(1024)
        builder.Finish(model.Pack(builder), IDENTIFIER)
        return bytes(builder.Output())


def _ports(tensors: Mapping[str, int]) -> list[Any]:
    ports = []
    for name, number in tensors.items():
        port = schema.TensorMapT()
        port.name, port.tensorIndex = name, number
        ports.append(port)
    return ports


def _code(name: str) -> Any:
    """An operator's code; the older field for it ends at 127."""
    code = schema.OperatorCodeT()
    code.builtinCode = getattr(schema.BuiltinOperator, name)
    code.deprecatedBuiltinCode, code.version = min(code.builtinCode, 127), 1
    return code

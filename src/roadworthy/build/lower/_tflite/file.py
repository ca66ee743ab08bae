"""A program with the channels last as a ``.tflite`` file: tables of tensors, buffers and operators by the file's own schema."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from roadworthy.build.lower._tflite.weights import RoundedWeights
from roadworthy.build.nhwc.program import NhwcOperator, NhwcProgram, NhwcTensor
from roadworthy.core.types import Array

IDENTIFIER = b"TFL3"
DTYPES = {
    "float32": schema.TensorType.FLOAT32, "int64": schema.TensorType.INT64, "int32": schema.TensorType.INT32,
    "int8": schema.TensorType.INT8, "uint8": schema.TensorType.UINT8, "bool": schema.TensorType.BOOL,
}  # fmt: skip
FREE = -1
"""A size that the caller of the model chooses, as the file writes it."""
OPTIONS = {
    "CONV_2D": "Conv2DOptions", "DEPTHWISE_CONV_2D": "DepthwiseConv2DOptions",
    "MAX_POOL_2D": "Pool2DOptions", "AVERAGE_POOL_2D": "Pool2DOptions", "FULLY_CONNECTED": "FullyConnectedOptions",
    "BATCH_MATMUL": "BatchMatMulOptions", "ADD": "AddOptions", "SUB": "SubOptions", "MUL": "MulOptions", "DIV": "DivOptions",
    "POW": "PowOptions", "MAXIMUM": "MaximumMinimumOptions", "MINIMUM": "MaximumMinimumOptions", "LEAKY_RELU": "LeakyReluOptions",
    "GELU": "GeluOptions", "SOFTMAX": "SoftmaxOptions", "LOG_SOFTMAX": "LogSoftmaxOptions", "MEAN": "ReducerOptions",
    "SUM": "ReducerOptions", "REDUCE_MAX": "ReducerOptions", "REDUCE_MIN": "ReducerOptions", "ARG_MAX": "ArgMaxOptions",
    "RESHAPE": "ReshapeOptions", "TRANSPOSE": "TransposeOptions", "CONCATENATION": "ConcatenationOptions",
    "STRIDED_SLICE": "StridedSliceOptions", "GATHER": "GatherOptions", "PAD": "PadOptions", "PADV2": "PadV2Options",
    "MIRROR_PAD": "MirrorPadOptions", "CAST": "CastOptions", "EXP": "ExpOptions", "NEG": "NegOptions",
    "ABS": "AbsOptions", "HARD_SWISH": "HardSwishOptions", "GREATER": "GreaterOptions",
    "LESS": "LessOptions", "SELECT_V2": "SelectV2Options",
}  # fmt: skip
"""The table of each operator's options in the file's schema; operators that are not listed have none."""
WORDS = {
    "padding": schema.Padding, "mode": schema.MirrorPadMode, "inDataType": schema.TensorType, "outDataType": schema.TensorType,
    "outputType": schema.TensorType,
}  # fmt: skip
"""Options whose values are words of the program, and numbers of an enumeration in the file."""
CLAMP = "fusedActivationFunction"
OWN_RANGE = "asymmetricQuantizeInputs"
"""The option of an operator with int8 weights whose input is rounded by its lowest and its largest number."""


def content(program: NhwcProgram, rounded: Mapping[int, RoundedWeights]) -> bytes:
    """The file; its only signature definition names the inputs and outputs. Tensors of ``rounded`` are written so."""
    model, graph, definition = schema.ModelT(), schema.SubGraphT(), schema.SignatureDefT()
    codes: dict[str, int] = {}
    model.buffers = [schema.BufferT()]
    graph.tensors = [_tensor(number, tensor, rounded.get(number), model.buffers) for number, tensor in enumerate(program.tensors)]
    graph.operators = [_operator(operator, codes, rounded) for operator in program.operators]
    graph.name = b"main"
    graph.inputs, graph.outputs = list(program.inputs.values()), list(program.outputs.values())
    definition.signatureKey, definition.subgraphIndex = "serving_default", 0
    definition.inputs, definition.outputs = _ports(program.inputs), _ports(program.outputs)
    model.version, model.description = 3, "roadworthy"
    model.operatorCodes = [_code(name) for name in codes]
    model.subgraphs, model.signatureDefs = [graph], [definition]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), IDENTIFIER)
    return bytes(builder.Output())


def _tensor(number: int, tensor: NhwcTensor, rounded: RoundedWeights | None, buffers: list[Any]) -> Any:
    """The tensor's table; a constant's numbers go into a new buffer."""
    made = schema.TensorT()
    made.name, made.type, made.hasRank = f"t{number}", DTYPES[tensor.dtype], True
    made.shape = [1 if size is None else size for size in tensor.shape]
    if None in tensor.shape:
        made.shapeSignature = [FREE if size is None else size for size in tensor.shape]
    array: Array | None = tensor.array
    if rounded:
        array = rounded.numbers
        made.quantization = schema.QuantizationParametersT()
        made.quantization.scale, made.quantization.zeroPoint = rounded.scales.tolist(), [0] * len(rounded.scales)
        made.quantization.quantizedDimension, made.type = rounded.axis, DTYPES[array.dtype.name]
    if array is not None:
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(np.asarray(array, order="C").tobytes(), np.uint8)
        buffers.append(buffer)
        made.buffer = len(buffers) - 1
    return made


def _operator(operator: NhwcOperator, codes: dict[str, int], rounded: Mapping[int, RoundedWeights]) -> Any:
    """The operator's table; its code is its place in ``codes``."""
    made = schema.OperatorT()
    made.opcodeIndex = codes.setdefault(operator.code, len(codes))
    made.inputs, made.outputs = list(operator.inputs), list(operator.outputs)
    if operator.code not in OPTIONS:
        return made
    made.builtinOptionsType = getattr(schema.BuiltinOptions, OPTIONS[operator.code])
    made.builtinOptions = getattr(schema, f"{OPTIONS[operator.code]}T")()
    for field, value in operator.options.items():
        setattr(made.builtinOptions, field, getattr(WORDS[field], str(value).upper()) if field in WORDS else value)
    if operator.clamp:
        setattr(made.builtinOptions, CLAMP, getattr(schema.ActivationFunctionType, operator.clamp))
    if hasattr(made.builtinOptions, OWN_RANGE) and any(number in rounded for number in operator.inputs):
        setattr(made.builtinOptions, OWN_RANGE, True)
    return made


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

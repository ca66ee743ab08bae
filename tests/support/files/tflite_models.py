"""TFLite files written by hand: no framework, ready in milliseconds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from roadworthy.core.types import Array, Quantization

TYPES = {
    "float32": 0, "float16": 1, "int32": 2, "uint8": 3, "int64": 4, "object": 5, "bool": 6, "int16": 7, "complex64": 8, "int8": 9,
    "float64": 10, "uint64": 12, "uint32": 15, "uint16": 16, "int4": 17, "bfloat16": 18,
}  # fmt: skip
"""schema.TensorType."""
WEIGHT: Array = np.random.default_rng(0).standard_normal((4, 8)).astype(np.float32)
"""Of the fully connected layer in these files: [outputs, inputs]."""
IN, WEIGHTS, OUT = Quantization(0.02, 128), Quantization(0.02, 120), Quantization(0.1, 130)


@dataclass(frozen=True)
class Tensor:
    """``values`` are of a constant; a free size of ``shape`` is -1."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    values: Array | None = None
    quantization: Quantization | None = None


@dataclass(frozen=True)
class Operator:
    """``code`` is schema.BuiltinOperator's name for it, tensors go by name."""

    code: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    options: Any = None


def write(path: Path, tensors: list[Tensor], operators: list[Operator], inputs: list[str], outputs: list[str], **names: str) -> Path:
    """A model at ``path``. ``names`` gives tensors other names in its one signature definition: ``name=tensor``."""
    model = schema.ModelT()
    model.version, model.buffers = 3, [schema.BufferT()]
    where = {tensor.name: index for index, tensor in enumerate(tensors)}
    graph = schema.SubGraphT()
    graph.tensors = [_tensor(tensor, model.buffers) for tensor in tensors]
    graph.inputs, graph.outputs = [where[name] for name in inputs], [where[name] for name in outputs]
    model.operatorCodes, graph.operators = [], []
    for one in operators:
        code = schema.OperatorCodeT()
        known = getattr(schema.BuiltinOperator, one.code, schema.BuiltinOperator.CUSTOM)
        code.builtinCode, code.deprecatedBuiltinCode, code.version = known, min(known, 127), 1
        code.customCode = one.code if known == schema.BuiltinOperator.CUSTOM else None
        op = schema.OperatorT()
        op.opcodeIndex, op.inputs, op.outputs = len(model.operatorCodes), [where[i] for i in one.inputs], [where[o] for o in one.outputs]
        if one.options is not None:
            op.builtinOptions = one.options
            op.builtinOptionsType = getattr(schema.BuiltinOptions, type(one.options).__name__.removesuffix("T"))
        model.operatorCodes.append(code)
        graph.operators.append(op)
    model.subgraphs = [graph]
    if names:
        model.signatureDefs = [_definition(where, names, inputs, outputs)]
    builder = flatbuffers.Builder(4096)
    builder.Finish(model.Pack(builder), b"TFL3")
    path.write_bytes(builder.Output())
    return path


def _tensor(tensor: Tensor, buffers: list[Any]) -> Any:
    made = schema.TensorT()
    made.name, made.type = tensor.name, TYPES[tensor.dtype]
    made.shape = [max(size, 1) for size in tensor.shape]
    made.shapeSignature = list(tensor.shape) if -1 in tensor.shape else None
    if tensor.quantization:
        made.quantization = schema.QuantizationParametersT()
        made.quantization.scale, made.quantization.zeroPoint = [tensor.quantization.scale], [tensor.quantization.zero_point]
    if tensor.values is not None:
        made.buffer = len(buffers)
        buffers.append(schema.BufferT())
        buffers[-1].data = np.frombuffer(tensor.values.tobytes(), np.uint8)
    return made


def _definition(where: dict[str, int], names: dict[str, str], inputs: list[str], outputs: list[str]) -> Any:
    definition = schema.SignatureDefT()
    definition.signatureKey, definition.subgraphIndex = "serving_default", 0
    definition.inputs, definition.outputs = [], []
    for name, tensor in names.items():
        one = schema.TensorMapT()
        one.name, one.tensorIndex = name, where[tensor]
        (definition.inputs if tensor in inputs else definition.outputs).append(one)
    return definition


def connected(x: str, y: str, weight: str = "w") -> Operator:
    """``y = x @ w.T``."""
    return Operator("FULLY_CONNECTED", (x, weight), (y,), schema.FullyConnectedOptionsT())


def linear(path: Path, *, batch: int = 1, **names: str) -> Path:
    """float32 ``x`` [batch, 8] to ``y`` [batch, 4]; -1 leaves the number of samples free."""
    tensors = [Tensor("x", "float32", (batch, 8)), Tensor("w", "float32", (4, 8), WEIGHT), Tensor("y", "float32", (batch, 4))]
    return write(path, tensors, [connected("x", "y")], ["x"], ["y"], **names)


def quantised(path: Path, *, batch: int = 1, out: Quantization = OUT, **names: str) -> Path:
    """The same in uint8, inputs and outputs too."""
    weight = np.clip(np.rint(WEIGHT / WEIGHTS.scale) + WEIGHTS.zero_point, 0, 255).astype(np.uint8)
    tensors = [Tensor("x", "uint8", (batch, 8), None, IN), Tensor("w", "uint8", (4, 8), weight, WEIGHTS),
               Tensor("y", "uint8", (batch, 4), None, out)]  # fmt: skip
    return write(path, tensors, [connected("x", "y")], ["x"], ["y"], **names)


def strings(path: Path, order: tuple[int, ...]) -> Path:
    """Byte strings ``x`` [n] to ``y`` [n], the same in another order."""
    count, rows = len(order), np.array(order, np.int32)
    tensors = [Tensor("x", "object", (count,)), Tensor("rows", "int32", (count,), rows), Tensor("y", "object", (count,))]
    return write(path, tensors, [Operator("GATHER", ("x", "rows"), ("y",), schema.GatherOptionsT())], ["x"], ["y"])


def joined(path: Path, **files: Path) -> Path:
    """One file with a signature for each of ``files``, by its key; each file has one subgraph and one signature definition."""
    whole = schema.ModelT()
    whole.version, whole.buffers, whole.operatorCodes, whole.subgraphs, whole.signatureDefs = 3, [], [], [], []
    for key, file in files.items():
        part = schema.ModelT.InitFromPackedBuf(bytearray(file.read_bytes()))
        (graph,), (definition,) = part.subgraphs, part.signatureDefs
        for tensor in graph.tensors:
            tensor.buffer += len(whole.buffers)
        for operator in graph.operators:
            operator.opcodeIndex += len(whole.operatorCodes)
        definition.signatureKey, definition.subgraphIndex = key, len(whole.subgraphs)
        whole.buffers += part.buffers
        whole.operatorCodes += part.operatorCodes
        whole.subgraphs.append(graph)
        whole.signatureDefs.append(definition)
    builder = flatbuffers.Builder(4096)
    builder.Finish(whole.Pack(builder), b"TFL3")
    path.write_bytes(builder.Output())
    return path

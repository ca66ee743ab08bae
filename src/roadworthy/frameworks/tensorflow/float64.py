"""A frozen TensorFlow graph in double precision: what tells how far float32 itself is from the truth."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from roadworthy.core.errors import StepFailed
from roadworthy.frameworks.tensorflow.framework import framework

NORMALISATIONS = ("FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3")
EPSILON = 1e-4
"""The default of the fused normalisation's own ``epsilon``."""


def doubled(graph: Any) -> Any:
    """A copy of the GraphDef ``graph`` in which every float32 is a float64 and every complex64 a complex128, functions included.

    A fused batch normalisation, which has no double precision on a CPU, is written out as
    ``(x - mean) * (scale / sqrt(variance + epsilon)) + offset``. Names are kept. StepFailed names an operation that would still
    compute in float32, or one that has no kernel in double precision.
    """
    tf = framework()
    wider = {tf.float32.as_datatype_enum: tf.float64.as_datatype_enum, tf.complex64.as_datatype_enum: tf.complex128.as_datatype_enum}
    functions = {function.signature.name for function in graph.library.function}
    wide = tf.compat.v1.GraphDef(versions=graph.versions)
    wide.library.CopyFrom(graph.library)
    for function in wide.library.function:
        for argument in (*function.signature.input_arg, *function.signature.output_arg):
            argument.type = wider.get(argument.type, argument.type)
        for node in function.node_def:
            if node.op in NORMALISATIONS:
                raise StepFailed(f"{node.name} ({node.op}) is inside a loop or a branch, and has no kernel in double precision")
            _widen(node, wider, functions)
    for node in graph.node:
        if node.op in NORMALISATIONS:
            wide.node.extend(_written_out(node, graph))
        else:
            copy = wide.node.add()
            copy.CopyFrom(node)
            _widen(copy, wider, functions)
    return wide


def _widen(node: Any, wider: dict[int, int], functions: set[str]) -> None:
    """Every type attribute and every constant of ``node`` in place, those left at their defaults included."""
    from tensorflow.python.framework import op_def_registry

    if node.op not in functions:
        definition = op_def_registry.get(node.op)
        if definition is None:
            raise StepFailed(f"{node.name} ({node.op}) is an operation that this TensorFlow does not have")
        if any(one.type in wider for one in (*definition.input_arg, *definition.output_arg)):
            raise StepFailed(f"{node.name} ({node.op}) computes in single precision for any input")
        for attribute in definition.attr:
            if attribute.name not in node.attr and attribute.HasField("default_value"):
                node.attr[attribute.name].CopyFrom(attribute.default_value)
    for value in node.attr.values():
        _widen_value(value, wider)
    if node.op not in functions and not _has_kernel(node):
        raise StepFailed(f"{node.name} ({node.op}) has no kernel in double precision")


def _widen_value(value: Any, wider: dict[int, int]) -> None:
    tf = framework()
    kind = value.WhichOneof("value")
    if kind == "type":
        value.type = wider.get(value.type, value.type)
    elif kind == "tensor" and value.tensor.dtype in wider:
        array = tf.make_ndarray(value.tensor)
        value.tensor.CopyFrom(tf.make_tensor_proto(array.astype(np.result_type(array, np.float64)), shape=array.shape))
    elif kind == "list":
        value.list.type[:] = [wider.get(one, one) for one in value.list.type]


def _has_kernel(node: Any) -> bool:
    """Whether a CPU kernel takes the types of ``node`` as they now are; an operation without any kernel is structure, not arithmetic."""
    from tensorflow.python.framework import kernels

    found = [one for one in kernels.get_registered_kernels_for_op(node.op).kernel if one.device_type in ("CPU", "DEFAULT")]
    return not found or any(
        all(_allowed(node.attr[one.name], one.allowed_values.list.type) for one in kernel.constraint if one.name in node.attr)
        for kernel in found
    )


def _allowed(value: Any, types: Any) -> bool:
    return not types or value.WhichOneof("value") != "type" or value.type in types


def _written_out(node: Any, graph: Any) -> Iterator[Any]:
    """The nodes that compute the first result of the fused batch normalisation ``node``; the last of them has its name."""
    tf = framework()
    if node.attr["is_training"].b or "is_training" not in node.attr:
        raise StepFailed(f"{node.name} ({node.op}) normalises by the batch's own statistics")
    others = {f"{node.name}:{number}" for number in range(1, 6)}
    if taken := next((other.name for other in graph.node if others.intersection(other.input)), None):
        raise StepFailed(f"{taken} takes the statistics of {node.name} ({node.op}), which have no double precision")
    x, scale, offset, mean, variance = node.input[:5]
    channels_first = node.attr["data_format"].s == b"NCHW"
    epsilon = node.attr["epsilon"].f if "epsilon" in node.attr else EPSILON

    def made(name: str, op: str, *inputs: str, last: bool = False) -> Any:
        new = tf.compat.v1.NodeDef(name=node.name if last else f"{node.name}/in_double/{name}", op=op, input=inputs)
        new.attr["T"].type = tf.float64.as_datatype_enum
        return new

    def constant(name: str, value: Any) -> Any:
        new = tf.compat.v1.NodeDef(name=f"{node.name}/in_double/{name}", op="Const")
        new.attr["dtype"].type = tf.as_dtype(value.dtype).as_datatype_enum
        new.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(value))
        return new

    by_channel = constant("by_channel", np.array([-1, 1, 1] if channels_first else [-1], np.int32))
    yield by_channel
    columns = {}
    for name, tensor in (("scale", scale), ("offset", offset), ("mean", mean), ("variance", variance)):
        column = made(name, "Reshape", tensor, by_channel.name)
        column.attr["Tshape"].type = tf.int32.as_datatype_enum
        yield column
        columns[name] = column.name
    yield (small := constant("epsilon", np.array(epsilon, np.float64)))
    yield (safe := made("safe", "AddV2", columns["variance"], small.name))
    yield (root := made("root", "Sqrt", safe.name))
    yield (factor := made("factor", "RealDiv", columns["scale"], root.name))
    yield (centred := made("centred", "Sub", x, columns["mean"]))
    yield (scaled := made("scaled", "Mul", centred.name, factor.name))
    yield made("", "AddV2", scaled.name, columns["offset"], *(one for one in node.input if one.startswith("^")), last=True)

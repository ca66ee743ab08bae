"""TensorFlow graphs as concrete functions: from a GraphDef, frozen, with inputs and outputs by name."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from roadworthy.core.errors import StepFailed
from roadworthy.frameworks.tensorflow.entry import GraphEntry, Port
from roadworthy.frameworks.tensorflow.framework import explained, first_line, framework


def graph_function(graph: Any, entry: GraphEntry) -> Any:
    """``concrete`` for a GraphDef in memory."""
    tf = framework()
    wanted = sorted({port.tensor for port in entry.outputs})
    with explained("the graph"):
        graph = tf.compat.v1.graph_util.extract_sub_graph(graph, [name.partition(":")[0] for name in wanted])
        graph = _with_functions(graph)
        known = tf.Graph()
        with known.as_default():
            tf.graph_util.import_graph_def(graph, name="")
    present = {node.name for node in graph.node}
    inputs = [known.get_tensor_by_name(port.tensor) for port in entry.inputs if port.tensor.partition(":")[0] in present]
    if len(inputs) < len(entry.inputs):
        raise StepFailed(f"the outputs do not depend on the inputs {', '.join(port.name for port in entry.inputs)}, all of them")

    def call(*arguments: Any) -> list[Any]:
        fed = {port.tensor: inward(argument, port) for port, argument in zip(entry.inputs, arguments, strict=True)}
        fed |= {one.tensor: tf.constant(one.array, one.dtype) for one in entry.constants if one.tensor.partition(":")[0] in present}
        found = dict(zip(wanted, tf.graph_util.import_graph_def(graph, input_map=fed, return_elements=wanted, name=""), strict=True))
        return [outward(found[port.tensor], port) for port in entry.outputs]

    arguments = [argument(tensor.shape, tensor.dtype, port) for tensor, port in zip(inputs, entry.inputs, strict=True)]
    with explained("the graph"):
        return tf.function(call, input_signature=arguments, autograph=False).get_concrete_function()


def _with_functions(graph: Any) -> Any:
    """A copy of ``graph`` whose functions are registered in TensorFlow under names that no other graph of this process has.

    Otherwise it would not find them, or find those of another model.
    """
    from tensorflow.python.eager import context

    if not graph.library.function:
        return graph
    mark = hashlib.sha256(graph.SerializeToString(deterministic=True)).hexdigest()[:16]
    names = {function.signature.name: f"{function.signature.name}_{mark}" for function in graph.library.function}
    own = type(graph)()
    own.CopyFrom(graph)
    for function in own.library.function:
        function.signature.name = names[function.signature.name]
    for gradient in own.library.gradient:
        gradient.function_name, gradient.gradient_func = (names.get(one, one) for one in (gradient.function_name, gradient.gradient_func))
    for node in (*own.node, *(node for function in own.library.function for node in function.node_def)):
        node.op = names.get(node.op, node.op)
        for value in node.attr.values():
            kind = value.WhichOneof("value")
            for called in (value.func,) if kind == "func" else value.list.func if kind == "list" else ():
                called.name = names.get(called.name, called.name)
    known = context.context()
    for function in own.library.function:
        if not known.has_function(function.signature.name):
            known.add_function_def(function)
    return own


def read_graph(file: Path) -> Any:
    """The ``tf.compat.v1.GraphDef`` in ``file``; StepFailed where there is none."""
    tf = framework()
    graph = tf.compat.v1.GraphDef()
    try:
        graph.ParseFromString(file.read_bytes())
    except Exception as problem:
        raise StepFailed(f"{file} is not a valid TensorFlow graph: {first_line(problem)}", detail=str(problem)) from problem
    return graph


def frozen(function: Any) -> tuple[Any, GraphEntry]:
    """A concrete function as a GraphDef without variables, and how it is called: its arguments and results in order."""
    tf = framework()
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    with explained("the function"):
        fixed = convert_variables_to_constants_v2(function, lower_control_flow=False)
        inputs = tuple(Port(tensor.op.name, tensor.name) for tensor in fixed.inputs)
        outputs = tuple(Port(f"output_{number}", tensor.name) for number, tensor in enumerate(fixed.outputs))
        graph = tf.compat.v1.GraphDef.FromString(fixed.graph.as_graph_def().SerializeToString())
    return graph, GraphEntry(inputs, outputs)


def inward(tensor: Any, port: Port) -> Any:
    return framework().reshape(tensor, []) if port.scalar else tensor


def outward(tensor: Any, port: Port) -> Any:
    return framework().reshape(tensor, [1]) if port.scalar else tensor


def argument(shape: Any, dtype: Any, port: Port) -> Any:
    """What a concrete function says it takes: a name that TensorFlow allows, and one axis where the model has a single value."""
    tf = framework()
    allowed = "".join(letter if letter.isascii() and (letter.isalnum() or letter == "_") else "_" for letter in port.name)
    return tf.TensorSpec([1] if port.scalar else shape, dtype, allowed if allowed[:1].isalpha() else f"x{allowed}")

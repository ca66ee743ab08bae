"""A captured graph as a GraphDef without variables: TensorFlow's own graphs frozen, ONNX graphs translated."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from roadworthy.build import nhwc
from roadworthy.build.export._tensorflow import operations
from roadworthy.build.lower import _graphdef
from roadworthy.core.errors import RoadworthyError, StepFailed
from roadworthy.core.stages import Graph, Plan
from roadworthy.core.types import Signature, TensorSpec
from roadworthy.frameworks.tensorflow import framework
from roadworthy.frameworks.tensorflow import graph as tensorflow_graph
from roadworthy.frameworks.tensorflow.entry import GraphEntry, Port
from roadworthy.runtimes._reasons import reason

STATE = (
    "VarHandleOp", "VariableV2", "HashTable", "HashTableV2", "MutableHashTable", "MutableHashTableV2", "LookupTableFind",
    "LookupTableFindV2",
)  # fmt: skip
"""Operations that need what a frozen graph does not hold."""


def unfit(graph: Graph) -> str:
    """In words, why ``graph`` is not written as TensorFlow operations; empty where it may be."""
    if graph.unfolded:
        return "the steps in front of the model are not in the graph"
    if graph.format == "onnx" and graph.quantized:
        return "the ONNX graph came quantised, and its operators are not translated"
    free = sorted({size for spec in graph.signature.inputs for size in spec.open_sizes})
    return (
        f"the sizes {', '.join(free)} of the ONNX graph are free, and it is translated for fixed ones"
        if graph.format == "onnx" and free
        else ""
    )


def frozen(graph: Graph, plan: Plan, scratch: Path) -> tuple[Any, GraphEntry]:
    """``graph`` as a GraphDef and how it is called, under the names of its signature, for ``plan.batch`` samples where that is fixed.

    ``scratch`` is an existing empty directory. Raises StepFailed where an operator, its node named, has no counterpart, or where the
    graph holds what cannot be frozen.
    """
    if words := unfit(graph):
        raise StepFailed(words)
    framework.set_threads(plan.threads)
    signature = graph.signature.fixed(plan.batch) if plan.batch else graph.signature
    try:
        found = _translated(graph.path, signature) if graph.format == "onnx" else _frozen(graph, plan, signature, scratch)
    except (RoadworthyError, OSError):
        raise
    except Exception as problem:
        raise StepFailed(f"{graph.path.name} cannot be written as a TensorFlow graph: {reason(problem)}", detail=str(problem)) from problem
    if held := next((node for node in _nodes(found[0]) if node.op in STATE), None):
        raise StepFailed(f"{held.op} {held.name!r} needs a table or a variable, which a frozen graph does not hold")
    return found


def _translated(path: Path, signature: Signature) -> tuple[Any, GraphEntry]:
    tf = framework.framework()
    try:
        call = operations.function_of(nhwc.translate(path, signature))
        arguments = [
            tf.TensorSpec([size if isinstance(size, int) else None for size in spec.shape], spec.dtype, f"input_{number}")
            for number, spec in enumerate(signature.inputs)
        ]
        function = tf.function(call, input_signature=arguments, autograph=False).get_concrete_function()
    except StepFailed as problem:
        raise StepFailed(f"TensorFlow's graph could not be written from {path.name}: {problem.message}", detail=problem.detail) from problem
    graph, entry = tensorflow_graph.frozen(function)
    return graph, GraphEntry(_named(entry.inputs, signature.inputs), _named(entry.outputs, signature.outputs))


def _named(ports: tuple[Port, ...], specs: tuple[TensorSpec, ...]) -> tuple[Port, ...]:
    return tuple(replace(port, name=spec.name) for port, spec in zip(ports, specs, strict=True))


def _frozen(graph: Graph, plan: Plan, signature: Signature, scratch: Path) -> tuple[Any, GraphEntry]:
    _graphdef.freeze(graph, scratch, plan)
    return _graphdef.read(scratch, signature)


def _nodes(graph: Any) -> Iterator[Any]:
    """The nodes of the graph, and those of each function in its library."""
    yield from graph.node
    for function in graph.library.function:
        yield from function.node_def

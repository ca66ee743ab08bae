"""A TensorFlow 1 graph reduced to its inference: training flags are constants, and what the outputs do not need is gone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from roadworthy.build.sources.tensorflow import constant_branches
from roadworthy.build.sources.tensorflow.endpoints import Endpoints
from roadworthy.core.errors import SourceError
from roadworthy.core.types import BYTES, TensorSpec
from roadworthy.frameworks.tensorflow import framework
from roadworthy.frameworks.tensorflow.entry import Constant, Port


def inference_graph(graph: Any, endpoints: Endpoints, specs: tuple[TensorSpec, ...]) -> Any:
    """A copy of the GraphDef ``graph`` with what the ``endpoints`` need and no more.

    Training flags are constants, and the branches that they decide are gone; inputs are placeholders of the shapes in ``specs``; no
    node asks for a device. SourceError where an input cannot be cut out of the graph.
    """
    tf = framework.framework()
    inputs = {port.tensor: (port, spec) for port, spec in zip(endpoints.inputs, specs, strict=True)}
    constants = {one.tensor.partition(":")[0]: one for one in endpoints.constants}
    own = tf.compat.v1.GraphDef(versions=graph.versions)
    own.library.CopyFrom(graph.library)
    for node in graph.node:
        if node.name in constants:
            own.node.append(_constant(node.name, constants[node.name]))
        elif f"{node.name}:0" in inputs:
            own.node.append(_placeholder(node, *inputs[f"{node.name}:0"]))
        else:
            own.node.add().CopyFrom(node)
            if node.op == "PlaceholderWithDefault":
                _make_identity(own.node[-1])
    for node in (*own.node, *(node for function in own.library.function for node in function.node_def)):
        node.device = ""
    ports = (*endpoints.outputs, *endpoints.inputs)
    names = list(dict.fromkeys(port.tensor.partition(":")[0] for port in ports))
    extract = tf.compat.v1.graph_util.extract_sub_graph
    _refuse_several(extract(own, names), inputs)
    return _with_called_functions(extract(constant_branches.without_constant_branches(extract(own, names)), names))


def _with_called_functions(graph: Any) -> Any:
    """``graph`` without the functions that nothing in it calls any more."""
    known = {function.signature.name: function for function in graph.library.function}
    called: dict[str, Any] = {}
    waiting = list(graph.node)
    while waiting:
        node = waiting.pop()
        values = [value for value in node.attr.values() if value.WhichOneof("value") in ("func", "list")]
        for name in (node.op, *(one.name for value in values for one in (value.func, *value.list.func))):
            if name in known and name not in called:
                called[name] = known[name]
                waiting += known[name].node_def
    kept = [function for name, function in known.items() if name in called]
    del graph.library.function[:]
    graph.library.function.extend(kept)
    return graph


def _constant(name: str, constant: Constant) -> Any:
    tf = framework.framework()
    node = tf.compat.v1.NodeDef(name=name, op="Const")
    dtype = tf.as_dtype(constant.dtype)
    node.attr["dtype"].type = dtype.as_datatype_enum
    node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(constant.array, dtype))
    return node


def _refuse_several(graph: Any, inputs: Mapping[str, Any]) -> None:
    """SourceError where what is fed is one of several tensors of an operation that ``graph`` uses."""
    fed = {tensor.partition(":")[0] for tensor in inputs}
    others = {name.partition(":")[0] for node in graph.node for name in node.input if ":" in name}
    if several := sorted(fed & others):
        raise SourceError(f"{several[0]!r} gives several tensors that the graph uses; name an input that gives one")


def _placeholder(node: Any, port: Port, spec: TensorSpec) -> Any:
    """A placeholder in the place of the node that is fed, whatever operation that was."""
    tf = framework.framework()
    own = tf.compat.v1.NodeDef(name=node.name, op="Placeholder")
    own.attr["dtype"].type = tf.string.as_datatype_enum if spec.dtype == BYTES else tf.as_dtype(spec.dtype).as_datatype_enum
    own.attr["shape"].shape.SetInParent()
    for size in () if port.scalar else spec.shape:
        own.attr["shape"].shape.dim.add(size=size if isinstance(size, int) else -1)
    return own


def _make_identity(node: Any) -> None:
    """A placeholder with a default that no call feeds gives its default."""
    node.op = "Identity"
    node.attr["T"].type = node.attr["dtype"].type
    del node.attr["dtype"], node.attr["shape"]

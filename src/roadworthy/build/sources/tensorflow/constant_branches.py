"""Branches that a constant has decided: the side that never runs leaves the graph, before a converter fails on it.

A model that asks whether it trains is ``y = tf.cond(is_training, dropped, kept)``; in inference ``is_training`` is the constant
False. TensorFlow 2 writes an ``If`` with two functions, one for each side:

    is_training = Const(False)
    y = If(is_training, x)  then_branch=dropped  else_branch=kept

The body of ``kept`` takes the place of ``y``; its argument is ``x``. Until 2019 TensorFlow wrote a ``Switch``, which sends a value to
one of its two outputs and nothing to the other, and a ``Merge``, which passes on the one input that arrives:

    s = Switch(x, is_training)     s:1 carries x where is_training is true, s:0 where it is false
    d = Dropout(s:1)
    k = Identity(s:0)
    y = Merge(k, d)

Here ``s:1`` never carries a value, so ``d``, which needs it, never runs either, and of ``y`` only the input ``k`` is left:

    s = Identity(x)
    k = Identity(s)
    y = Identity(k)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from roadworthy.frameworks.tensorflow import framework

FOLLOWED = (
    "Const", "Identity", "LogicalNot", "LogicalAnd", "LogicalOr", "Equal", "NotEqual", "Greater", "Less", "Cast", "Squeeze", "Reshape",
)  # fmt: skip
"""Operations that may stand between a constant and the branch that it decides."""


def without_constant_branches(graph: Any) -> Any:
    """A copy of the GraphDef ``graph`` in which no ``If`` and no ``Switch`` depends on constants alone."""
    own = type(graph)()
    own.CopyFrom(graph)
    while decided := _decided_if(own):
        node, taken = decided
        _inline(own, node, "then_branch" if taken else "else_branch")
    if switches := _decided_switches(own):
        _remove_dead(own, switches)
    return own


def _decided_if(graph: Any) -> tuple[Any, bool] | None:
    """The first ``If`` whose condition is constant, and its condition."""
    for node in graph.node:
        if node.op in ("If", "StatelessIf") and (value := _constant(graph, node.input[0])) is not None:
            return node, value
    return None


def _decided_switches(graph: Any) -> dict[str, bool]:
    """The name of each ``Switch`` whose condition is constant, and its condition."""
    values = {node.name: _constant(graph, node.input[1]) for node in graph.node if node.op == "Switch"}
    return {name: value for name, value in values.items() if value is not None}


def _constant(graph: Any, tensor: str) -> bool | None:
    """The value of a condition that depends on constants alone; ``None`` where it depends on anything else."""
    nodes = {node.name: node for node in graph.node}
    needed: dict[str, Any] = {}
    waiting = [_node(tensor)]
    while waiting:
        name = waiting.pop()
        if name not in needed:
            node = nodes.get(name)
            if node is None or node.op not in FOLLOWED:
                return None
            needed[name] = node
            waiting += [_node(one) for one in _data(node)]
    return _evaluated(list(needed.values()), graph.versions, tensor)


def _evaluated(nodes: list[Any], versions: Any, tensor: str) -> bool:
    tf = framework.framework()
    part = tf.compat.v1.GraphDef(versions=versions)
    for node in nodes:
        copy = part.node.add()
        copy.CopyFrom(node)
        _set_inputs(copy, _data(node))
    with tf.Graph().as_default() as alone:
        tf.graph_util.import_graph_def(part, name="")
        with tf.compat.v1.Session(graph=alone) as session:
            return bool(session.run(tensor if ":" in tensor else f"{tensor}:0"))


def _inline(graph: Any, node: Any, branch: str) -> None:
    """Put the body of ``branch`` in the place of the ``If`` ``node``, which becomes an identity of the results.

    An operation ``mul`` of the body becomes ``<name of the If>/mul``, and an argument of the function what the ``If`` was given.
    """
    from tensorflow.python.framework import function_def_to_graph

    function = next(one for one in graph.library.function if one.signature.name == node.attr[branch].func.name)
    body, flat = function_def_to_graph.function_def_to_graph_def(function)
    given = dict(zip((one.name for one in function.signature.input_arg), _data(node)[1:], strict=True))
    for inner in body.node:
        if inner.name not in given:
            copy = graph.node.add()
            copy.CopyFrom(inner)
            copy.name = f"{node.name}/{inner.name}"
            _set_inputs(copy, [_inlined(one, node.name, given) for one in inner.input])
    results = [flat.get(function.ret[one.name], function.ret[one.name]) for one in function.signature.output_arg]
    _set_inputs(node, [*(_inlined(one, node.name, given) for one in results), *_control(node)])
    _make_identity(node, list(node.attr["Tout"].list.type))


def _inlined(tensor: str, prefix: str, given: Mapping[str, str]) -> str:
    """The name that an input of a function's body has in the graph that it is put into."""
    mark, name = ("^", tensor[1:]) if tensor.startswith("^") else ("", tensor)
    argument = given.get(_node(name))
    if argument is None:
        return f"{mark}{prefix}/{name}"
    return f"^{_node(argument)}" if mark else argument


def _make_identity(node: Any, types: list[int]) -> None:
    node.op = "Identity" if len(types) == 1 else "IdentityN"
    node.ClearField("attr")
    if len(types) == 1:
        node.attr["T"].type = types[0]
    else:
        node.attr["T"].list.type.extend(types)


def _remove_dead(graph: Any, switches: Mapping[str, bool]) -> None:
    """Make every decided switch an identity, and take out what only its other output leads to."""
    dead = _Dead(graph, switches)
    for node in graph.node:
        if node.name in switches:
            node.op = "Identity"
            _set_inputs(node, [node.input[0], *_control(node)])
        elif node.op == "Merge" and node.name not in dead.nodes:
            _close_merge(node, dead)
    for index in reversed(range(len(graph.node))):
        if graph.node[index].name in dead.nodes:
            del graph.node[index]
    for node in graph.node:
        live = [one for one in node.input if not dead.tensor(one)]
        # The second output of the switch is the only one of the identity.
        _set_inputs(node, [_node(one) if _node(one) in switches and one.endswith(":1") else one for one in live])


def _close_merge(node: Any, dead: _Dead) -> None:
    """A ``Merge`` that one value alone can reach becomes an identity of that value; one that fewer can reach keeps those."""
    live = [one for one in node.input if not dead.tensor(one)]
    values = sum(not one.startswith("^") for one in live)
    if len(live) == len(node.input):
        return
    if values == 1:
        node.op = "Identity"
        del node.attr["N"]
    else:
        node.attr["N"].i = values
    _set_inputs(node, live)


class _Dead:
    """What never carries a value: the other output of each decided switch, and the ``nodes`` that need one of these."""

    def __init__(self, graph: Any, switches: Mapping[str, bool]) -> None:
        self._outputs = {f"{name}:{0 if value else 1}" for name, value in switches.items()}
        # What runs is found from the inputs on: a loop that is never entered would keep itself alive by the value that it hands back.
        self.nodes: set[str] = {node.name for node in graph.node}
        # GraphDefs need not be in the order of their edges, so that one pass may see a node before its inputs.
        while found := {node.name for node in graph.node if node.name in self.nodes and self._runs(node)}:
            self.nodes -= found

    def tensor(self, name: str) -> bool:
        """Whether the tensor ``name``, as a node's input has it, never carries a value."""
        full = name if ":" in name or name.startswith("^") else f"{name}:0"
        return full in self._outputs or _node(name) in self.nodes

    def _runs(self, node: Any) -> bool:
        """A ``Merge`` runs while one of its inputs is live; any other node needs all of them."""
        live = [not self.tensor(one) for one in node.input]
        return not live or (any(live) if node.op == "Merge" else all(live))


def _node(tensor: str) -> str:
    return tensor.removeprefix("^").partition(":")[0]


def _data(node: Any) -> list[str]:
    return [one for one in node.input if not one.startswith("^")]


def _control(node: Any) -> list[str]:
    return [one for one in node.input if one.startswith("^")]


def _set_inputs(node: Any, names: list[str]) -> None:
    del node.input[:]
    node.input.extend(dict.fromkeys(names) if all(one.startswith("^") for one in names) else names)

"""Branches that a switch has decided for good: what stands in the other one leaves the graph, before a converter stumbles on it.

``tf.cond(is_training, ...)`` is a pair of functions behind an ``If`` today; until 2019 it was ``Switch`` and ``Merge``, by which
each operation of either branch learnt whether it lives.
"""

from __future__ import annotations

from typing import Any

from roadworthy.frameworks.tensorflow import framework

FOLLOWED = (
    "Const",
    "Identity",
    "LogicalNot",
    "LogicalAnd",
    "LogicalOr",
    "Equal",
    "NotEqual",
    "Greater",
    "Less",
    "Cast",
    "Squeeze",
    "Reshape",
)
"""What may stand between a switch and the branch that it decides."""


def decided(graph: Any) -> Any:
    """A copy of the GraphDef ``graph`` in which no ``If`` and no ``Switch`` depends on constants alone."""
    own = type(graph)()
    own.CopyFrom(graph)
    while node := next((one for one in own.node if one.op in ("If", "StatelessIf") and _constant(own, one.input[0]) is not None), None):
        _put_in(own, node, "then_branch" if _constant(own, node.input[0]) else "else_branch")
    _drop_dead(own)
    return own


def _constant(graph: Any, tensor: str) -> bool | None:
    """The value of a truth that depends on constants alone; ``None`` where it depends on anything else."""
    tf = framework.framework()
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
            waiting += [_node(one) for one in node.input if not one.startswith("^")]
    part = tf.compat.v1.GraphDef(versions=graph.versions)
    for node in needed.values():
        copy = part.node.add()
        copy.CopyFrom(node)
        _set_inputs(copy, [one for one in node.input if not one.startswith("^")])
    with tf.Graph().as_default() as alone:
        tf.graph_util.import_graph_def(part, name="")
        with tf.compat.v1.Session(graph=alone) as session:
            return bool(session.run(tensor if ":" in tensor else f"{tensor}:0"))


def _put_in(graph: Any, node: Any, branch: str) -> None:
    """The body of ``branch`` in the place of the ``If``, whose name goes to the results."""
    from tensorflow.python.framework import function_def_to_graph

    function = next(one for one in graph.library.function if one.signature.name == node.attr[branch].func.name)
    body, flat = function_def_to_graph.function_def_to_graph_def(function)
    given = dict(
        zip((one.name for one in function.signature.input_arg), (one for one in node.input[1:] if not one.startswith("^")), strict=True)
    )
    control = [one for one in node.input if one.startswith("^")]

    def outer(tensor: str) -> str:
        """A tensor of the body as one of the graph: an argument is what the call was given."""
        mark, name = ("^", tensor[1:]) if tensor.startswith("^") else ("", tensor)
        if _node(name) in given:
            return f"{mark}{_node(given[_node(name)]) if mark else given[_node(name)]}"
        return f"{mark}{node.name}/{name}"

    types = list(node.attr["Tout"].list.type)
    results = [outer(flat.get(function.ret[one.name], function.ret[one.name])) for one in function.signature.output_arg]
    for inner in body.node:
        if inner.name not in given:
            copy = graph.node.add()
            copy.CopyFrom(inner)
            copy.name = f"{node.name}/{inner.name}"
            _set_inputs(copy, [outer(one) for one in inner.input])
    node.op = "Identity" if len(types) == 1 else "IdentityN"
    node.ClearField("attr")
    if len(types) == 1:
        node.attr["T"].type = types[0]
    else:
        node.attr["T"].list.type.extend(types)
    _set_inputs(node, results + control)


def _drop_dead(graph: Any) -> None:
    """Without ``Switch`` on a constant: the living side becomes the value itself, a ``Merge`` with one living input that input."""
    tf = framework.framework()
    taken = {node.name: value for node in graph.node if node.op == "Switch" and (value := _constant(graph, node.input[1])) is not None}
    if not taken:
        return
    dead = {f"{name}:{0 if value else 1}" for name, value in taken.items()}
    gone: set[str] = set()
    changed = True
    while changed:
        changed = False
        for node in graph.node:
            lost = [_is_dead(one, dead, gone) for one in node.input]
            if node.name not in gone and lost and (all(lost) if node.op == "Merge" else any(lost)):
                gone.add(node.name)
                changed = True
    for node in graph.node:
        if node.name in taken:
            node.op = "Identity"
            _set_inputs(node, [node.input[0], *(one for one in node.input[1:] if one.startswith("^"))])
        elif node.op == "Merge" and node.name not in gone and any(_is_dead(one, dead, gone) for one in node.input):
            living = [one for one in node.input if not _is_dead(one, dead, gone)]
            if len([one for one in living if not one.startswith("^")]) == 1:
                node.op = "Identity"
                del node.attr["N"]
                _set_inputs(node, living)
    names = {name: f"{name}:1" for name in taken}
    kept = tf.compat.v1.GraphDef(versions=graph.versions)
    kept.library.CopyFrom(graph.library)
    for node in graph.node:
        if node.name not in gone:
            # What was the second output of a switch is the only one of an identity.
            _set_inputs(node, [_node(one) if one in names.values() else one for one in node.input if not _is_dead(one, dead, gone)])
            kept.node.add().CopyFrom(node)
    graph.CopyFrom(kept)


def _is_dead(tensor: str, dead: set[str], gone: set[str]) -> bool:
    name = tensor if ":" in tensor or tensor.startswith("^") else f"{tensor}:0"
    return name in dead or _node(tensor) in gone


def _node(tensor: str) -> str:
    return tensor.removeprefix("^").partition(":")[0]


def _set_inputs(node: Any, names: list[str]) -> None:
    del node.input[:]
    node.input.extend(dict.fromkeys(names) if all(one.startswith("^") for one in names) else names)

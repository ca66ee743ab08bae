"""The nodes of an ONNX graph: all of them, those that an output needs, and the names that they read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def inner_graphs(node: Any) -> Iterator[Any]:
    """The graphs that the node holds as attributes: the branches of an If, the body of a Loop."""
    for attribute in node.attribute:
        yield from (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs)


def every_node(graph: Any) -> Iterator[Any]:
    """The nodes of ``graph`` and of the graphs inside them."""
    for node in graph.node:
        yield node
        for inner in inner_graphs(node):
            yield from every_node(inner)


def reads(node: Any) -> set[str]:
    """Every name that the node reads, also from the graph around it, as a branch may. "" stands for an input that is left out."""
    found = set(node.input)
    for inner in inner_graphs(node):
        found |= {name for one in inner.node for name in reads(one)} | {value.name for value in inner.output}
    return found


def drop_unneeded(graph: Any) -> None:
    """Remove the nodes that no output depends on."""
    makers = {name: number for number, node in enumerate(graph.node) for name in node.output if name}
    kept: set[int] = set()
    wanted = [value.name for value in graph.output]
    while wanted:
        number = makers.get(wanted.pop())
        if number is not None and number not in kept:
            kept.add(number)
            wanted += reads(graph.node[number])
    for number in reversed(range(len(graph.node))):
        if number not in kept:
            del graph.node[number]


def rename(graph: Any, old: str, new: str) -> None:
    """Give the tensor ``old`` the name ``new`` in every node that reads or writes it, inner graphs included."""
    for node in graph.node:
        node.input[:] = [new if name == old else name for name in node.input]
        node.output[:] = [new if name == old else name for name in node.output]
        for inner in inner_graphs(node):
            # A name that the inner graph defines itself means another tensor there.
            if old not in {value.name for value in (*inner.input, *inner.initializer)}:
                rename(inner, old, new)
                for value in inner.output:
                    value.name = new if value.name == old else value.name

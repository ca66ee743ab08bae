"""Where a TensorFlow 1 graph ends, by its file alone: the search for outputs on nodes that TensorFlow has not seen."""

from __future__ import annotations

from dataclasses import dataclass, field

from roadworthy.build.sources.parsers.tf_graph import PLACEHOLDERS, MetaGraph
from roadworthy.build.sources.parsers.untrusted import printable
from roadworthy.build.sources.tensorflow import training_flags
from roadworthy.build.sources.tensorflow.output_search import PIPELINES, ends, is_label, shown
from roadworthy.core.types import ANY_RANK, BYTES

UNKNOWN = "unknown type"
LONGEST = 7
"""Digits of the number of an output: a file may claim any."""


@dataclass(frozen=True)
class _Shape:
    """A shape as the file states it, ``None`` where it does not, by the names that TensorFlow has for it."""

    sizes: tuple[int | str, ...] | None

    @property
    def rank(self) -> int | None:
        return None if self.sizes is None else len(self.sizes)

    def as_list(self) -> list[int | None]:
        return [size if isinstance(size, int) else None for size in self.sizes or ()]

    def is_compatible_with(self, other: _Shape) -> bool:
        pairs = zip(self.as_list(), other.as_list(), strict=False)
        return None in (self.rank, other.rank) or (self.rank == other.rank and all(a == b or None in (a, b) for a, b in pairs))


@dataclass(frozen=True)
class _Type:
    name: str

    @property
    def is_floating(self) -> bool:
        return "float" in self.name


@dataclass(eq=False)
class _Operation:
    name: str
    type: str
    inputs: list[_Tensor] = field(default_factory=list)
    outputs: list[_Tensor] = field(default_factory=list)


@dataclass(eq=False)
class _Tensor:
    op: _Operation
    number: int
    dtype: _Type
    shape: _Shape
    used_by: list[_Operation] = field(default_factory=list)

    @property
    def name(self) -> str:
        return f"{self.op.name}:{self.number}"

    def consumers(self) -> list[_Operation]:
        return self.used_by


def notes(graph: MetaGraph) -> tuple[str, ...]:
    """A sentence on what ``graph`` ends in, as ``--outputs`` spells it; none where it plainly ends in nothing."""
    operations = _operations(graph)
    placeholders = [op.outputs[0] for op in operations if op.type in PLACEHOLDERS]
    fed = [one for one in placeholders if one.op.type != "PlaceholderWithDefault" and not _flag(one)]
    pipeline = [one for op in operations if op.type.endswith(PIPELINES) for one in op.outputs]
    found = ends(operations, [], fed or pipeline, [one for one in placeholders if is_label(one)])
    return (f"candidates for --outputs: {printable(shown(found.candidates))}",) if found.candidates else ()


def _flag(tensor: _Tensor) -> bool:
    return training_flags.constant(tensor.name, tensor.dtype.name, tensor.shape.sizes) is not None


def _operations(graph: MetaGraph) -> list[_Operation]:
    """The nodes of ``graph``, joined by their tensors: as many of each node's as something uses, and one at least."""
    made = {node.name: _Operation(node.name, node.op) for node in graph.nodes}
    nodes = {node.name: node for node in graph.nodes}
    tensors: dict[tuple[str, int], _Tensor] = {}

    def tensor(name: str, number: int) -> _Tensor:
        if (name, number) not in tensors:
            operation, node = made[name], nodes[name]
            sizes = node.shapes[number] if number < len(node.shapes) else node.tensor.shape if node.tensor else None
            known = None if sizes is None or ANY_RANK in sizes else sizes
            kind = "string" if node.dtype == BYTES else node.dtype or UNKNOWN
            tensors[name, number] = _Tensor(operation, number, _Type(kind), _Shape(known))
            operation.outputs.append(tensors[name, number])
        return tensors[name, number]

    for node in graph.nodes:
        tensor(node.name, 0)
        for reference in node.inputs:
            name, _, number = reference.partition(":")
            if name in made:
                used = tensor(name, int(number) if number.isdecimal() and len(number) < LONGEST else 0)
                used.used_by.append(made[node.name])
                made[node.name].inputs.append(used)
    return list(made.values())

"""What is changed in an ONNX file before it runs, so that a runtime takes it and a request can carry its inputs and outputs.

What the model computes stays. Every change is a note for the user. Worked example: a classifier of scikit-learn gives ``label`` and a
map for each sample (ZipMap); the map goes, and the tensor of probabilities that it was made of is an output in its place.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import onnx
from onnx import TensorProto, helper, numpy_helper

from roadworthy.build.sources.onnx.nodes import drop_unneeded, every_node, reads, rename
from roadworthy.build.sources.parsers.untrusted import listed, shown
from roadworthy.core.errors import SourceError, UsageError
from roadworthy.core.types import BoundInput

IR_WITH_FILLED = 4
"""The first IR version in which an initialiser need not be listed as an input too."""
MADE_OF = frozenset({"ZipMap", "Optional", "SequenceConstruct", "SplitToSequence"})
"""Operators whose result is a map, a sequence or an optional value, and whose inputs are what it is made of."""
CONTAINERS = MADE_OF | {"SequenceInsert", "SequenceErase", "SequenceEmpty", "SequenceMap"}
KINDS = {"sequence_type": "a sequence", "map_type": "a map", "optional_type": "an optional value", "sparse_tensor_type": "a sparse tensor"}
LOCALE, PORTABLE = "en_US.UTF-8", "C.UTF-8"
"""What StringNormalizer changes case by where the file does not say, and a locale of the same letters that every Linux has."""


def rewrite(model: Any, outputs: tuple[str, ...]) -> tuple[str, ...]:
    """Change ``model`` (a ModelProto) in place; one sentence for each change, none where the file stays as it is.

    ``outputs`` are the tensors to answer with, in the user's words. Raises UsageError for one that the graph does not have,
    SourceError where no output is a tensor.
    """
    graph = model.graph
    notes = [*_without_filled(model), *_open_sizes(graph), *_chosen(graph, outputs), *_tensors_alone(graph)]
    notes += [*_each_once(graph), *_own_names(graph), *_portable(graph), *_wider(graph)]
    return tuple(notes)


def kind_of(value: Any) -> str:
    """What an input or output is where it is not a tensor, in words; empty for a tensor, and where the file states no type."""
    found = value.type.WhichOneof("value")
    if found == "sequence_type" and value.type.sequence_type.elem_type.HasField("map_type"):
        return "a map for each sample"
    return "" if found in (None, "tensor_type") else KINDS.get(found, "something else")


def drop_filled(model: Any) -> int:
    """Remove the inputs that an initialiser fills, as old exporters listed all weights; how many these were."""
    filled = {tensor.name for tensor in model.graph.initializer} | {one.values.name for one in model.graph.sparse_initializer}
    listed_too = [value for value in model.graph.input if value.name in filled]
    for value in listed_too:
        model.graph.input.remove(value)
    if listed_too:
        model.ir_version = max(model.ir_version, IR_WITH_FILLED)
    return len(listed_too)


def _without_filled(model: Any) -> Iterator[str]:
    if count := drop_filled(model):
        yield f"{count} inputs that the file fills itself were removed"


def _open_sizes(graph: Any) -> Iterator[str]:
    """Some exporters write 0 or -1 for a size that is open, and a runtime takes 0 for one."""
    for value in graph.input:
        sizes = [size for size in value.type.tensor_type.shape.dim if size.HasField("dim_value") and size.dim_value <= 0]
        for size in sizes:
            size.ClearField("dim_value")
        if sizes:
            yield f"the file states no valid size for {len(sizes)} axes of {value.name!r} (0 or -1): they are taken as open"


def _chosen(graph: Any, names: tuple[str, ...]) -> Iterator[str]:
    """The outputs that the user named, which may be any tensor of the graph, and the inputs that these depend on."""
    if not names:
        return
    known = {value.name: value for value in (*graph.input, *graph.value_info, *graph.output)}
    made = {name for node in graph.node for name in node.output if name} | {tensor.name for tensor in graph.initializer}
    if missing := [name for name in names if name not in known and name not in made]:
        given = listed(tuple(shown(value.name) for value in graph.output), most=12)
        raise UsageError(f"the model has no tensor {missing[0]!r} to answer with; --outputs {given} are the file's own outputs")
    _replace(graph.output, [known.get(name) or onnx.ValueInfoProto(name=name) for name in names])
    drop_unneeded(graph)
    yield f"it answers with {', '.join(map(repr, names))}, as --outputs states"
    needed = {name for node in graph.node for name in reads(node)} | {value.name for value in graph.output}
    if unused := [value.name for value in graph.input if value.name not in needed]:
        _replace(graph.input, [value for value in graph.input if value.name in needed])
        yield f"these outputs do not depend on {', '.join(map(repr, unused))}: no longer an input"


def _tensors_alone(graph: Any) -> Iterator[str]:
    """Maps, sequences and optional values among the outputs are replaced by the tensors that they are made of."""
    producers = {name: node for node in graph.node for name in node.output if name}
    known = {value.name: value for value in graph.value_info}
    kept: list[Any] = []
    for value in graph.output:
        kind = kind_of(value)
        if not kind:
            kept.append(value)
            continue
        tensors = list(dict.fromkeys(_made_of(value.name, producers)))
        instead = f", and what it is made of, {', '.join(map(repr, tensors))}, is given in its place" if tensors else ""
        yield f"{value.name!r} is {kind}, which no request carries: it is left out{instead}{_columns(_maker(value.name, producers))}"
        taken = {one.name for one in kept} | {one.name for one in graph.output}
        kept += [known.get(name) or onnx.ValueInfoProto(name=name) for name in tensors if name not in taken]
    if not kept:
        first = graph.output[0] if graph.output else None
        what = f"{shown(first.name)!r} is {kind_of(first)}" if first is not None else "it lists none"
        raise SourceError(f"the model gives no tensor ({what}); name one inside it with --outputs, or export it with tensors alone")
    if len(kept) != len(graph.output) or any(map(kind_of, graph.output)):
        _replace(graph.output, kept)
        drop_unneeded(graph)


def _made_of(name: str, producers: dict[str, Any]) -> Iterator[str]:
    """The tensors that the container ``name`` is made of; none where that is not to be seen from the graph."""
    node = _maker(name, producers)
    if node is None or node.op_type not in MADE_OF:
        return
    # SplitToSequence reads the sizes of its parts too.
    for read in node.input[:1] if node.op_type == "SplitToSequence" else node.input:
        inner = _maker(read, producers)
        if inner is not None and inner.op_type in CONTAINERS:
            yield from _made_of(read, producers)
        elif read:
            yield read


def _maker(name: str, producers: dict[str, Any]) -> Any:
    """The node that makes the tensor ``name``, behind every Identity; ``None`` for an input."""
    node = producers.get(name)
    return _maker(node.input[0], producers) if node is not None and node.op_type == "Identity" else node


def _columns(node: Any) -> str:
    """The keys of a ZipMap's maps, which are the meaning of the tensor's columns."""
    if node is None or node.op_type != "ZipMap":
        return ""
    keys = [str(key) for one in node.attribute for key in (*one.ints, *(text.decode(errors="replace") for text in one.strings))]
    return f" (columns {listed(tuple(map(shown, keys)), most=12)})" if keys else ""


def _each_once(graph: Any) -> Iterator[str]:
    """An output that is listed several times is listed once."""
    counts = Counter(value.name for value in graph.output)
    if again := [name for name, count in counts.items() if count > 1]:
        _replace(graph.output, list({value.name: value for value in graph.output}.values()))
        yield f"the file lists the output {', '.join(map(repr, again))} several times; it is given once"


def _own_names(graph: Any) -> Iterator[str]:
    """Names that several nodes have are removed: a runtime refuses them, and a node needs none."""
    counts = Counter(node.name for node in graph.node if node.name)
    if again := [name for name, count in counts.items() if count > 1]:
        for node in graph.node:
            if node.name in again:
                node.ClearField("name")
        yield f"several nodes were called {listed(tuple(map(shown, again)))}; they have no names now"


def _portable(graph: Any) -> Iterator[str]:
    """Text changes case by a locale that a server may lack: a locale of the same letters takes its place."""
    changed = False
    for node in every_node(graph):
        if node.op_type == "StringNormalizer" and node.domain in ("", "ai.onnx"):
            stated = next((one for one in node.attribute if one.name == "locale"), None)
            if stated is None or stated.s.decode(errors="replace") in (LOCALE, "en_US"):
                _set(node, "locale", PORTABLE)
                changed = True
    if changed:
        yield f"StringNormalizer changes case by the locale {PORTABLE}: few servers have {LOCALE}, which knows the same letters"


def _wider(graph: Any) -> Iterator[str]:
    """bfloat16 inputs and outputs are float32 outside of the graph, which rounds its inputs to bfloat16 itself."""
    for values, first in ((graph.input, True), (graph.output, False)):
        for value in values:
            if value.type.tensor_type.elem_type != TensorProto.BFLOAT16:
                continue
            inside = f"{value.name}/bfloat16"
            rename(graph, value.name, inside)
            ends, to = ((value.name, inside), TensorProto.BFLOAT16) if first else ((inside, value.name), TensorProto.FLOAT)
            graph.node.insert(0 if first else len(graph.node), helper.make_node("Cast", [ends[0]], [ends[1]], to=to))
            value.type.tensor_type.elem_type = TensorProto.FLOAT
            yield f"{value.name!r} is bfloat16 in the file and float32 outside of it" + (": it is rounded on its way in" if first else "")


def _set(node: Any, name: str, text: str) -> None:
    for stated in [one for one in node.attribute if one.name == name]:
        node.attribute.remove(stated)
    node.attribute.append(helper.make_attribute(name, text))


def _replace(values: Any, kept: list[Any]) -> None:
    copies = [onnx.ValueInfoProto.FromString(value.SerializeToString()) for value in kept]
    del values[:]
    values.extend(copies)


def bind(model: Any, bound: tuple[BoundInput, ...]) -> None:
    """Give the ``bound`` inputs of the ModelProto their values: each becomes an initializer, and no input."""
    names = {one.name for one in bound}
    _replace(model.graph.input, [value for value in model.graph.input if value.name not in names])
    model.graph.initializer.extend(numpy_helper.from_array(one.array, one.name) for one in bound)
    model.ir_version = max(model.ir_version, IR_WITH_FILLED)

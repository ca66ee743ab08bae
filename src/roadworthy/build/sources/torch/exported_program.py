"""An ExportedProgram: its graph, and the inputs that it states. Reading one can run code, so it needs the user's permission."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch.export.pt2_archive._package import load_pt2
from torch.utils import _pytree as pytree

from roadworthy.build.sources.model import Opened
from roadworthy.build.sources.parsers import batch_symbol
from roadworthy.build.sources.parsers import exported_program as parser
from roadworthy.build.sources.parsers.zip_archive import Archive
from roadworthy.core.errors import SourceError, SourceRefused, SourceUnreadable
from roadworthy.core.stages import Source
from roadworthy.core.text import first_line
from roadworthy.core.types import TensorSpec
from roadworthy.frameworks.torch import module as torch_module
from roadworthy.frameworks.torch.calling import Arguments, Leaf

COUNTERS = ("running_mean", "running_var", "num_batches_tracked")
"""Buffers that BatchNorm changes in training mode."""


def read(source: Source) -> Opened:
    """The program and its module.

    Raises SourceError for one that keeps a state, or is not float32: the types in a captured graph cannot be changed.
    """
    if not source.trust:
        raise SourceRefused(f"{source.path} can run code when it is read; pass --trust if you know where it comes from")
    with Archive(source.path) as archive:
        method = parser.chosen(archive, source.signature, str(source.path))
        stated = parser.inputs(archive, method)
    try:
        program = load_pt2(source.path).exported_programs[method]
        module = torch_module.inference_module(program)
    except Exception as problem:
        raise SourceUnreadable(
            f"{source.path} cannot be read as an ExportedProgram: {first_line(problem)}", detail=str(problem)
        ) from problem
    _refuse_state(program, source)
    odd = {str(tensor.dtype).removeprefix("torch.") for tensor in program.state_dict.values() if tensor.is_floating_point()} - {"float32"}
    if odd:
        raise SourceError(
            f"{source.path} was exported in {', '.join(sorted(odd))}, which a captured graph cannot leave; export the float32 model"
        )
    values = {node.name: node.meta.get("val") for node in program.graph.nodes if node.op == "placeholder"}
    specs: list[TensorSpec] = []
    leaves: list[Leaf] = []
    for value, (name, placeholder) in zip(program.graph_signature.user_inputs, stated, strict=True):
        if isinstance(values.get(placeholder), torch.Tensor):
            leaves.append(Leaf(len(specs)))
            specs.append(_spec(name, values[placeholder]))
        else:
            leaves.append(Leaf(value=_constant(name if value in values else value, name, source)))
    positional, keywords = pytree.tree_unflatten(leaves, program.call_spec.in_spec)
    named, _ = batch_symbol.named(specs)
    return Opened(module, inputs=named, program=program, arguments=Arguments(positional, keywords))


def _constant(value: Any, name: str, source: Source) -> bool | int | float | str | None:
    if value is None or isinstance(value, bool | int | float) or (isinstance(value, str) and value != name):
        return value
    raise SourceError(f"{source.path} takes {name} as a number that is open; export it with a tensor there, or with a fixed number")


def _spec(name: str, value: Any) -> TensorSpec:
    sizes = tuple(size if isinstance(size, int) else str(size) for size in value.shape)
    return TensorSpec(name, str(value.dtype).removeprefix("torch."), sizes)


def _refuse_state(program: Any, source: Source) -> None:
    changed = sorted({program.graph_signature.inputs_to_buffers[name] for name in _written(program)})
    if changed and all(name.endswith(COUNTERS) for name in changed):
        raise SourceError(
            f"{source.path} was exported in training mode: BatchNorm changes {changed[0]} in every call; "
            "call eval() on the model and export it again"
        )
    if changed:
        raise SourceError(
            f"{source.path} keeps a state inside: every call changes its buffer {', '.join(changed)}, so an answer depends on the calls "
            "before it; export a model that takes this state as an input and returns it as an output"
        )


def _written(program: Any) -> Iterator[str]:
    """The placeholders of buffers that an operator of the graph writes into, directly or through a view."""
    origin = {name: name for name in program.graph_signature.inputs_to_buffers}
    for node in program.graph.nodes:
        schema = getattr(node.target, "_schema", None)
        for argument, value in zip(schema.arguments if schema else (), node.args, strict=False):
            name = origin.get(getattr(value, "name", ""))
            if name is None or argument.alias_info is None:
                continue
            if argument.alias_info.is_write:
                yield name
            origin[node.name] = name

"""An ExportedProgram: its graph, and the inputs that it states. Reading one can run code, so it needs the user's permission."""

from __future__ import annotations

from typing import Any

import torch

from roadworthy.build.sources.model import Opened
from roadworthy.build.sources.parsers import batch_symbol
from roadworthy.core.errors import SourceError, SourceRefused, SourceUnreadable
from roadworthy.core.stages import Source
from roadworthy.core.text import first_line
from roadworthy.core.types import TensorSpec


def read(source: Source) -> Opened:
    """The program and its module; SourceError for one that is not float32, because the types in a captured graph cannot be changed."""
    if not source.trust:
        raise SourceRefused(f"{source.path} can run code when it is read; pass --trust if you know where it comes from")
    try:
        program = torch.export.load(source.path)
        module = program.module()
    except Exception as problem:
        raise SourceUnreadable(
            f"{source.path} cannot be read as an ExportedProgram: {first_line(problem)}", detail=str(problem)
        ) from problem
    odd = {str(tensor.dtype).removeprefix("torch.") for tensor in program.state_dict.values() if tensor.is_floating_point()} - {"float32"}
    if odd:
        raise SourceError(
            f"{source.path} was exported in {', '.join(sorted(odd))}, which a captured graph cannot leave; export the float32 model"
        )
    for part in module.modules():
        part.training = False
    return Opened(module, inputs=_inputs(program), program=program)


def _inputs(program: Any) -> tuple[TensorSpec, ...]:
    values = {node.name: node.meta.get("val") for node in program.graph.nodes if node.op == "placeholder"}
    names = [name for name in program.graph_signature.user_inputs if isinstance(name, str)]
    specs, _ = batch_symbol.named([_spec(name, values[name]) for name in names if isinstance(values.get(name), torch.Tensor)])
    return specs


def _spec(name: str, value: Any) -> TensorSpec:
    sizes = tuple(size if isinstance(size, int) else str(size) for size in value.shape)
    return TensorSpec(name, str(value.dtype).removeprefix("torch."), sizes)

"""PyTorch's own graphs, opened for a reader of another runtime."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from roadworthy.core.stages import Graph
from roadworthy.core.types import zeros
from roadworthy.frameworks.torch.script import quiet

EXAMPLES = 2
"""Samples in the example of a TorchScript archive; one would count as a constant."""


def open_graph(graph: Graph) -> tuple[Any, tuple[Tensor, ...] | None]:
    """The ExportedProgram, which states its inputs, or the ScriptModule with example inputs in the order of the signature."""
    if graph.format == "pt2":
        return torch.export.load(graph.path), None
    examples = zeros(graph.signature.inputs, EXAMPLES if graph.signature.dynamic else 1)
    with quiet():
        script = torch.jit.load(str(graph.path), map_location="cpu")
    return script, tuple(torch.from_numpy(examples[spec.name]) for spec in graph.signature.inputs)

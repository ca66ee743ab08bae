"""The TorchScript file of the export: without branches on data and without sizes that depend on data, which XLA cannot compile."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from roadworthy.core.errors import StepFailed
from roadworthy.core.stages import Graph
from roadworthy.core.text import first_line
from roadworthy.core.types import Signature, zeros

BRANCHES = {
    "prim::If": "a branch on a value that depends on the input",
    "prim::Loop": "a loop whose end depends on the input",
}
SIZES = (
    "aten::nonzero", "aten::nonzero_numpy", "aten::masked_select", "aten::unique", "aten::_unique", "aten::_unique2", "aten::unique_dim",
    "aten::unique_consecutive", "aten::bincount", "aten::item", "aten::_local_scalar_dense", "torchvision::nms",
)  # fmt: skip
"""Operators whose result has a size, or is a number, that depends on the input's values."""


def write(graph: Graph, signature: Signature, out: Path) -> None:
    """Write the model of ``graph`` as ``out``, for calls of the sizes in ``signature``.

    An exported program is traced: it has no branches. Weights stay attributes, which move to the device; in a frozen file they would be
    constants of the CPU. Raises StepFailed for what cannot be compiled, by operator and node.
    """
    import torch

    from roadworthy.frameworks.torch.captured import open_graph
    from roadworthy.frameworks.torch.script import quiet

    opened, _ = open_graph(graph)
    example = zeros(signature.inputs)
    try:
        with quiet(), torch.no_grad():
            if graph.format == "pt2":
                tensors = tuple(torch.from_numpy(example[spec.name]) for spec in signature.inputs)
                opened = torch.jit.trace(opened.module(), tensors, check_trace=False)
            opened = opened.eval() if hasattr(opened, "training") else opened
            _refuse(opened)
            torch.jit.save(opened, str(out))
    except (RuntimeError, ValueError) as problem:
        raise StepFailed(
            f"{graph.path.name} cannot be written as TorchScript for Inferentia: {first_line(problem)}", detail=repr(problem)
        ) from problem


def _refuse(module: Any) -> None:
    """Raise StepFailed where the module has branches on data, or sizes that depend on data."""
    import torch

    # What depends on the module's mode alone is a constant once it is frozen.
    frozen = torch.jit.freeze(module) if hasattr(module, "training") else module
    found = [f"{words} (node {node!r})" for node, words in _faults(frozen.inlined_graph)]
    if found:
        raise StepFailed(
            f"neuronx-cc compiles for fixed sizes and one path, and the model has {', '.join(dict.fromkeys(found))}: write the model "
            "without it, or choose another target than inferentia"
        )


def _faults(block: Any) -> Iterator[tuple[str, str]]:
    for node in block.nodes():
        kind = node.kind()
        name = next((output.debugName() for output in node.outputs()), kind)
        if kind == "prim::Loop" and _counted(node):
            for inner in node.blocks():
                yield from _faults(inner)
        elif kind in BRANCHES:
            yield name, BRANCHES[kind]
        elif kind in SIZES:
            yield name, kind
        else:
            for inner in node.blocks():
                yield from _faults(inner)


def _counted(loop: Any) -> bool:
    """Whether a loop runs a number of times that is a constant, and never ends early."""
    count, first, *_ = loop.inputs()
    (body,) = loop.blocks()
    going, *_ = body.outputs()
    return all(value.node().kind() == "prim::Constant" for value in (count, first, going))

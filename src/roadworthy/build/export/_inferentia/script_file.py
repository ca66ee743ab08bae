"""The TorchScript file of the export: without branches on data and without sizes that depend on data, which XLA cannot compile."""

from __future__ import annotations

import warnings
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
OF_SIZES = ("aten::size", "aten::dim", "aten::len", "aten::numel", "prim::dtype", "prim::device", "prim::layout", "aten::is_floating_point")
"""Operators that read a tensor's form and not its content."""


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
        with quiet(), torch.no_grad(), warnings.catch_warnings():
            # An exported program compares the sizes of its inputs with its own, in Python, before it runs: that is not in the trace.
            warnings.simplefilter("ignore", torch.jit.TracerWarning)
            if graph.format == "pt2":
                tensors = tuple(torch.from_numpy(example[spec.name]) for spec in signature.inputs)
                # With fixed sizes first: a trace does not record sizes that are symbols.
                fixed = torch.export.export(opened.module(check_guards=False), tensors)
                opened = torch.jit.trace(fixed.module(check_guards=False), tensors, check_trace=False)
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
        name = next((output.debugName() for output in node.outputs()), "") or _said(node)
        if kind in BRANCHES and not all(map(_settled, _deciding(node))):
            yield name, BRANCHES[kind]
        elif kind in SIZES:
            yield name, kind
        for inner in node.blocks():
            yield from _faults(inner)


def _deciding(node: Any) -> list[Any]:
    """The values that say which way a branch goes, or when a loop ends."""
    inputs = list(node.inputs())
    if node.kind() == "prim::If":
        return inputs[:1]
    (body,) = node.blocks()
    return [*inputs[:2], next(iter(body.outputs()))]


def _settled(value: Any) -> bool:
    """Whether a value is known once the sizes of the inputs are: it depends on no tensor's content."""
    node = value.node()
    if node.kind() in OF_SIZES or node.kind() == "prim::Constant":
        return True
    tensor = "Tensor" in str(value.type())
    if node.kind() == "prim::Param":
        return not tensor
    return not tensor and all(map(_settled, node.inputs()))


def _said(node: Any) -> str:
    """The line of the source that a node without a result comes from."""
    return next(
        (line.strip() for line in str(node.sourceRange()).splitlines() if "<--- HERE" not in line and line.strip()), str(node.kind())
    )

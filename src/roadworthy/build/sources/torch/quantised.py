"""Whether a PyTorch module computes in whole numbers, and whether it finds their scale in each call."""

from __future__ import annotations

from typing import Any

import torch

from roadworthy.core.stages import Precision

DYNAMIC = (
    "quantized::linear_dynamic",
    "quantized::quantized_lstm_dynamic",
    "quantized::quantized_gru_dynamic",
    "quantize_per_tensor_dynamic",
)
"""Operators that find the scale of their input in the input of the call."""


OF_TORCH = ("torch.ao.nn.quantized", "torch.ao.nn.intrinsic.quantized")
"""The packages of PyTorch's own quantised layers."""


def precision(module: Any) -> Precision:
    """``int8`` for a module that came quantised, whatever it is written in."""
    return "int8" if any("quantized" in name for name in _used(module)) else "fp32"


def neighbours(module: Any) -> str:
    """What is quantised on the fly, in words: the scale is that of all samples of a call. Empty where nothing is."""
    found = next((name for name in _used(module) if any(one in name for one in DYNAMIC) or "quantized.dynamic" in name), None)
    return f"the model finds the scale of its whole numbers in each call ({found})" if found else ""


def _used(module: Any) -> list[str]:
    """The operators of a graph, and the packages of the parts of a module."""
    if isinstance(module, torch.jit.ScriptModule):
        try:
            return [node.kind() for node in _nodes(module.inlined_graph)]
        except RuntimeError:  # a module without a forward of its own
            return []
    found: list[str] = []
    for part in module.modules():
        kind = type(part)
        if kind.__module__.startswith(OF_TORCH):
            found.append(f"{kind.__module__}.{kind.__name__}")
        elif isinstance(part, torch.fx.GraphModule):
            found += [str(node.target) for node in part.graph.nodes if node.op == "call_function"]
        elif isinstance(part, torch.jit.ScriptModule):
            found += _used(part)
    return found


def _nodes(graph: Any) -> list[Any]:
    found = []
    for node in graph.nodes():
        found += [node, *(inner for block in node.blocks() for inner in _nodes(block))]
    return found

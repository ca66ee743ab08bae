"""A stand-in for AWS's torch_neuronx: it records how a model is compiled, and what it returns is the same model on the CPU."""

from __future__ import annotations

from typing import Any

__version__ = "2.9.0"
asked: list[dict[str, Any]] = []


def trace(func: Any, example_inputs: tuple[Any, ...], *, compiler_args: list[str]) -> Any:
    asked.append({"shapes": [list(tensor.shape) for tensor in example_inputs], "arguments": compiler_args, "training": func.training})
    return func

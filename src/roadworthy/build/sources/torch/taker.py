"""What is known of a PyTorch module before its signature is: its parameters, the dtype of its weights, and a call."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from itertools import chain
from typing import Any

import torch

from roadworthy.build.sources.model import Opened
from roadworthy.build.sources.samples.fit import Taker
from roadworthy.build.sources.torch import forward
from roadworthy.core.types import Array, TensorSpec


def taker(opened: Opened, said: tuple[TensorSpec, ...]) -> Taker:
    """How the module of ``opened`` takes samples; ``said`` are the inputs that the user stated, maybe none."""
    names = forward.parameters(opened.module)
    optional = _optional(opened.module, names)

    def call(feeds: Mapping[str, Array]) -> Any:
        opened.module.eval()
        tensors = {name: torch.from_numpy(array.copy()) for name, array in feeds.items()}
        by_name = not isinstance(opened.module, torch.jit.ScriptModule) and set(feeds) <= {*names, *optional}
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            return opened.module(**tensors) if by_name else opened.module(*tensors.values())

    return Taker(opened.inputs or said, names, _weights(opened.module), call, optional)


def _optional(module: Any, names: tuple[str, ...]) -> tuple[str, ...]:
    """The parameters of ``forward`` that have a default."""
    if isinstance(module, torch.jit.ScriptModule):
        return ()
    found = inspect.signature(module.forward).parameters.values()
    fixed = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return tuple(parameter.name for parameter in found if parameter.kind not in fixed and parameter.name not in names)


def _weights(module: Any) -> str:
    """The dtype that most of the module's floats have: those of a narrow type are raised to float32 before it is proven."""
    sizes = {torch.float64: 0}
    for tensor in chain(torch.nn.Module.parameters(module), torch.nn.Module.buffers(module)):
        if tensor.is_floating_point():
            sizes[tensor.dtype] = sizes.get(tensor.dtype, 0) + tensor.numel()
    return "float64" if sizes[torch.float64] and max(sizes, key=lambda dtype: sizes[dtype]) == torch.float64 else "float32"

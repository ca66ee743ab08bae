"""The parts and tensors of a module by torch's own tables: a model may have attributes called like the methods that list them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor


def named_parts(module: Any, name: str = "", seen: set[int] | None = None) -> Iterator[tuple[str, Any]]:
    """Every module inside ``module`` with its name, itself first under the empty name; each once."""
    if isinstance(module, torch.jit.ScriptModule):
        yield from ((f"{name}.{inner}".strip("."), part) for inner, part in module.named_modules())
        return
    seen = set() if seen is None else seen
    if id(module) in seen:
        return
    seen.add(id(module))
    yield name, module
    for child, part in vars(module)["_modules"].items():
        if part is not None:
            yield from named_parts(part, f"{name}.{child}" if name else child, seen)


def parts(module: Any) -> Iterator[Any]:
    """Every module inside ``module``, itself first."""
    return (part for _, part in named_parts(module))


def own_parameters(part: Any) -> list[Tensor]:
    """The parameters of ``part`` itself, without those of its parts."""
    return [tensor for tensor in part._parameters.values() if tensor is not None]


def parameters(module: Any) -> list[Tensor]:
    """Every parameter of ``module``, each once."""
    found = {id(tensor): tensor for part in parts(module) for tensor in own_parameters(part)}
    return list(found.values())


def tensors(module: Any) -> list[Tensor]:
    """Every parameter and buffer of ``module``, each once."""
    buffers = {id(tensor): tensor for part in parts(module) for tensor in part._buffers.values() if tensor is not None}
    return [*parameters(module), *buffers.values()]


def to_inference(module: Any) -> None:
    """Put every part of ``module`` into inference mode, by its own ``eval`` where that is torch's."""
    try:
        module.eval()
    except Exception:
        # The model has an attribute, or a method of another meaning, called eval, train or children; a captured graph has no modes.
        for part in parts(module):
            part.training = False


def convert(module: Any, change: Callable[[Tensor], Tensor]) -> None:
    """Give every parameter and buffer the values that ``change`` makes of it, in place."""
    for tensor in tensors(module):
        tensor.data = change(tensor.data)

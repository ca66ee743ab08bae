"""What a PyTorch module holds at the moment: its buffers, its weights, and the tensors and numbers in the attributes of its parts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from roadworthy.core.types import Array

OF_TORCH = frozenset(vars(torch.nn.Module()))
"""The attributes that every module has."""


def of(module: Any) -> dict[str, Array]:
    """Arrays and numbers by a name that says which attribute of which part holds them, as they are now."""
    return dict(_all(module))


def _all(module: Any) -> Iterator[tuple[str, Array]]:
    for path, part in module.named_modules():
        where = f"of {path!r} ({type(part).__name__})" if path else f"of {type(part).__name__}"
        if isinstance(part, torch.nn.modules.batchnorm._NormBase):
            continue  # what training would change
        for name, buffer in part.named_buffers(recurse=False):
            yield f"the buffer {name!r} {where}", _array(buffer)
        for name, weight in part.named_parameters(recurse=False):
            yield f"the parameter {name!r} {where}", _array(weight)
        own = {} if isinstance(part, torch.jit.ScriptModule) else vars(part)
        for name, value in own.items():
            if name not in OF_TORCH:
                yield from ((f"the attribute {name!r} {where}", kept) for kept in [_kept(value)] if kept is not None)


def _kept(value: Any) -> Array | None:
    """An attribute as something that can be compared later; ``None`` for what is neither numbers nor tensors."""
    if isinstance(value, Tensor):
        return _array(value)
    if isinstance(value, bool | int | float):
        return np.array(value)
    if isinstance(value, tuple | list) and value and all(isinstance(one, Tensor) for one in value):
        return np.concatenate([_array(one).reshape(-1) for one in value])
    return None


def _array(tensor: Tensor) -> Array:
    with torch.no_grad():
        plain = tensor.detach()
        plain = plain.dequantize() if plain.is_quantized else plain
        return np.array((plain.float() if plain.dtype == torch.bfloat16 else plain).cpu().numpy())

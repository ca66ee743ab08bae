"""The layers that can be cut: where their channels stand, and what a cut changes in them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from roadworthy.core.types import Array
from roadworthy.frameworks.torch import traversal

CONVOLUTIONS = {nn.Conv1d: 1, nn.Conv2d: 2, nn.Conv3d: 3}
"""Their axes behind that of the channels."""
NORMALISATIONS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
PER_CHANNEL = ("weight", "bias", "running_mean", "running_var")


def mixes(layer: Any) -> bool:
    """Whether each channel that it gives comes from several that it reads."""
    return type(layer) is nn.Linear or (type(layer) in CONVOLUTIONS and not _depthwise(layer))


def keeps_apart(layer: Any) -> bool:
    """Whether it has weights for each channel, and each channel that it gives comes from one that it reads."""
    return isinstance(layer, NORMALISATIONS) or _depthwise(layer) or (type(layer) is nn.PReLU and layer.num_parameters > 1)


def weighted(layer: Any) -> bool:
    """Whether it is a layer with weights of its own, of more than one number."""
    if isinstance(layer, (nn.Linear, *CONVOLUTIONS, *NORMALISATIONS)):
        return True
    return not layer._modules and any(parameter.numel() > 1 for parameter in traversal.own_parameters(layer))


def unfit(layer: Any) -> str:
    """Why the layer's weights cannot be cut, in words after its name; empty where they can."""
    if layer._forward_pre_hooks or layer._forward_hooks:
        return "has functions that run at each call (hooks, as weight_norm, spectral_norm and prune set them)"
    if not (mixes(layer) or keeps_apart(layer)):
        return f"is of the class {type(layer).__module__}.{type(layer).__qualname__}, whose channels cannot be cut"
    if "forward" in vars(layer):
        return "has a forward function of its own"
    return ""


def axis(layer: Any, tensor: Tensor) -> int:
    """The axis of the channels in what the layer reads."""
    if type(layer) is nn.Linear:
        return int(tensor.ndim) - 1
    if type(layer) in CONVOLUTIONS:
        return int(tensor.ndim) - 1 - CONVOLUTIONS[type(layer)]
    return 1


def given(layer: Any) -> int:
    """How many channels the layer gives."""
    return int(layer.out_features if type(layer) is nn.Linear else layer.out_channels)


def groups(layer: Any) -> int:
    """The number of groups of the layer's channels that it reads and gives apart from each other."""
    return int(getattr(layer, "groups", 1))


def cut(layer: Any, read: Array, made: Array) -> None:
    """Leave only the channels ``read`` of what it reads and ``made`` of what it gives: two arrays of truth values.

    The tensors that were there before are not changed. Each group keeps as many channels as the others.
    """
    kept = torch.from_numpy(np.flatnonzero(made))
    reads, makes = int(read.sum()), int(made.sum())
    if mixes(layer):
        _replace(layer, "weight", _of_groups(layer.weight, read, made, groups(layer)))
        _replace(layer, "bias", layer.bias if layer.bias is None else layer.bias[kept])
    else:
        for name in PER_CHANNEL:
            if getattr(layer, name, None) is not None:
                _replace(layer, name, getattr(layer, name)[kept])
    if type(layer) is nn.Linear:
        layer.in_features, layer.out_features = reads, makes
    elif type(layer) in CONVOLUTIONS:
        layer.groups = reads if _depthwise(layer) else layer.groups
        layer.in_channels, layer.out_channels = reads, makes
    elif type(layer) is nn.PReLU:
        layer.num_parameters = makes
    else:
        layer.num_features = makes


def silence(layer: Any, read: Array) -> None:
    """Let a layer that mixes channels read nothing from those that are not in ``read``; the tensor that was there is not changed."""
    weight = layer.weight.detach().clone()
    number, dead = groups(layer), torch.from_numpy(~read)
    for rows, columns in zip(weight.chunk(number), dead.chunk(number), strict=True):
        rows[:, columns] = 0
    _replace(layer, "weight", weight)


def _of_groups(weight: Tensor, read: Array, made: Array, number: int) -> Tensor:
    rows, columns = torch.from_numpy(made).chunk(number), torch.from_numpy(read).chunk(number)
    return torch.cat([part[row][:, column] for part, row, column in zip(weight.chunk(number), rows, columns, strict=True)])


def _replace(layer: Any, name: str, tensor: Tensor | None) -> None:
    if tensor is None:
        return
    tensor = tensor.detach().clone(memory_format=torch.contiguous_format)
    if name in layer._parameters:
        layer._parameters[name] = nn.Parameter(tensor, requires_grad=layer._parameters[name].requires_grad)
    else:
        layer._buffers[name] = tensor


def _depthwise(layer: Any) -> bool:
    return type(layer) in CONVOLUTIONS and layer.groups == layer.in_channels > 1

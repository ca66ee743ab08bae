"""The layers of a PyTorch module: every submodule that has no submodules."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from roadworthy.build.compare.layer_diff.recorded import Layer, Recorded, Recorder
from roadworthy.build.sources.layer_events import LayerEvent
from roadworthy.build.sources.torch import layer_hooks
from roadworthy.core.stages import Graph
from roadworthy.core.types import Array, Arrays
from roadworthy.frameworks.torch import module as torch_module
from roadworthy.frameworks.torch.session import exact_float32

KINDS = {
    "Linear": "dense", "Flatten": "flatten", "LayerNorm": "layer norm", "Embedding": "embedding",
    **dict.fromkeys(("Conv1d", "Conv2d", "Conv3d"), "conv"),
    **dict.fromkeys(("BatchNorm1d", "BatchNorm2d", "BatchNorm3d"), "norm"),
    **dict.fromkeys(("MaxPool1d", "MaxPool2d", "MaxPool3d"), "max pool"),
    **dict.fromkeys(("AvgPool1d", "AvgPool2d", "AvgPool3d"), "average pool"),
    **dict.fromkeys(("AdaptiveAvgPool1d", "AdaptiveAvgPool2d", "AdaptiveAvgPool3d"), "global pool"),
    **dict.fromkeys(("ReLU", "ReLU6", "LeakyReLU", "ELU", "GELU", "SiLU", "Hardswish", "Hardsigmoid", "Hardtanh", "Sigmoid", "Tanh",
                     "Softmax", "Softplus", "Mish"), "activation"),
}  # fmt: skip
SILENT = ("Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "AlphaDropout", "Identity")
"""Layers that do nothing in inference mode."""


def record(graph: Graph, feeds: Arrays, out: Path) -> Recorded:
    """Run the module once and keep what its layers take and give. A TorchScript archive or a captured program has no layers."""
    exact_float32()
    module = torch_module.load(graph.path)
    if not layer_hooks.watchable(module) or graph.path.name != torch_module.PICKLE:
        return Recorded(out, (), "a TorchScript archive or an exported program shows no layers; only its outputs are compared")
    recorder = Recorder(out)
    given: list[Array] = []

    def see(event: LayerEvent) -> None:
        if type(event.layer).__name__ in SILENT or event.layer._modules:
            return
        if event.begins:
            given[:] = event.arrays[:1]
        elif given and len(event.arrays) == 1:
            recorder.add(_layer(event.name.removeprefix("module."), event.layer), given[0], event.arrays[0], _weights(event.layer))

    with layer_hooks.watched(module, see), torch.no_grad():
        module(*[torch.from_numpy(feeds[spec.name].copy()) for spec in graph.signature.inputs])
    return recorder.done()


def _layer(name: str, part: Any) -> Layer:
    kind = KINDS.get(type(part).__name__, type(part).__name__)
    layer: dict[str, Any] = {"name": name or "the model", "type": type(part).__name__, "kind": kind, "shape": (), "channels_first": True}
    if kind in ("conv", "max pool", "average pool"):
        axes = int(type(part).__name__[-2])
        kernel, stride = _tuple(part.kernel_size, axes), _tuple(part.stride, axes)
        dilation = _tuple(getattr(part, "dilation", 1), axes)
        layer |= {"kernel": kernel, "stride": stride, "dilation": dilation, "groups": getattr(part, "groups", 1)}
        layer["pads"] = _pads(part.padding, kernel, dilation)
    return Layer(**layer, epsilon=getattr(part, "eps", None), momentum=getattr(part, "momentum", None))


def _pads(padding: Any, kernel: tuple[int, ...], dilation: tuple[int, ...]) -> tuple[tuple[int, int], ...]:
    if padding == "valid":
        return tuple((0, 0) for _ in kernel)
    if padding == "same":
        # Only with a stride of 1; the odd zero comes last here as well.
        spans = [step * (size - 1) for size, step in zip(kernel, dilation, strict=True)]
        return tuple((span // 2, span - span // 2) for span in spans)
    return tuple((size, size) for size in _tuple(padding, len(kernel)))


def _weights(part: Any) -> dict[str, Array]:
    kind = KINDS.get(type(part).__name__)
    named: dict[str, Array | None] = {}
    if kind == "conv":
        # From [out, in, *space] to [*space, in, out].
        named = {"kernel": np.moveaxis(_array(part.weight), (0, 1), (-1, -2)), "bias": _array(part.bias)}
    elif kind == "dense":
        named = {"kernel": _array(part.weight).T, "bias": _array(part.bias)}
    elif kind == "norm":
        pairs = {"gamma": part.weight, "beta": part.bias, "mean": part.running_mean, "variance": part.running_var}
        named = {name: _array(tensor) for name, tensor in pairs.items()}
    return {name: array for name, array in named.items() if array is not None and array.ndim}


def _array(tensor: Tensor | None) -> Array:
    array: Array = np.array(None) if tensor is None else tensor.detach().numpy().copy()
    return array


def _tuple(value: Any, axes: int) -> tuple[int, ...]:
    return tuple(int(size) for size in value) if isinstance(value, tuple | list) else (int(value),) * axes

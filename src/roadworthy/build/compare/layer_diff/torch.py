"""The layers of a PyTorch module, by forward hooks on every part that has no parts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from roadworthy.build.compare.layer_diff.recorded import Layer, Recorded, Recorder
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
"""They do nothing in inference mode."""


def record(graph: Graph, feeds: Arrays, out: Path) -> Recorded:
    """Run the module once with hooks in place. A TorchScript archive or a captured program has no layers to hook."""
    exact_float32()
    module = torch_module.load(graph.path)
    if isinstance(module, torch.jit.ScriptModule | torch.fx.GraphModule) or graph.path.name != torch_module.PICKLE:
        return Recorded(out, (), "a TorchScript archive or an exported program shows no layers; only its outputs are compared")
    recorder, handles = Recorder(out), []
    for path, part in module.named_modules():
        if not list(part.children()) and type(part).__name__ not in SILENT:
            handles.append(part.register_forward_hook(_hook(path.removeprefix("module."), recorder)))
    try:
        with torch.no_grad():
            module(*[torch.from_numpy(feeds[spec.name].copy()) for spec in graph.signature.inputs])
    finally:
        for handle in handles:
            handle.remove()
    return recorder.done()


def _hook(name: str, recorder: Recorder) -> Any:
    def hook(part: nn.Module, arguments: tuple[Any, ...], answer: Any) -> None:
        if not (arguments and isinstance(arguments[0], Tensor) and isinstance(answer, Tensor)):
            return
        weights = _weights(part)
        recorder.add(_layer(name, part), _array(arguments[0]), _array(answer), weights)

    return hook


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

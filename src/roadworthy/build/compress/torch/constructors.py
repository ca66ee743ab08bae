"""A layer as the expression that makes it, with every size as a literal."""

from __future__ import annotations

import inspect
from typing import Any

from roadworthy.build.compress.torch.channels import layers
from roadworthy.core.errors import SourceError

TENSORS = ("bias", "device", "dtype", "affine", "init")


def expression(name: str, layer: Any) -> str:
    """``nn.Conv2d(16, 8, kernel_size=(3, 3), padding=(1, 1), bias=False)``: arguments that have their default value are left out.

    Raises SourceError for a layer of a class that has other arguments than attributes.
    """
    kind = type(layer)
    if not (layers.mixes(layer) or layers.keeps_apart(layer)):
        raise SourceError(f"the smaller model cannot be given back as code: the layer {name} is a {kind.__name__} and has changed")
    values: list[str] = []
    for argument in inspect.signature(kind).parameters.values():
        required = argument.default is inspect.Parameter.empty
        if argument.name not in TENSORS:
            value = getattr(layer, argument.name)
            if required and len(values) < 2 and isinstance(value, int):
                values.append(repr(value))
            elif required or (value != argument.default and not _same(value, argument.default)):
                values.append(f"{argument.name}={value!r}")
    if getattr(layer, "affine", True) is False:
        values.append("affine=False")
    elif "bias" in inspect.signature(kind).parameters and layer.bias is None:
        values.append("bias=False")
    return f"nn.{kind.__name__}({', '.join(values)})"


def _same(value: Any, default: Any) -> bool:
    """A convolution keeps ``padding=1`` as ``(1, 1)``."""
    return isinstance(value, tuple) and all(one == default for one in value)

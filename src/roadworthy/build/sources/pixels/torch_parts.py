"""Parts of a live PyTorch module that seem to normalise pixels: those that hold a mean and a deviation for each channel."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from roadworthy.build.sources.pixels.affine import divided, written
from roadworthy.core.stages import InnerLayer
from roadworthy.frameworks.torch import traversal

PAIRS = (("mean", "std"), ("image_mean", "image_std"), ("pixel_mean", "pixel_std"))
"""How such a part calls them; a BatchNorm has ``running_mean`` and is not one."""
CHANNELS = 3


def read(module: Any) -> tuple[InnerLayer, ...]:
    """The first such part of ``module``, as a guess: by names and values, not by what is called first."""
    for name, part in traversal.named_parts(module):
        for found in _pairs(part):
            mean, std = found
            kind = type(part).__name__
            words = f"{kind}(mean={written(mean)}, std={written(std)})"
            layer = divided(name or kind, words, mean, std)
            return (InnerLayer(layer.name, words, layer.scale, layer.offset, stated=False),)
    return ()


def _pairs(part: Any) -> Iterator[tuple[tuple[float, ...], tuple[float, ...]]]:
    for names in PAIRS:
        mean, std = (_numbers(getattr(part, name, None)) for name in names)
        if len(mean) == len(std) == CHANNELS and min(std) > 0:
            yield mean, std


def _numbers(value: Any) -> tuple[float, ...]:
    """Three numbers; empty for anything else."""
    if hasattr(value, "detach"):
        value = value.detach().flatten().tolist() if value.numel() == CHANNELS else ()
    known = isinstance(value, list | tuple) and len(value) == CHANNELS and all(isinstance(one, int | float) for one in value)
    return tuple(map(float, value)) if known and all(map(math.isfinite, value)) else ()

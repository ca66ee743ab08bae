"""Rounding as in int8 while a PyTorch module learns, so that it still answers well when it is really quantised.

The weights of every convolution and linear layer are rounded for each of their output channels, and their inputs for the whole tensor,
with ranges that follow the batches; slopes pass through the rounding as if it were not there (Jacob et al. 2018). Batch normalisation
behind a layer is folded into it later: that multiplies each output channel by one number, and so moves no weight off its grid. What is
left at the end are plain float32 weights, for the usual quantisation by calibration.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from roadworthy.core.host import Host
from roadworthy.frameworks.torch import traversal

LAYERS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)
FOLLOWING = 0.05
"""The part of a batch's range in the running one."""
TINY = 1e-8


def weight_levels(host: Host) -> int:
    """The largest weight as a whole number: 127, or 63 where products of full 8-bit numbers would saturate (x86 before VNNI)."""
    saturates = host.architecture == "x86_64" and not (host.has("avx512_vnni") or host.has("avx_vnni"))
    return 63 if saturates else 127


class RoundedWeight(nn.Module):  # type: ignore[misc]
    """A weight on the grid of int8: symmetric, for each output channel (the first axis)."""

    def __init__(self, levels: int) -> None:
        super().__init__()
        self.levels = levels

    def forward(self, weight: Tensor) -> Tensor:
        with torch.no_grad():
            scale = weight.abs().flatten(1).amax(dim=1).clamp(min=TINY) / self.levels
            zero = torch.zeros_like(scale, dtype=torch.int32)
        return torch.fake_quantize_per_channel_affine(weight, scale, zero, 0, -self.levels, self.levels)


class RoundedInput:
    """A hook that puts the first input of a layer on the grid of 8 bits, over the range that it had in the batches so far."""

    def __init__(self) -> None:
        self.low, self.high = torch.zeros(()), torch.zeros(())
        self.began = torch.zeros(())
        self.learning = True

    def __call__(self, layer: Any, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        first = inputs[0]
        if self.learning:
            low, high = torch.aminmax(first.detach())
            part = FOLLOWING if self.began else 1.0
            # Zero is always on the grid: padding is zero.
            self.low.lerp_(low.clamp(max=0.0), part)
            self.high.lerp_(high.clamp(min=0.0), part)
            self.began.fill_(1.0)
        scale = ((self.high - self.low) / 255).clamp(min=TINY)
        zero = (-self.low / scale).round().clamp(0, 255)
        return (torch.fake_quantize_per_tensor_affine(first, scale, zero.int(), 0, 255), *inputs[1:])

    def tensors(self) -> tuple[Tensor, Tensor, Tensor]:
        """What it knows, to be kept with the weights."""
        return self.low, self.high, self.began


class FakeInt8:
    """The roundings in one module."""

    def __init__(self, module: Any, levels: int) -> None:
        self._layers = [part for part in traversal.parts(module) if isinstance(part, LAYERS) and not parametrize.is_parametrized(part)]
        self._inputs = [RoundedInput() for _ in self._layers]
        self._hooks = [part.register_forward_pre_hook(rounded) for part, rounded in zip(self._layers, self._inputs, strict=True)]
        for part in self._layers:
            parametrize.register_parametrization(part, "weight", RoundedWeight(levels), unsafe=True)

    def tensors(self) -> dict[str, Tensor]:
        """All that it knows beside the module, by a name of its own."""
        return {f"{number}.{place}": one for number, rounded in enumerate(self._inputs) for place, one in enumerate(rounded.tensors())}

    @contextmanager
    def still(self) -> Iterator[None]:
        """Inside the block the ranges do not follow what passes."""
        for rounded in self._inputs:
            rounded.learning = False
        try:
            yield
        finally:
            for rounded in self._inputs:
                rounded.learning = True

    def remove(self) -> None:
        """Take the roundings out; the weights are float32 as they were learned, before rounding."""
        for hook in self._hooks:
            hook.remove()
        for part in self._layers:
            parametrize.remove_parametrizations(part, "weight", leave_parametrized=False)

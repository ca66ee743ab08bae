"""Networks for ``benchmarks/compress.py``: a small student of the CIFAR ResNet-20, and one of depthwise convolutions for the digits."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


def _block(channels_in: int, channels: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels_in, channels, 3, stride, padding=1, bias=False), nn.BatchNorm2d(channels), nn.ReLU(),
        nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels), nn.ReLU(),
    )  # fmt: skip


def small_cifar() -> nn.Sequential:
    """Six convolutions of 16, 24 and 40 channels, 67,000 weights: a quarter of those of the ResNet-20."""
    return nn.Sequential(
        _block(3, 16, 1), _block(16, 24, 2), _block(24, 48, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(48, 10)
    )  # fmt: skip


class DepthwiseDigits(nn.Module):
    """Inverted residuals of depthwise and 1x1 convolutions with few channels: input [n, 1, 8, 8], output [n, 10]."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, width, 3, padding=1)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Conv2d(width, width, 3, padding=1, groups=width), nn.ReLU(), nn.Conv2d(width, width, 1)) for _ in range(4)
        )
        self.head = nn.Linear(width, 10)

    def forward(self, image: Tensor) -> Tensor:
        x = F.relu(self.stem(image))
        for block in self.blocks:
            x = x + block(x)
        return self.head(x.mean((2, 3)))

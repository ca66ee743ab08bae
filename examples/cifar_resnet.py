"""ResNets for 32x32 images: He et al. 2016, "Deep Residual Learning for Image Recognition", section 4.2.

Three stages of n blocks with 16, 32 and 64 channels give 6n + 2 layers. Shortcuts are of option A: where a stage begins,
every other pixel is taken and the new channels are zeros, so that shortcuts have no weights. Input float32
[batch, 3, 32, 32], output [batch, num_classes].
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class Block(nn.Module):
    """Two 3x3 convolutions beside a shortcut."""

    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.stride, self.new = stride, channels - channels_in

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if self.new:
            x = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.new // 2, self.new - self.new // 2))
        return F.relu(x + y)


class ResNet(nn.Module):
    """``blocks`` blocks in each of the three stages."""

    def __init__(self, blocks: int, num_classes: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = _stage(16, 16, blocks, 1)
        self.layer2 = _stage(16, 32, blocks, 2)
        self.layer3 = _stage(32, 64, blocks, 2)
        self.linear = nn.Linear(64, num_classes)

    def forward(self, image: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(image)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.linear(x.mean((2, 3)))


def _stage(channels_in: int, channels: int, blocks: int, stride: int) -> nn.Sequential:
    first = Block(channels_in, channels, stride)
    return nn.Sequential(first, *(Block(channels, channels, 1) for _ in range(blocks - 1)))


def resnet20(num_classes: int = 10) -> ResNet:
    """Three blocks a stage: 0.27 million weights."""
    return ResNet(3, num_classes)


def resnet56(num_classes: int = 10) -> ResNet:
    """Nine blocks a stage: 0.85 million weights."""
    return ResNet(9, num_classes)

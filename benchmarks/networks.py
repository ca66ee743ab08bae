"""Two image networks at 224 x 224 with random weights, as PyTorch initialises them.

``resnet18`` is He et al., "Deep Residual Learning for Image Recognition" (2016); ``mobilenet_v3_small`` is Howard et
al., "Searching for MobileNetV3" (2019). Layers are named as in torchvision, so that its checkpoints fit.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions around which the input is added."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample: nn.Module | None = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(x)) + shortcut)


class ResNet18(nn.Module):
    """Input [n, 3, 224, 224], output [n, classes]; 11.7 million parameters at 1,000 classes."""

    def __init__(self, classes: int = 1000) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        self.layer1, self.layer2 = _stage(64, 64, 1), _stage(64, 128, 2)
        self.layer3, self.layer4 = _stage(128, 256, 2), _stage(256, 512, 2)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(512, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(self.avgpool(x).flatten(1))


def _stage(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    return nn.Sequential(BasicBlock(inputs, outputs, stride), BasicBlock(outputs, outputs, 1))


class ConvNorm(nn.Sequential):
    """Convolution, BatchNorm and, where one is given, an activation."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, groups: int, activation: type[nn.Module] | None) -> None:
        layers: list[nn.Module] = [
            nn.Conv2d(inputs, outputs, kernel, stride, (kernel - 1) // 2, groups=groups, bias=False),
            nn.BatchNorm2d(outputs, eps=0.001, momentum=0.01),
        ]
        if activation is not None:
            layers.append(activation(inplace=True))
        super().__init__(*layers)


class SqueezeExcitation(nn.Module):
    """Each channel scaled by what all channels are on average: Hu et al., "Squeeze-and-Excitation Networks" (2018)."""

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc1 = nn.Conv2d(channels, squeezed, 1)
        self.fc2 = nn.Conv2d(squeezed, channels, 1)
        self.activation, self.scale_activation = nn.ReLU(), nn.Hardsigmoid()

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale_activation(self.fc2(self.activation(self.fc1(self.avgpool(x)))))


class InvertedResidual(nn.Module):
    """Expand by 1 x 1, filter by channel, squeeze and excite, project back by 1 x 1."""

    def __init__(self, inputs: int, kernel: int, expanded: int, outputs: int, excite: bool, hard: bool, stride: int) -> None:
        super().__init__()
        activation: type[nn.Module] = nn.Hardswish if hard else nn.ReLU
        layers: list[nn.Module] = [] if expanded == inputs else [ConvNorm(inputs, expanded, 1, 1, 1, activation)]
        layers.append(ConvNorm(expanded, expanded, kernel, stride, expanded, activation))
        if excite:
            layers.append(SqueezeExcitation(expanded, _divisible(expanded // 4)))
        layers.append(ConvNorm(expanded, outputs, 1, 1, 1, None))
        self.block = nn.Sequential(*layers)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        return x + self.block(x) if self.residual else self.block(x)


class MobileNetV3Small(nn.Module):
    """Input [n, 3, 224, 224], output [n, classes]; 2.5 million parameters at 1,000 classes."""

    # Table 2 of the paper: kernel, expanded, outputs, squeeze-and-excite, hardswish, stride.
    BLOCKS = (
        (3, 16, 16, True, False, 2), (3, 72, 24, False, False, 2), (3, 88, 24, False, False, 1), (5, 96, 40, True, True, 2),
        (5, 240, 40, True, True, 1), (5, 240, 40, True, True, 1), (5, 120, 48, True, True, 1), (5, 144, 48, True, True, 1),
        (5, 288, 96, True, True, 2), (5, 576, 96, True, True, 1), (5, 576, 96, True, True, 1),
    )  # fmt: skip

    def __init__(self, classes: int = 1000) -> None:
        super().__init__()
        layers: list[nn.Module] = [ConvNorm(3, 16, 3, 2, 1, nn.Hardswish)]
        inputs = 16
        for kernel, expanded, outputs, excite, hard, stride in self.BLOCKS:
            layers.append(InvertedResidual(inputs, kernel, expanded, outputs, excite, hard, stride))
            inputs = outputs
        layers.append(ConvNorm(inputs, 6 * inputs, 1, 1, 1, nn.Hardswish))
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(
            nn.Linear(6 * inputs, 1024), nn.Hardswish(inplace=True), nn.Dropout(0.2, inplace=True), nn.Linear(1024, classes)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.avgpool(self.features(x)).flatten(1))


def _divisible(channels: float, by: int = 8) -> int:
    """The nearest multiple of ``by``, never more than a tenth below."""
    rounded = max(by, int(channels + by / 2) // by * by)
    return rounded + by if rounded < 0.9 * channels else rounded


def resnet18(seed: int = 0) -> ResNet18:
    """In inference mode, the same weights for a seed every time."""
    torch.manual_seed(seed)
    return ResNet18().eval()


def mobilenet_v3_small(seed: int = 0) -> MobileNetV3Small:
    """In inference mode, the same weights for a seed every time."""
    torch.manual_seed(seed)
    return MobileNetV3Small().eval()

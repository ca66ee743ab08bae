"""A network so small that answering costs less than asking: 2 convolutions and a linear layer, 9,098 parameters."""

from __future__ import annotations

from torch import Tensor, nn


class Tiny(nn.Module):
    """Input [n, 1, 28, 28], output [n, 10]."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        )  # fmt: skip
        self.head = nn.Linear(16 * 7 * 7, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x).flatten(1))

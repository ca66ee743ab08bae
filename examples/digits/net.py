"""A small CNN for scikit-learn's handwritten digits; ``roadworthy deploy --arch net.py:DigitsNet`` builds it from here."""

from __future__ import annotations

from torch import Tensor, nn


class DigitsNet(nn.Module):
    """Three convolutions and a linear layer: input [n, 1, 8, 8] in 0..1, output [n, 10] logits."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, width, 3, padding=1),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, 2 * width, 3, padding=1),
            nn.BatchNorm2d(2 * width),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(2 * width, 2 * width, 3, padding=1),
            nn.BatchNorm2d(2 * width),
            nn.ReLU(),
            nn.MaxPool2d(2),
        )
        self.head = nn.Sequential(nn.Flatten(), nn.Dropout(0.3), nn.Linear(8 * width, 10))

    def forward(self, image: Tensor) -> Tensor:
        return self.head(self.features(image))

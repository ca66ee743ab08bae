"""The network in PyTorch: written, trained, exported and served. ``benchmarks/frameworks.py`` counts the lines of each function.

``python in_pytorch.py OUT`` trains it on scikit-learn's digits and leaves ``OUT/net.pt`` (the weights) and ``OUT/exported.pt2``.
"""

from __future__ import annotations

import sys
from pathlib import Path

import digits
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy


class Net(nn.Module):
    """Two convolutions, each with a pooling, and two linear layers: input [n, 1, size, size], output [n, 10] logits."""

    def __init__(self, width: int = 16, size: int = 8) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, 2 * width, 3, padding=1)
        self.pool = nn.MaxPool2d(2)
        self.dense1 = nn.Linear(2 * width * (size // 4) ** 2, 64)
        self.dense2 = nn.Linear(64, 10)

    def forward(self, image: Tensor) -> Tensor:
        x = self.pool(torch.relu(self.conv1(image)))
        x = self.pool(torch.relu(self.conv2(x)))
        x = torch.relu(self.dense1(x.flatten(1)))
        return self.dense2(x)


def train(images: np.ndarray, labels: np.ndarray, epochs: int = 40) -> Net:
    """A trained network."""
    torch.manual_seed(0)
    model = Net()
    x, y = torch.tensor(images), torch.tensor(labels)
    optimiser = torch.optim.Adam(model.parameters(), 2e-3)
    for _ in range(epochs):
        for rows in torch.randperm(len(x)).split(64):
            optimiser.zero_grad()
            cross_entropy(model(x[rows]), y[rows]).backward()
            optimiser.step()
    return model.eval()


def export(model: Net, path: Path) -> None:
    """The model as a program without its source."""
    example = torch.zeros(2, 1, 8, 8)
    batch = torch.export.Dim("batch", min=1)
    program = torch.export.export(model, (example,), dynamic_shapes=({0: batch},))
    torch.export.save(program, path)


def serve(path: Path, images: np.ndarray) -> np.ndarray:
    """What a process that has only the exported file answers."""
    module = torch.export.load(path).module()
    with torch.inference_mode():
        return module(torch.tensor(images)).numpy()


def main(out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    images, labels = digits.training()
    model = train(np.moveaxis(images, -1, 1), labels)
    torch.save(model.state_dict(), out / "net.pt")
    export(model, out / "exported.pt2")
    images, labels = digits.held_out()
    answers = serve(out / "exported.pt2", np.moveaxis(images, -1, 1))
    print(f"PyTorch: {np.mean(answers.argmax(1) == labels):.1%} of {len(labels)} digits that it had not seen")


if __name__ == "__main__":
    main(Path(sys.argv[1]))

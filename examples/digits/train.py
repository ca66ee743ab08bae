"""Train the digits CNN in seconds and leave what training usually leaves: a checkpoint, and images that took no part in training.

``python examples/digits/train.py OUT`` writes ``OUT/digits.pt`` (a checkpoint dict) and ``OUT/images/<digit>/*.png``.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from images import training_digits, write_images
from net import DigitsNet
from torch.nn.functional import cross_entropy


def train(epochs: int = 15) -> tuple[DigitsNet, torch.optim.Optimizer]:
    """A DigitsNet trained on the first half of the digits."""
    torch.manual_seed(0)
    pixels, digits = training_digits()
    images, classes = torch.tensor(pixels / 16, dtype=torch.float32)[:, None], torch.tensor(digits)
    model = DigitsNet()
    optimiser = torch.optim.Adam(model.parameters(), 2e-3)
    for _ in range(epochs):
        for rows in torch.randperm(len(images)).split(64):
            optimiser.zero_grad()
            cross_entropy(model(images[rows]), classes[rows]).backward()
            optimiser.step()
    return model, optimiser


def main(out: Path) -> None:
    model, optimiser = train()
    out.mkdir(parents=True, exist_ok=True)
    torch.save({"epoch": 15, "state_dict": model.state_dict(), "optimizer": optimiser.state_dict()}, out / "digits.pt")
    write_images(out / "images")


if __name__ == "__main__":
    main(Path(sys.argv[1]))

"""Train the digits CNN in seconds and leave what training usually leaves: a checkpoint, and images nobody trained on.

``python examples/digits/train.py OUT`` writes ``OUT/digits.pt`` (a checkpoint dict) and ``OUT/images/<digit>/*.png``.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from net import DigitsNet
from PIL import Image
from sklearn.datasets import load_digits
from torch.nn.functional import cross_entropy

TRAINING_IMAGES = 897


def train(epochs: int = 15) -> tuple[DigitsNet, torch.optim.Optimizer]:
    """A DigitsNet trained on the first half of the digits."""
    torch.manual_seed(0)
    digits = load_digits()
    images = torch.tensor(digits.images[:TRAINING_IMAGES] / 16, dtype=torch.float32)[:, None]
    classes = torch.tensor(digits.target[:TRAINING_IMAGES])
    model = DigitsNet()
    optimiser = torch.optim.Adam(model.parameters(), 2e-3)
    for _ in range(epochs):
        for rows in torch.randperm(len(images)).split(64):
            optimiser.zero_grad()
            cross_entropy(model(images[rows]), classes[rows]).backward()
            optimiser.step()
    return model, optimiser


def write_images(folder: Path) -> None:
    """The held-out digits as 8-bit grey PNG files, one folder a class."""
    digits = load_digits()
    for index, (pixels, digit) in enumerate(zip(digits.images, digits.target, strict=True)):
        if index >= TRAINING_IMAGES:
            path = folder / str(digit) / f"{index:04}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.round(pixels * 255 / 16).astype(np.uint8)).save(path)


def main(out: Path) -> None:
    model, optimiser = train()
    out.mkdir(parents=True, exist_ok=True)
    torch.save({"epoch": 15, "state_dict": model.state_dict(), "optimizer": optimiser.state_dict()}, out / "digits.pt")
    write_images(out / "images")


if __name__ == "__main__":
    main(Path(sys.argv[1]))

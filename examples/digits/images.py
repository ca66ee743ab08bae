"""scikit-learn's digits: the first half to train on, the rest as PNG files that took no part in training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

TRAINING_IMAGES = 897


def training_digits() -> tuple[np.ndarray, np.ndarray]:
    """Pixels [897, 8, 8] from 0 to 16, and the digit each shows."""
    digits = load_digits()
    return digits.images[:TRAINING_IMAGES], digits.target[:TRAINING_IMAGES]


def write_images(folder: Path) -> None:
    """The held-out digits as 8-bit grey PNG files, one folder a class."""
    digits = load_digits()
    for index, (pixels, digit) in enumerate(zip(digits.images, digits.target, strict=True)):
        if index >= TRAINING_IMAGES:
            path = folder / str(digit) / f"{index:04}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.round(pixels * 255 / 16).astype(np.uint8)).save(path)

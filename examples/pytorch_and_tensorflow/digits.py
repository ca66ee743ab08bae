"""scikit-learn's handwritten digits for both frameworks: float32 [n, 8, 8, 1] in 0..1, and class indices."""

from __future__ import annotations

import numpy as np
from sklearn.datasets import load_digits

TRAINING_IMAGES = 897


def training() -> tuple[np.ndarray, np.ndarray]:
    """The first half."""
    images, labels = _all()
    return images[:TRAINING_IMAGES], labels[:TRAINING_IMAGES]


def held_out() -> tuple[np.ndarray, np.ndarray]:
    """The second half, which takes no part in training."""
    images, labels = _all()
    return images[TRAINING_IMAGES:], labels[TRAINING_IMAGES:]


def _all() -> tuple[np.ndarray, np.ndarray]:
    digits = load_digits()
    return (digits.images[..., None] / 16).astype(np.float32), digits.target

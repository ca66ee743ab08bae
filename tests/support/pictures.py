"""Pictures for comparing pixels with a library's: made ones in odd sizes, upright and across, and photographs where there are some."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from roadworthy.core.types import Array

SIZES = ((37, 53), (64, 48), (1, 7), (5, 3), (40, 40), (120, 90), (33, 160))


def made() -> list[Array]:
    """Noise, gradients and blocks as uint8 [H,W,3], the same at every call."""
    generator = np.random.default_rng(0)
    noise = [generator.integers(0, 256, (*size, 3), dtype=np.uint8) for size in SIZES]
    down, across = np.mgrid[0:90, 0:140]
    ramp = np.stack([down * 255 // 89, across * 255 // 139, (down + across) % 256], -1).astype(np.uint8)
    blocks = np.repeat(np.repeat(noise[0], 7, 0), 5, 1)
    return [*noise, ramp, blocks]


def photographs(real: Path, count: int) -> list[Path]:
    """``count`` of the photographs of Imagenette in ``real``, spread over its classes."""
    files = sorted((real / "imagenette").rglob("*.JPEG"))
    return files[:: max(1, len(files) // count)][:count]

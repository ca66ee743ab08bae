"""Pictures for comparing pixels with a library's: made ones in odd sizes, upright and across, and photographs where there are some."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from roadworthy.core.types import Array

SIZES = ((37, 53), (64, 48), (1, 7), (5, 3), (40, 40), (120, 90), (33, 160))


LEVEL = float(np.spacing(np.float32(255)))
"""One unit in the last place of a pixel value: what float32 can tell apart at 255."""


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


def picture(height: int, width: int, channels: int = 3, seed: int = 0) -> Array:
    """A smooth gradient, blocks with hard edges, and noise over all of it."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:height, 0:width]
    smooth = rows[..., None] * 3 + columns[..., None] * 2 + np.arange(channels) * 40
    blocks = ((rows // 3 + columns // 4) % 2 * 120)[..., None]
    return ((smooth + blocks + random.integers(0, 90, (height, width, channels))) % 256).astype(np.uint8)


def two_photographs(real: Path) -> Iterator[Array]:
    """Two real photographs, one of them on its side."""
    for number, path in enumerate(sorted((real / "imagenette").rglob("*.JPEG"))[:2]):
        pixels = np.asarray(Image.open(path).convert("RGB"))
        yield pixels.transpose(1, 0, 2).copy() if number else pixels


def torch_resizes_bytes() -> bool:
    """Whether torchvision resizes uint8 tensors bilinearly by torch's own kernel on this CPU; otherwise it rounds floats."""
    from roadworthy.frameworks.torch.torchvision_ops import declare_missing

    declare_missing()
    from torchvision.transforms import v2
    from torchvision.transforms.v2.functional import _geometry

    return bool(_geometry._do_native_uint8_resize_on_cpu(v2.InterpolationMode.BILINEAR))


def beyond_torch(difference: float, wanted: Array) -> float:
    """``difference`` from samples that a library ``wanted``: what is beyond a level where torchvision rounds floats."""
    return difference if torch_resizes_bytes() else max(0.0, difference - 0.03 * max(1.0, float(np.abs(wanted).max())))

"""The libraries of hubs without their network: whatever a configuration asks for, nothing is fetched."""

from __future__ import annotations

import os

from roadworthy.frameworks.torch import torchvision_ops

SWITCHES = {
    "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "DISABLE_SAFETENSORS_CONVERSION": "1", "TRANSFORMERS_VERBOSITY": "error", "USE_HUB_KERNELS": "0",
}  # fmt: skip


def prepare() -> None:
    """Set the switches for this process, before one of the libraries is imported in it."""
    os.environ.update(SWITCHES)
    torchvision_ops.declare_missing()

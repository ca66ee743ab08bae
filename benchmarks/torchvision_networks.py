"""torchvision's classification networks beside a CPU build of torch: ``torchvision_networks.py:network(name='resnet18', size=64)``.

torchvision's wheel of the package index is built for CUDA: on a CPU its own operators cannot be loaded, which no classification network
calls. Where torchvision is not installed, it is looked for in ``results/torchvision``:
``pip install --no-deps --target benchmarks/results/torchvision torchvision==0.28.0``.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch

from roadworthy.frameworks.torch.torchvision_ops import declare_missing

FOLDER = Path(__file__).resolve().parent / "results" / "torchvision"
sys.path.append(str(FOLDER))

SIZED = {"vit_b_16": lambda size: {"image_size": size}, "maxvit_t": lambda size: {"input_size": (size, size)}}
AUXILIARY = ("googlenet", "inception_v3")


def network(name: str, size: int) -> Any:
    """The network of that name for ``size`` x ``size`` images and 10 classes, as torchvision initialises it."""
    declare_missing()
    import torchvision

    options = SIZED[name](size) if name in SIZED else {"init_weights": False, "aux_logits": True} if name in AUXILIARY else {}
    return torchvision.models.get_model(name, weights=None, num_classes=10, **options)


def write(name: str, size: int, path: Path) -> None:
    """Its weights, the same every time, with batch statistics of the noise that it is deployed on: those of a fresh one fit nothing."""
    torch.manual_seed(0)
    model = network(name, size).train()
    for layer in model.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.momentum = 1.0
    with torch.no_grad():
        model(torch.randn(8, 3, size, size))
    torch.save(model.state_dict(), path)

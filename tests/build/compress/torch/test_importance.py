"""The channels that go are those that matter least, by each of the measures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

from roadworthy.build import compress
from roadworthy.build.compress import BlocksRequest, CutRequest, Importance
from roadworthy.build.compress.torch import cutting
from roadworthy.core import samples
from roadworthy.core.errors import StepFailed
from roadworthy.core.stages import Graph
from roadworthy.core.types import BATCH, Signature, TensorSpec
from roadworthy.frameworks.torch import module as torch_module
from roadworthy.frameworks.torch.calling import TorchCall, by_position
from support.models.torch_blocks import lively

SIGNATURE = Signature((TensorSpec("image", "float32", (BATCH, 1, 8, 8)),), (TensorSpec("logits", "float32", (BATCH, 10)),))


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 16, 3), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 32, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(128, 10),
    )  # fmt: skip


def graph(module: nn.Module, folder: Path) -> Graph:
    folder.mkdir()
    return Graph("module", torch_module.save(module, folder, call=TorchCall(by_position(1), ("logits",), True)), SIGNATURE, "the original")


@pytest.mark.parametrize("importance", ["l1", "batchnorm", "gradient"])
def test_the_channels_of_no_importance_go(importance: Importance, tmp_path: Path) -> None:
    module, useless = lively(network()), [1, 4, 5, 11, 15]
    with torch.no_grad():
        if importance == "l1":
            module[0].weight[useless] *= 0.01
        elif importance == "batchnorm":
            module[1].weight[useless] *= 0.01
        else:
            module[3].weight[:, useless] = 0
    images = np.random.default_rng(0).standard_normal((20, 1, 8, 8)).astype(np.float32)
    found = samples.write(tmp_path / "samples", {"image": images})
    made = compress.cut(CutRequest(graph(module, tmp_path / "whole"), {"0": 11}, importance, found, tmp_path / "cut"))
    kept = [channel for channel in range(16) if channel not in useless]
    assert torch.equal(torch_module.load(made.graph.path).module[0].bias, module[0].bias[kept])


@pytest.fixture(scope="module")
def trained() -> tuple[nn.Sequential, np.ndarray]:
    """The digits network after a few epochs, and images that it was not trained on."""
    digits = load_digits()
    images, labels = (digits.images[:, None] / 16).astype(np.float32), digits.target
    module = network()
    optimiser = torch.optim.Adam(module.parameters(), 3e-3)
    for _ in range(6):
        for rows in torch.randperm(1400).split(64):
            optimiser.zero_grad()
            nn.functional.cross_entropy(module(torch.from_numpy(images[rows])), torch.from_numpy(labels[rows])).backward()
            optimiser.step()
    return module.eval(), images[1400:]


def test_half_of_the_parameters_of_a_digits_network_go(trained: tuple[nn.Sequential, np.ndarray], tmp_path: Path) -> None:
    module, images = trained
    found = samples.write(tmp_path / "samples", {"image": images})
    whole = graph(module, tmp_path / "whole")
    cuttable = compress.blocks(BlocksRequest(whole, found))
    made = compress.cut(CutRequest(whole, {"0": 12, "3": 16}, "gradient", found, tmp_path / "cut"))
    assert made.parameters < cuttable.parameters / 2
    assert made.error < 1e-9


def test_the_gradient_keeps_more_of_the_answers_than_the_opposite_choice(
    trained: tuple[nn.Sequential, np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, images = trained
    found = samples.write(tmp_path / "samples", {"image": images})
    whole = graph(module, tmp_path / "whole")

    def agreement(name: str) -> float:
        made = compress.cut(CutRequest(whole, {"0": 12, "3": 24}, "gradient", found, tmp_path / name))
        with torch.no_grad():
            ours, theirs = torch_module.load(made.graph.path)(torch.from_numpy(images))[0], module(torch.from_numpy(images))
        return float((ours.argmax(1) == theirs.argmax(1)).double().mean())

    best, right = agreement("best"), cutting._best
    monkeypatch.setattr(cutting, "_best", lambda scores, width, multiple: right(-scores, width, multiple))
    assert best > agreement("worst")


class Detached(nn.Module):
    """Gradients do not reach its first layer's channels."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(1, 4, 8), nn.Linear(4, 10)

    @torch.no_grad()
    def forward(self, image: Tensor) -> Tensor:
        return self.b(self.a(image).flatten(1))


def test_a_model_without_gradients_is_told(tmp_path: Path) -> None:
    found = samples.write(tmp_path / "samples", {"image": np.ones((2, 1, 8, 8), np.float32)})
    with pytest.raises(StepFailed, match="does not pass them on"):
        compress.cut(CutRequest(graph(Detached().eval(), tmp_path / "whole"), {"a": 2}, "gradient", found, tmp_path / "cut"))

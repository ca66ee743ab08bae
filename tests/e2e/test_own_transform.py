"""A model whose file imports torchvision, deployed from a folder of images with the user's own transform: it keeps every answer."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from support.servers.commands import roadworthy

pytestmark = pytest.mark.slow

NET = """
import torch
import torchvision

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = torchvision.ops.Conv2dNormActivation(3, 8, stride=2)
        self.fc = torch.nn.Linear(8, 2)

    def forward(self, x):
        return self.fc(self.conv(x).mean((2, 3)))
"""
TRANSFORM = """
import torch
from torchvision.transforms import v2

def build():
    scaled = [v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Normalize([0.5, 0.4, 0.3], [0.2, 0.2, 0.3])]
    return v2.Compose([v2.Resize(26), v2.CenterCrop(24), v2.RandomHorizontalFlip(0.5), *scaled])
"""


@pytest.mark.soak
def test_answers_are_kept_to_the_image(tmp_path: Path, torch_server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    from roadworthy.frameworks.torch.torchvision_ops import declare_missing

    declare_missing()
    (tmp_path / "own_net.py").write_text(NET)
    (tmp_path / "own_transform.py").write_text(TRANSFORM)
    monkeypatch.syspath_prepend(tmp_path)
    import own_net
    import own_transform
    from torchvision.transforms import v2

    torch.manual_seed(0)
    model = own_net.Net().eval()
    evaluated = v2.Compose([one for one in own_transform.build().transforms if not isinstance(one, v2.RandomHorizontalFlip)])
    generator = np.random.default_rng(0)
    images = [Image.fromarray(generator.integers(0, 256, (30 + index, 45, 3), dtype=np.uint8)) for index in range(40)]
    with torch.no_grad():
        margins = [float(np.subtract(*model(evaluated(image)[None])[0].tolist())) for image in images]
        model.fc.bias -= torch.tensor([float(np.median(margins)), 0.0])
        answers = [int(model(evaluated(image)[None]).argmax()) for image in images]
    for index, (image, answer) in enumerate(zip(images, answers, strict=True)):
        folder = tmp_path / "images" / ("first", "second")[answer]
        folder.mkdir(parents=True, exist_ok=True)
        image.save(folder / f"{index}.png")
    torch.save(model.state_dict(), tmp_path / "own.pt")
    target = tmp_path / "own.bundle"
    narrowed = ["--runtimes", "onnxruntime", "--precisions", "fp32"]
    arch, transform = f"{tmp_path / 'own_net.py'}:Net", f"{tmp_path / 'own_transform.py'}:build"
    roadworthy(
        "deploy", tmp_path / "own.pt", "--arch", arch, "--data", tmp_path / "images", "--preprocess", transform, *narrowed, "-o", target,
        steps=torch_server,
    )  # fmt: skip
    certificate = json.loads((target / "certificate.json").read_text())
    assert certificate["original"]["value"]["value"] == 1.0
    assert "resized to 26 on the shorter side (bilinear)" in certificate["preprocessing"]
    assert any("RandomHorizontalFlip(p=0.5) was left out" in note["text"] for note in certificate["notes"])
    for name in ("own_net", "own_transform"):
        sys.modules.pop(name)

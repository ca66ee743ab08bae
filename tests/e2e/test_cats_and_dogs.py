"""Two networks that give one number a sample, from their files and a folder of two classes to predictions and answers over HTTP."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from support.servers.commands import roadworthy, served

pytestmark = [pytest.mark.slow, pytest.mark.soak]

KERAS = """
import keras, numpy as np
layers = [keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(1, activation="sigmoid")]
net = keras.Sequential(layers)
net.layers[-1].set_weights([np.full((192, 1), 10 / 192, "float32"), np.array([-5], "float32")])
net.save("net.keras")
"""
NET = """
from torch import nn
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(192, 1)
    def forward(self, image):
        return self.head(image.flatten(1)).squeeze(1)
"""
TORCH = """
import torch
from net import Net
net = Net()
net.head.weight.data.fill_(10 / 192)
net.head.bias.data.fill_(-5)
torch.save(net.state_dict(), "net.pt")
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Dark cats and bright dogs."""
    root = tmp_path_factory.mktemp("cats_and_dogs")
    random = np.random.default_rng(0)
    for name, base in (("cat", 60), ("dog", 190)):
        (root / "images" / name).mkdir(parents=True)
        for index in range(12):
            pixels = (base + random.integers(-50, 50, (8, 8, 3))).astype(np.uint8)
            Image.fromarray(pixels).save(root / "images" / name / f"{index}.png")
    (root / "net.py").write_text(NET)
    return root


@pytest.fixture(scope="module", params=["keras", "torch"])
def bundle(folder: Path, request: pytest.FixtureRequest) -> Path:
    """One network deployed by the plain command, but for a narrow search."""
    script, source = {"keras": (KERAS, ["net.keras"]), "torch": (TORCH, ["net.pt", "--arch", f"{folder / 'net.py'}:Net"])}[request.param]
    subprocess.run([sys.executable, "-c", script], cwd=folder, check=True)
    target = folder / f"{request.param}.bundle"
    narrow = ["--runtimes", "onnxruntime", "--precisions", "fp32", "--allow-framework-at-serve"]
    source[0] = str(folder / source[0])
    steps = request.getfixturevalue({"keras": "tensorflow_server", "torch": "torch_server"}[request.param])
    roadworthy("deploy", *source, "--data", folder / "images", "--preprocess", "unit:8", *narrow, "-o", target, steps=steps)
    return target


@pytest.fixture(scope="module")
def server(bundle: Path) -> Iterator[str]:
    """The bundle served: its URL."""
    with served(bundle, "net") as (url, _):
        yield url


def test_the_certificate_says_how_the_number_is_read(bundle: Path) -> None:
    certificate = json.loads((bundle / "certificate.json").read_text())
    assert certificate["original"]["metric"] == "accuracy" and certificate["original"]["value"]["value"] == 1
    kind = "probability" if bundle.name.startswith("keras") else "logit"
    assert any(f"read as the {kind} of 'dog'" in note["text"] and not note["warning"] for note in certificate["notes"])


def test_the_cat_is_a_cat_and_the_dog_a_dog(folder: Path, bundle: Path, server: str) -> None:
    for name in ("cat", "dog"):
        file = folder / "images" / name / "0.png"
        assert roadworthy("predict", bundle, file).startswith(f"{file}: {name} 0.9")
        headers = {"Content-Type": "image/png"}
        response = httpx.post(f"{server}/v2/models/net/infer", content=file.read_bytes(), headers=headers)
        outputs = {output["name"]: output["data"] for output in response.json()["outputs"]}
        assert outputs["label"][0] == name and len(outputs["label"]) == 2
        assert outputs["probability"][0] > 0.9 and sum(outputs["probability"]) == pytest.approx(1)
        answer = httpx.post(f"{server}/predictions/net", content=file.read_bytes(), headers=headers).json()
        assert next(iter(answer)) == name

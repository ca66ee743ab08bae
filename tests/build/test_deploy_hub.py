"""A folder of transformers becomes a bundle that answers photographs as the library's own pipeline, with nothing else said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import roadworthy as rw
from roadworthy.build.deploy import deploy
from roadworthy.build.job import Job
from roadworthy.build.sources.hub import offline
from support import pictures, warm_children

offline.prepare()
transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.slow
NAMES = ("cat", "dog")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    config = transformers.ResNetConfig(
        embedding_size=8, hidden_sizes=[8], depths=[1], layer_type="basic", id2label=dict(enumerate(NAMES)), label2id={"cat": 0, "dog": 1}
    )
    model = tmp_path / "model"
    transformers.ResNetForImageClassification(config).eval().save_pretrained(model)
    transformers.ConvNextImageProcessor(size={"shortest_edge": 32}).save_pretrained(model)
    for number, pixels in enumerate(pictures.made()):
        file = tmp_path / "photographs" / NAMES[number % 2] / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(file)
    return tmp_path


def test_one_path_becomes_a_bundle_with_the_pipelines_answers(folder: Path, torch_server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    warm_children.install(torch_server, monkeypatch.setattr)
    job = Job(
        folder / "model", folder / "bundle", data=str(folder / "photographs"), runtimes=("onnxruntime",), precisions=("fp32",), seconds=1200
    )  # fmt: skip
    deployment = deploy(job)
    pipeline: Any = transformers.pipeline("image-classification", model=str(folder / "model"), top_k=2)
    with rw.load(deployment) as session:
        for path in sorted((folder / "photographs").rglob("*.png"))[:3]:
            wanted = {one["label"]: one["score"] for one in pipeline(str(path))}
            (ranked,) = session(path).ranked
            assert {one.label: one.score for one in ranked} == pytest.approx(wanted, abs=1e-4)
            assert np.isclose(sum(wanted.values()), 1)

"""A deployment proves its preprocessing: against training's transform and the usual conventions, and says what fits where there is none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import roadworthy as rw
from roadworthy.build.deploy import deploy
from roadworthy.build.job import Job
from roadworthy.build.pixels import conventions, missing
from roadworthy.core.errors import DataError, UsageError
from roadworthy.preprocess import spec
from roadworthy.preprocess.image import Preprocessor
from roadworthy.preprocess.steps import ChannelsFirst, Decode, Normalize, Step
from support.models import prototypes
from support.models.prototypes import Prototypes

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("warm_steps")]

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
IMAGENET: tuple[Step, ...] = (Decode(), ChannelsFirst(), Normalize(1 / 255, MEAN, STD))
TRAINING = f"""
import numpy as np

def transform(image):
    pixels = np.asarray(image, np.float32) / np.float32(255)
    return ((pixels - np.float32({MEAN})) / np.float32({STD})).transpose(2, 0, 1)
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Prototypes:
    """A model that was trained with ImageNet's mean and std on pictures of its own size."""
    return prototypes.make(tmp_path_factory.mktemp("trained"), IMAGENET, prototypes.shades(8))


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test is about how slow the machine is."""
    monkeypatch.setattr(missing, "PATIENT", 600.0)
    monkeypatch.setattr(conventions, "SECONDS", 600.0)
    monkeypatch.setattr(conventions, "PART", 0.5)


@pytest.fixture
def job(trained: Prototypes, tmp_path: Path) -> Job:
    (tmp_path / "training.py").write_text(TRAINING)
    return Job(
        trained.model, tmp_path / "bundle", data=str(trained.images), runtimes=("onnxruntime",), precisions=("fp32",), seconds=1200
    )  # fmt: skip


def test_images_without_preprocessing_end_with_what_fits_to_be_pasted(job: Job, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the data is images; say how they become the model's input") as raised:
        deploy(job)
    _, best, second, *_ = raised.value.message.splitlines()
    assert "Tried with the original on 120 of your images:" in raised.value.message
    assert "  top1 100.00% with ImageNet's mean and std; at the size that they have: --preprocess FILE.toml with: image = [" in best
    assert "100.00%" not in second
    assert not job.output.exists()

    (tmp_path / "found.toml").write_text(best.partition("FILE.toml with: ")[2])
    certificate = deploy(replace(job, preprocess=str(tmp_path / "found.toml"))).certificate
    assert certificate.original is not None
    assert certificate.original.value.value == 1.0
    # Nothing can be far better than that.
    conventions = certificate.preprocessing_proof.conventions
    assert conventions is not None
    assert (conventions.tried, conventions.samples) == ((), 0)
    assert "no other can be far better" in conventions.left_out


def test_another_transform_in_training_is_a_warning_with_both_accuracies(job: Job, tmp_path: Path) -> None:
    asked = replace(job, preprocess="unit", training_transform=f"{tmp_path / 'training.py'}:transform")
    certificate = rw.report(deploy(asked).bundle)
    proof = certificate.preprocessing_proof
    assert proof.transform is not None and proof.transform.either is not None and proof.conventions is not None
    assert proof.origin == "unit"
    assert proof.transform.verdict == "different"
    assert proof.transform.differs == ("training normalises by ImageNet's mean and std",)
    assert (proof.transform.either.metric, proof.transform.either.theirs) == ("top1", 1.0)
    assert proof.transform.either.ours < 0.6
    assert proof.conventions.better == 0
    assert proof.conventions.tried[0].name == "ImageNet's mean and std"
    warnings = [note.text for note in certificate.notes if note.warning]
    assert any("training's transform" in text and "the deployment keeps its own" in text for text in warnings)
    assert any("it was probably trained with that" in text for text in warnings)
    page = (asked.output / "report.html").read_text()
    assert "data:image/png;base64," in page
    # The deployment goes on with what the user stated.
    assert certificate.preprocessing[-1].startswith("(pixel * 0.00392157 - 0) / 1")


def test_a_live_transform_alone_ends_with_the_steps_that_come_nearest(job: Job, trained: Prototypes, tmp_path: Path) -> None:
    def transform(image: Any) -> Any:
        pixels = np.asarray(image, np.float32) / np.float32(255)
        return ((pixels - np.float32(MEAN)) / np.float32(STD)).transpose(2, 0, 1)

    with pytest.raises(DataError, match="which is not preprocessing of a known form") as raised:
        rw.deploy(trained.model, tmp_path / "bundle", data=trained.images, training_transform=transform, seconds=1200)
    said, toml = raised.value.message.split(":\n", 1)
    assert "transform gives what these steps give, equal " in said
    (tmp_path / "nearest.toml").write_text(toml)
    sample = Preprocessor(spec.read(tmp_path / "nearest.toml").image).one(trained.files[0])
    np.testing.assert_allclose(sample, transform(Image.open(trained.files[0])), atol=1e-5)


def test_a_transform_without_data_is_refused(job: Job) -> None:
    with pytest.raises(UsageError, match="--training-transform is run on your images: give some with --data"):
        deploy(replace(job, data=None, training_transform="training.py:transform"))


def test_a_transform_beside_arrays_is_refused(job: Job, tmp_path: Path) -> None:
    np.savez(tmp_path / "ready.npz", x=np.zeros((30, 3, 8, 8), np.float32), y=np.arange(30) % 4)
    ready = replace(job, data=str(tmp_path / "ready.npz"), preprocess="unit", training_transform=f"{tmp_path / 'training.py'}:transform")
    with pytest.raises(DataError, match="the data holds none: give images with --data"):
        deploy(ready)

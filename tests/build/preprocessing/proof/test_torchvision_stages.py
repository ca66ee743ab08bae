"""torchvision's own transforms beside the steps: the first of training's steps that differs is named, and the change that mends it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from roadworthy.build.preprocessing.proof import ProofRequest, prove_step
from roadworthy.bundle.pixels import TransformProof
from roadworthy.core.errors import DataError
from roadworthy.core.isolation import callables, first_import
from roadworthy.preprocess.pictures import Pictures
from roadworthy.preprocess.steps import ChannelsFirst, Crop, Decode, Normalize, Resize, Step

pytestmark = pytest.mark.slow

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
STEPS: tuple[Step, ...] = (Decode(), Resize(32), Crop(28), ChannelsFirst(), Normalize(1 / 255, MEAN, STD, arithmetic="torch"))


@pytest.fixture(scope="module")
def torchvision() -> Any:
    # As in every child that runs the user's code.
    first_import.watch()
    return pytest.importorskip("torchvision.transforms")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Pictures:
    folder, random = tmp_path_factory.mktemp("pictures"), np.random.default_rng(1)
    files = []
    for number, size in enumerate(((41, 60, 3), (64, 37, 3), (33, 33, 3))):
        files.append(folder / f"{number}.png")
        Image.fromarray(random.integers(0, 256, size, np.uint8)).save(files[-1])
    return Pictures(tuple(files), tuple(map(str, files)))


def proven(given: Any, pictures: Pictures, tmp_path: Path) -> TransformProof:
    return prove_step(ProofRequest(callables.keep(given, tmp_path, "training transform"), STEPS, pictures, "x", tmp_path / "out")).proof


def composed(transforms: Any, *, resize: Any = None, crop: Any = None, mean: Any = MEAN, std: Any = STD) -> Any:
    return transforms.Compose(
        [resize or transforms.Resize(32), crop or transforms.CenterCrop(28), transforms.ToTensor(), transforms.Normalize(mean, std)]
    )


def test_the_reference_transform_is_equal_to_the_bit(torchvision: Any, pictures: Pictures, tmp_path: Path) -> None:
    assert proven(composed(torchvision), pictures, tmp_path).verdict == "equal to the bit"


@pytest.mark.parametrize(
    ("fault", "stage", "words"),
    [
        ("bicubic", "training's Resize(size=32, interpolation=bicubic", "training resizes with the filter bicubic"),
        ("pair", "training's Resize(size=[32, 32]", "training resizes both sides to 32 x 32 and crops"),
        ("size", "training's Resize(size=36", "training resizes the shorter side to 36 and crops"),
        ("variance", "training's Normalize(mean=", "training divides by the variance"),
    ],
)
def test_the_stage_that_differs_is_named(fault: str, stage: str, words: str, torchvision: Any, pictures: Pictures, tmp_path: Path) -> None:
    planted = {
        "bicubic": lambda: {"resize": torchvision.Resize(32, torchvision.InterpolationMode.BICUBIC)},
        "pair": lambda: {"resize": torchvision.Resize([32, 32])},
        "size": lambda: {"resize": torchvision.Resize(36)},
        "variance": lambda: {"std": [value**2 for value in STD]},
    }
    found = proven(composed(torchvision, **planted[fault]()), pictures, tmp_path)
    assert stage in found.differs[0]
    assert found.differs[1:] == (words,)
    assert found.after == "equal to the bit"


def test_a_resize_of_tensors_without_antialias_is_named(torchvision: Any, pictures: Pictures, tmp_path: Path) -> None:
    transform = torchvision.Compose([
        torchvision.PILToTensor(), torchvision.Resize(32, antialias=False), torchvision.CenterCrop(28),
        torchvision.ConvertImageDtype(__import__("torch").float32), torchvision.Normalize(MEAN, STD),
    ])  # fmt: skip
    found = proven(transform, pictures, tmp_path)
    assert "training's Resize(size=32, interpolation=bilinear, max_size=None, antialias=False)" in found.differs[0]
    assert "training resizes without antialias" in found.differs
    assert "antialias = false" in found.remedy


def test_a_random_part_is_named(torchvision: Any, pictures: Pictures, tmp_path: Path) -> None:
    random = torchvision.Compose([torchvision.RandomResizedCrop(28), torchvision.ToTensor()])
    with pytest.raises(DataError, match=r"is random: two runs on .* differ \(RandomResizedCrop\); give the transform that evaluation used"):
        proven(random, pictures, tmp_path)

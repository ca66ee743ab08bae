"""Training's transform beside the steps: a planted fault is found, and the step that differs is named."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from roadworthy.build.preprocessing.proof import NearestRequest, ProofRequest, nearest_step, of_steps, prove_step
from roadworthy.bundle.pixels import TransformProof
from roadworthy.core.errors import DataError
from roadworthy.core.isolation import callables
from roadworthy.preprocess import pictures as pictures_module
from roadworthy.preprocess import spec
from roadworthy.preprocess.image import Preprocessor
from roadworthy.preprocess.pictures import Pictures
from roadworthy.preprocess.steps import ChannelsFirst, Crop, Decode, Normalize, Resize, Step

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SIZES = ((40, 61), (57, 38), (48, 48))
"""(height, width): landscape, portrait and square, with odd differences to the crop."""
STEPS: tuple[Step, ...] = (Decode(), Resize(32), Crop(28), ChannelsFirst(), Normalize(1 / 255, MEAN, STD))


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Pictures:
    """A few pictures with edges, gradients and noise in all colours."""
    folder = tmp_path_factory.mktemp("pictures")
    random = np.random.default_rng(5)
    files = []
    for number, (height, width) in enumerate(SIZES):
        pixels = random.integers(0, 80, (height, width, 3))
        pixels[:, :, 0] += np.linspace(0, 170, width).astype(int)
        pixels[:, :, 1] += np.linspace(170, 0, height).astype(int)[:, None]
        pixels[height // 4 : height // 2, width // 4 : width // 2, 2] += 170
        files.append(folder / f"{number}.png")
        Image.fromarray(pixels.astype(np.uint8)).save(files[-1])
    return Pictures(tuple(files), tuple(map(str, files)))


def transform(
    *,
    size: Any = 32,
    filter: Any = Image.Resampling.BILINEAR,
    begin: int = 0,
    blue_first: bool = False,
    scale: float = 255.0,
    mean: Any = MEAN,
    std: Any = STD,
) -> Callable[[Image.Image], Any]:
    """A transform as people write it by hand: resize, crop, order of the colours, scale, mean and std."""

    def run(image: Image.Image) -> Any:
        if isinstance(size, int):
            width, height = image.size
            long = int(size * max(image.size) / min(image.size))
            image = image.resize((size, long) if width <= height else (long, size), filter)
        else:
            image = image.resize(size, filter)
        left, top = (round((length - 28) / 2) + begin for length in image.size)
        pixels = np.asarray(image.crop((left, top, left + 28, top + 28)), np.float32)
        if blue_first:
            pixels = pixels[:, :, ::-1]
        values = (pixels / np.float32(scale) - np.float32(mean)) / np.float32(std)
        return values.transpose(2, 0, 1)

    return run


def proven(given: Callable[..., Any], pictures: Pictures, tmp_path: Path, steps: tuple[Step, ...] = STEPS) -> TransformProof:
    name = callables.keep(given, tmp_path, "training transform")
    return prove_step(ProofRequest(name, steps, pictures, "x", tmp_path / "out")).proof


def test_the_same_transform_is_equal_within_rounding(pictures: Pictures, tmp_path: Path) -> None:
    found = proven(transform(), pictures, tmp_path)
    assert found.verdict == "equal within float32 rounding"
    assert (found.images, found.takes, found.worst, found.differs) == (3, "a PIL image", None, ())
    exact = (*STEPS[:-1], Normalize(1 / 255, MEAN, STD, arithmetic="torch"))
    assert proven(transform(), pictures, tmp_path, exact).verdict == "equal to the bit"


@pytest.mark.parametrize(
    ("fault", "remedy", "words"),
    [
        ({"filter": Image.Resampling.BICUBIC}, 'filter = "bicubic"', "training resizes with the filter bicubic"),
        ({"blue_first": True}, 'color = "BGR"', "BGR"),
        ({"begin": 1}, "no step of the preprocessing does that", "training's crop begins one pixel lower and one pixel to the right"),
        ({"std": tuple(value**2 for value in STD)}, "std = [0.05", "training divides by the variance"),
        ({"scale": 1.0}, "scale = 1.0", "training does not scale to 0..1"),
        ({"size": (32, 32)}, "size = [32, 32]", "training resizes both sides to 32 x 32 and crops"),
        ({"mean": (0, 0, 0)}, "mean = [0.0]", "training subtracts no mean"),
        ({"mean": 0.5, "std": 0.5}, "", "training scales to -1..1"),
        ({"size": 37}, "size = 37", "training resizes the shorter side to 37"),
    ],
)
def test_a_planted_fault_is_found_and_named(fault: dict[str, Any], remedy: str, words: str, pictures: Pictures, tmp_path: Path) -> None:
    found = proven(transform(**fault), pictures, tmp_path)
    assert found.verdict == "different"
    assert found.worst is not None
    assert found.worst.ours != found.worst.theirs
    assert len(found.differs) == 1
    assert words in found.differs[0]
    assert remedy in found.remedy
    assert found.after.startswith("equal")


def test_two_faults_are_both_named(pictures: Pictures, tmp_path: Path) -> None:
    found = proven(transform(scale=1.0, filter=Image.Resampling.BICUBIC), pictures, tmp_path)
    assert set(found.differs) == {"training does not scale to 0..1", "training resizes with the filter bicubic"}
    assert found.after.startswith("equal")


def test_training_without_antialias_is_named(pictures: Pictures, tmp_path: Path) -> None:
    without = (Decode(), Resize(32, antialias=False), *STEPS[2:])
    made = Preprocessor(without)

    def run(image: Image.Image) -> Any:
        return made.one(image)

    found = proven(run, pictures, tmp_path)
    assert found.differs == ("training resizes without antialias",)
    assert (found.remedy, found.after) == ("antialias = false", "equal to the bit")


def test_a_difference_of_rounding_is_within_one_level(pictures: Pictures, tmp_path: Path) -> None:
    floats = (Decode(), Resize(32, antialias=False, rounded=False), *STEPS[2:])
    made = Preprocessor(floats)
    found = proven(lambda image: made.one(image), pictures, tmp_path, (Decode(), Resize(32, antialias=False), *STEPS[2:]))
    assert found.verdict == "within 1 level"
    assert (found.within, found.differs) == (1.0, ("training does not round after its resize",))
    assert 0.1 < found.largest <= 0.51


def test_the_worst_image_is_shown_with_its_place(pictures: Pictures, tmp_path: Path) -> None:
    def one_pixel_off(image: Image.Image) -> Any:
        sample = transform()(image)
        if image.size == (38, 57):
            sample = sample.copy()
            sample[1, 5, 7] += 40 / 255 / STD[1]
        return sample

    found = proven(one_pixel_off, pictures, tmp_path)
    assert found.worst is not None
    assert (found.worst.name, found.worst.size, found.worst.place) == (pictures.names[1], (57, 38), (5, 7, 1))
    assert found.largest == pytest.approx(40, abs=1e-3)
    column = 7 - found.worst.first
    assert found.worst.theirs[column] - found.worst.ours[column] == pytest.approx(40, abs=0.01)
    assert found.worst.ours[:column] == pytest.approx(found.worst.theirs[:column], abs=0.01)
    for png in (found.worst.ours_png, found.worst.theirs_png, found.worst.difference_png):
        assert Image.open(io.BytesIO(base64.b64decode(png))).size == (28, 28)


def opened(path: str) -> Any:
    return transform()(Image.open(path))


def read(data: bytes) -> Any:
    return transform()(Image.open(io.BytesIO(data)))


def from_array(pixels: Any) -> Any:
    if pixels.dtype != np.uint8:
        raise TypeError("pixels are wanted")
    return transform()(Image.fromarray(pixels))


def by_name(*, image: Any) -> Any:
    return {"image": transform()(Image.fromarray(image))}


@pytest.mark.parametrize(
    ("given", "takes"),
    [
        (opened, "a path"),
        (read, "bytes"),
        (from_array, "a uint8 array [H,W,3]"),
        (by_name, "image=a uint8 array [H,W,3]"),
        (lambda image: {"pixel_values": [transform()(image)]}, "a PIL image"),
        (lambda image: transform()(image)[None], "a PIL image"),
    ],
)
def test_what_a_transform_takes_is_found_by_trying(given: Callable[..., Any], takes: str, pictures: Pictures, tmp_path: Path) -> None:
    found = proven(given, pictures, tmp_path)
    assert (found.takes, found.verdict) == (takes, "equal within float32 rounding")


def test_pixels_in_memory_are_handed_over_as_a_file_too(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (1, 40, 50, 3), np.uint8)
    kept = pictures_module.keep(pixels, np.array([0]), tmp_path / "pictures")
    assert proven(opened, kept, tmp_path).equal


def test_a_function_that_makes_the_transform_is_called(pictures: Pictures, tmp_path: Path) -> None:
    assert proven(transform, pictures, tmp_path).equal


def test_another_layout_is_compared_and_said(pictures: Pictures, tmp_path: Path) -> None:
    found = proven(lambda image: transform()(image).transpose(1, 2, 0), pictures, tmp_path)
    assert found.equal
    assert found.beside == ("training's transform gives its channels last: they were moved to compare",)


def test_another_type_is_said(pictures: Pictures, tmp_path: Path) -> None:
    found = proven(lambda image: transform()(image).astype(np.float64), pictures, tmp_path)
    assert found.equal
    assert found.beside == ("training's transform gives float64, the preprocessing float32",)


def test_another_size_is_said_and_explained(pictures: Pictures, tmp_path: Path) -> None:
    found = proven(transform(), pictures, tmp_path, (Decode(), Resize(32), Crop(24), *STEPS[3:]))
    assert not found.comparable
    said = f"on {pictures.names[0]} training's transform gives float32 [3, 28, 28], the preprocessing [3, 24, 24]"
    assert found.words == f"different: {said}"
    assert found.differs == ("training resizes the shorter side to 32 and crops",)
    assert found.after.startswith("equal")


def test_sizes_that_the_image_decides_are_named(pictures: Pictures, tmp_path: Path) -> None:
    def uncropped(image: Image.Image) -> Any:
        return np.zeros((3, 28, 28 + image.width // 60), np.float32)

    found = proven(uncropped, pictures, tmp_path)
    assert not found.comparable
    assert found.words.startswith(f"different: on {pictures.names[0]} training's transform gives float32 [3, 28, 29]")


def test_a_random_transform_is_refused(pictures: Pictures, tmp_path: Path) -> None:
    random = np.random.default_rng()
    with pytest.raises(DataError, match=r"is random: two runs on .* differ; give the transform that evaluation used"):
        proven(lambda image: transform()(image) + random.random(), pictures, tmp_path)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (lambda image: "cat", "takes no image in any form"),
        (lambda image: np.full((3, 28, 28), np.nan, np.float32), "values that are not finite"),
        (lambda image: np.zeros(10), r"gives float64 \[10\]"),
        (lambda image: {"a": 1, "b": 2}, "gives 'a', 'b'"),
        (lambda image: 1 / 0, "ZeroDivisionError"),
    ],
)
def test_what_gives_no_image_is_named(given: Callable[..., Any], said: str, pictures: Pictures, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=said):
        proven(given, pictures, tmp_path)


def test_a_transform_that_no_form_reads_is_found_by_running_it(pictures: Pictures, tmp_path: Path) -> None:
    name = callables.keep(transform(blue_first=True, scale=1.0, mean=0, std=1), tmp_path, "training transform")
    found = nearest_step(NearestRequest(name, pictures, "CHW"))
    assert found.left.startswith("equal")
    (tmp_path / "found.toml").write_text(found.toml)
    made = Preprocessor(spec.read(tmp_path / "found.toml").image)
    want = transform(blue_first=True, scale=1.0, mean=0, std=1)(Image.open(pictures.files[0]))
    np.testing.assert_array_equal(made.one(pictures.files[0]), want)


def test_steps_as_toml_are_read_as_the_same_steps(tmp_path: Path) -> None:
    steps = (
        Decode("L"), Resize(33, "bicubic", antialias=False, centers="corner", rounded=False), Crop((8, 9), "down"), ChannelsFirst(),
        Normalize(1 / 127.5, (1.0,), (0.1 + 0.2,), arithmetic="torch"),
    )  # fmt: skip
    (tmp_path / "steps.toml").write_text(of_steps(steps))
    assert spec.read(tmp_path / "steps.toml").image == steps

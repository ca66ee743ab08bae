"""Whole steps beside the libraries that they follow: crops, letterboxes, grey, arithmetic, and the usual pipelines from end to end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from roadworthy.core.types import Array
from roadworthy.preprocess.image import Preprocessor
from roadworthy.preprocess.pixels import aspect_crop, fraction_crop
from roadworthy.preprocess.steps import (
    ChannelsFirst,
    Crop,
    CropFraction,
    CropToAspect,
    Decode,
    Grey,
    Letterbox,
    Normalize,
    Resize,
    Step,
)
from support.pictures import LEVEL, picture, torch_resizes_bytes, two_photographs

SIDES = st.integers(1, 40)
CHEAP = settings(max_examples=40, deadline=None)
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def run(pixels: Array, *steps: Step) -> Array:
    return Preprocessor((Decode(), *steps)).one(pixels)


@pytest.fixture(scope="module")
def torchvision() -> Any:
    from roadworthy.frameworks.torch.torchvision_ops import declare_missing

    declare_missing()
    return pytest.importorskip("torchvision")


@pytest.mark.slow
def test_torchvisions_transforms_on_pillow_images(torchvision: Any, real: Path) -> None:
    """Also the sizes that ``max_size`` gives, crops of images that are too small, and odd margins."""
    transforms = torchvision.transforms
    images = [picture(*size) for size in ((33, 47), (47, 33), (20, 61), (9, 9), (1, 5))] + list(two_photographs(real))
    for pixels in images:
        image = Image.fromarray(pixels)
        for size, longest in ((24, None), (16, 21), ((10, 31), None)):
            theirs = transforms.Compose(
                [
                    transforms.Resize(size, max_size=longest),
                    transforms.CenterCrop((17, 18)),
                    transforms.ToTensor(),
                    transforms.Normalize(MEAN, STD),
                ]
            )(image).numpy()
            ours = run(
                pixels, Resize(size, longest=longest), Crop((17, 18)), ChannelsFirst(), Normalize(1 / 255, MEAN, STD, arithmetic="torch")
            )
            np.testing.assert_array_equal(ours, theirs)
        for channels in (1, 3):
            expected = np.asarray(transforms.Grayscale(channels)(image)).reshape(*pixels.shape[:2], channels)
            np.testing.assert_array_equal(run(pixels, Grey(channels)), expected)


@pytest.mark.slow
def test_torchvisions_transforms_on_tensors(torchvision: Any, real: Path) -> None:
    """``v2`` on uint8 tensors: torch's kernel, ``ToDtype(scale=True)`` as one multiplication, grey by sums that are cut off."""
    import torch
    from torchvision.transforms import v2

    native = torch_resizes_bytes()
    for pixels in [picture(33, 47), picture(47, 33), *two_photographs(real)]:
        tensor = v2.functional.pil_to_tensor(Image.fromarray(pixels))
        for filter, mode in (("bilinear", v2.InterpolationMode.BILINEAR), ("bicubic", v2.InterpolationMode.BICUBIC)):
            steps = v2.Compose([v2.Resize(24, mode), v2.CenterCrop(17), v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, STD)])
            ours = run(
                pixels, Resize(24, filter, like="torch"), Crop(17), ChannelsFirst(), Normalize(1 / 255, MEAN, STD, arithmetic="keras")
            )
            # On a CPU without its own kernel torchvision resizes bilinearly in float32 and rounds: up to one level.
            bound = 0.0 if native or filter == "bicubic" else 1.001 / 255 / min(STD)
            np.testing.assert_allclose(ours, steps(tensor).numpy(), rtol=0, atol=bound)
        np.testing.assert_array_equal(run(pixels, Grey(3, "torch"), ChannelsFirst()), v2.Grayscale(3)(tensor).numpy())
        assert (run(pixels, Grey(1, "torch")) != run(pixels, Grey(1))).any(), "the two kinds of grey are the same here"


@pytest.mark.slow
def test_kerass_layers_and_utilities() -> None:
    keras = pytest.importorskip("keras")
    layers = keras.layers
    for size in ((33, 47), (47, 33), (20, 61), (9, 12), (5, 3)):
        pixels = picture(*size)
        batch = pixels[None].astype(np.float32)

        def theirs(layer: Any, batch: Array = batch) -> Array:
            return np.asarray(layer(batch))[0]

        for to in ((17, 18), (24, 10)):
            kernel = {"antialias": False, "rounded": False}
            np.testing.assert_array_equal(run(pixels, Resize(to, **kernel)), theirs(layers.Resizing(*to)))  # type: ignore[arg-type]
            cut = theirs(layers.Resizing(*to, crop_to_aspect_ratio=True))
            np.testing.assert_array_equal(run(pixels, CropToAspect(to), Resize(to, **kernel)), cut)  # type: ignore[arg-type]
            np.testing.assert_array_equal(run(pixels, Crop(to, "down", "resize")), theirs(layers.CenterCrop(*to)))
            cubic = run(pixels, Resize(to, "bicubic", like="tf", **kernel))  # type: ignore[arg-type]
            np.testing.assert_allclose(cubic, theirs(layers.Resizing(*to, "bicubic")), rtol=0, atol=30 * LEVEL)
        np.testing.assert_array_equal(
            run(pixels, Normalize(1 / 127.5, (1.0,), axis=2, arithmetic="keras")), theirs(layers.Rescaling(1 / 127.5, -1.0))
        )
        mode_tf = keras.applications.mobilenet_v2.preprocess_input(pixels.astype(np.float32))
        np.testing.assert_array_equal(run(pixels, Normalize(1 / 127.5, (1.0,), axis=2, arithmetic="torch")), mode_tf)


@pytest.mark.slow
def test_tensorflows_crops() -> None:
    tf = pytest.importorskip("tensorflow")
    for size in ((33, 47), (47, 33), (20, 61), (9, 12), (5, 3)):
        pixels = picture(*size)
        for fraction in (0.875, 0.5, 0.333, 1.0):
            np.testing.assert_array_equal(run(pixels, CropFraction(fraction)), tf.image.central_crop(pixels, fraction).numpy())
        for to in ((17, 18), (24, 10), (4, 2)):
            expected = tf.image.resize_with_crop_or_pad(pixels, *to).numpy()
            np.testing.assert_array_equal(run(pixels, Crop(to, "down")), expected)


@given(SIDES, SIDES, st.floats(0.01, 1))
@CHEAP
def test_a_fraction_leaves_the_same_on_both_sides(height: int, width: int, fraction: float) -> None:
    left, top, right, bottom = fraction_crop((height, width), fraction)
    assert left == width - right >= 0 and top == height - bottom >= 0 and bottom > top and right > left


@given(SIDES, SIDES, SIDES, SIDES)
@CHEAP
def test_the_aspect_crop_lies_inside_and_is_as_large_as_it_can_be(height: int, width: int, below: int, across: int) -> None:
    left, top, right, bottom = aspect_crop((height, width), (below, across))
    assert 0 <= left < right <= width and 0 <= top < bottom <= height
    assert (bottom - top, right - left)[0] == height or right - left == width


@pytest.mark.parametrize("mean", [MEAN, (0.5,)])
@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("arithmetic", ["fused", "torch", "numpy", "keras"])
def test_each_arithmetic_in_its_own_order(arithmetic: str, first: bool, mean: tuple[float, ...]) -> None:
    pixels = np.arange(256, dtype=np.uint8).repeat(3).reshape(16, 16, 3)
    scale, std = np.float32(1 / 255), tuple(value / 2 for value in mean)
    middle, spread = np.float32(mean), np.float32(std)
    expected = {
        "torch": (np.float32(pixels) / np.float32(255) - middle) / spread,
        "numpy": ((pixels.astype(np.float64) * (1 / 255)).astype(np.float32) - middle) / spread,
        "keras": (np.float32(pixels) * scale - middle) / spread,
        "fused": np.float32(pixels) * np.float32(1 / 255 / np.float64(std)) + np.float32(-np.float64(mean) / np.float64(std)),
    }
    ends: tuple[Step, ...] = (ChannelsFirst(),) if first else ()
    found = run(pixels, *ends, Normalize(1 / 255, mean, std, 0 if first else 2, arithmetic=arithmetic))  # type: ignore[arg-type]
    np.testing.assert_array_equal(found.transpose(1, 2, 0) if first else found, expected[arithmetic])


@pytest.mark.usefixtures("torchvision")
def test_the_numpy_processors_of_transformers() -> None:
    """transformers imports torchvision where it is installed."""
    transforms = pytest.importorskip("transformers.image_transforms")
    pixels = picture(20, 31)
    expected = transforms.normalize(transforms.rescale(pixels.transpose(2, 0, 1), 1 / 255), MEAN, STD)
    np.testing.assert_array_equal(run(pixels, ChannelsFirst(), Normalize(1 / 255, MEAN, STD, arithmetic="numpy")), expected)
    for to in ((11, 14), (20, 32), (8, 30)):
        np.testing.assert_array_equal(run(pixels, Crop(to, "floor")), transforms.center_crop(pixels, to))
        if to == (8, 30):
            np.testing.assert_array_equal(run(pixels, Crop(to, "down")), transforms.center_crop(pixels, to))
    assert (run(pixels, Crop((25, 32), "floor")) != run(pixels, Crop((25, 32), "down"))).any(), "where the padding is odd they differ"


def ultralytics(pixels: Array, size: int, stride: int, *, auto: bool, scale_up: bool, centered: bool) -> Array:
    """The letterbox of detectors, written with OpenCV's functions a second time."""
    cv2 = pytest.importorskip("cv2")
    height, width = pixels.shape[:2]
    ratio = min(size / height, size / width)
    ratio = ratio if scale_up else min(ratio, 1.0)
    inner = round(width * ratio), round(height * ratio)
    across, below = float(size - inner[0]), float(size - inner[1])
    if auto:
        across, below = across % stride, below % stride
    if centered:
        across, below = across / 2, below / 2
    if (width, height) != inner:
        pixels = cv2.resize(pixels, inner, interpolation=cv2.INTER_LINEAR)
    top, bottom = round(below - 0.1) if centered else 0, round(below + 0.1)
    left, right = round(across - 0.1) if centered else 0, round(across + 0.1)
    return np.asarray(cv2.copyMakeBorder(pixels, top, bottom, left, right, cv2.BORDER_CONSTANT, value=(114, 114, 114)))


@given(st.integers(4, 90), st.integers(4, 90), st.booleans(), st.booleans(), st.booleans())
@CHEAP
def test_the_letterbox_of_detectors_to_the_bit(height: int, width: int, auto: bool, scale_up: bool, centered: bool) -> None:
    pixels = picture(height, width)
    expected = ultralytics(pixels, 64, 32, auto=auto, scale_up=scale_up, centered=centered)
    step = Letterbox(64, 32 if auto else None, scale_up=scale_up, centered=centered)
    np.testing.assert_array_equal(run(pixels, step), expected)


def test_photographs_in_a_letterbox(real: Path) -> None:
    for pixels in two_photographs(real):
        for cut in (pixels[:, :150], pixels[:101], pixels):
            for auto in (False, True):
                expected = ultralytics(cut, 320, 32, auto=auto, scale_up=True, centered=True)
                np.testing.assert_array_equal(run(cut, Letterbox(320, 32 if auto else None)), expected)


def test_float_pixels_pass_through_every_step() -> None:
    pixels = picture(30, 47)
    resized = run(pixels, Resize((21, 33), antialias=False, rounded=False))
    assert resized.dtype == np.float32 and (resized != np.rint(resized)).any()
    np.testing.assert_array_equal(
        run(
            pixels,
            Resize((21, 33), antialias=False, rounded=False),
            Crop(16),
            ChannelsFirst(),
            Normalize(1 / 255, MEAN, STD, arithmetic="torch"),
        ),
        ((resized[2:18, 8:24] / np.float32(255) - np.float32(MEAN)) / np.float32(STD)).transpose(2, 0, 1),
    )
    boxed = run(pixels, Resize((21, 33), antialias=False, rounded=False), Letterbox(40))
    assert boxed.dtype == np.float32 and boxed.shape == (40, 40, 3) and (boxed[0] == 114).all()
    padded = run(pixels, Resize((21, 33), antialias=False, rounded=False), Crop((30, 40)))
    assert not padded[0].any() and (padded[4:25, 3:36] == resized).all()

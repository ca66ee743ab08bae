"""Sizes and crops by torchvision's documented formulas, written down here a second time; interpolation beside torch's own."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from roadworthy.preprocess import geometry
from roadworthy.preprocess.image import Preprocessor
from roadworthy.preprocess.pixels import resized_size
from roadworthy.preprocess.resampling import Kernel
from roadworthy.preprocess.spec import ImageTable

sides = st.integers(1, 5000)
small = st.integers(1, 40)


@given(sides, sides, sides)
def test_the_shorter_side_follows_torchvision(height: int, width: int, wanted: int) -> None:
    # torchvision.transforms.Resize: "if height > width, then image will be rescaled to (size * height / width, size)"
    expected = (int(wanted * height / width), wanted) if height > width else (wanted, int(wanted * width / height))
    assert resized_size((height, width), wanted) == expected


@given(small, small, small, small)
def test_the_centre_crop_follows_torchvision(height: int, width: int, crop_height: int, crop_width: int) -> None:
    pixels = (np.arange(height * width) % 255 + 1).astype(np.uint8).reshape(height, width)
    sample = Preprocessor(ImageTable(color="L", crop=(crop_height, crop_width), scale=1, dtype="uint8").steps()).one(pixels)[0]
    # torchvision.transforms.functional.center_crop: pad with 0, the odd pixel right and below; then round() to even.
    below, across = max(crop_height - height, 0), max(crop_width - width, 0)
    padded = np.pad(pixels, ((below // 2, (below + 1) // 2), (across // 2, (across + 1) // 2)))
    top, left = round((padded.shape[0] - crop_height) / 2.0), round((padded.shape[1] - crop_width) / 2.0)
    np.testing.assert_array_equal(sample, padded[top : top + crop_height, left : left + crop_width])


def test_the_crop_rounds_to_even() -> None:
    assert geometry.crop_box((5, 7), (4, 4)) == (2, 0, 6, 4)
    assert geometry.crop_box((7, 5), (4, 4)) == (0, 2, 4, 6)


@pytest.mark.parametrize("name", ["nearest", "bilinear", "bicubic", "lanczos", "box", "hamming"])
def test_antialiased_filters_are_pillows(name: str) -> None:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (30, 47, 3), np.uint8))
    expected = np.asarray(image.resize((20, 11), getattr(Image.Resampling, name.upper())))
    np.testing.assert_array_equal(np.asarray(geometry.resize(image, (11, 20), Kernel(name))), expected)


@pytest.mark.parametrize("name", ["bilinear", "bicubic"])
@pytest.mark.parametrize("to", [(11, 20), (64, 90), (30, 20), (1, 1), (31, 46)])
@pytest.mark.parametrize("channels", [1, 3])
def test_without_antialias_it_is_torchs_interpolation(name: str, to: tuple[int, int], channels: int) -> None:
    import torch

    pixels = np.random.default_rng(1).integers(0, 256, (30, 47, channels), np.uint8)
    image = Image.fromarray(pixels if channels == 3 else pixels[:, :, 0])
    ours = np.asarray(geometry.resize(image, to, Kernel(name, antialias=False))).reshape(*to, channels)
    tensor = torch.from_numpy(pixels).permute(2, 0, 1)[None].float()
    theirs = torch.nn.functional.interpolate(tensor, to, mode=name, align_corners=False).clamp(0, 255)
    # Within rounding to uint8, and exactly there but where the sum of products fell on a half.
    difference = np.abs(ours.astype(float) - theirs[0].permute(1, 2, 0).numpy())
    assert difference.max() <= 0.5 + 1e-3
    antialiased = np.asarray(geometry.resize(image, to, Kernel(name))).reshape(*to, channels)
    if to == (11, 20):
        assert np.abs(antialiased.astype(int) - ours).max() > 10, "antialias made no difference, so this test shows nothing"


def test_an_image_of_the_right_size_is_left_alone() -> None:
    image = Image.new("RGB", (8, 6))
    assert geometry.resize(image, (6, 8), Kernel()) is image

"""Each library's resize, beside the library itself: torch's kernel for uint8 and OpenCV's to the bit, floats within stated bounds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from PIL import Image

from roadworthy.core.types import Array
from roadworthy.preprocess.resampling import Filter, Kernel, resize
from roadworthy.preprocess.resampling.weights import between
from support.pictures import LEVEL, picture, two_photographs

SIZES = st.integers(1, 40)
# torch (2.13) has wrong sums for float images that become one column with antialias; its uint8 kernel does not.
WIDTHS = st.integers(2, 40)
CHEAP = settings(max_examples=25, deadline=None)


def by_torch(pixels: Array, to: tuple[int, int], mode: str, **options: bool) -> Array:
    import torch

    # Contiguous, as torch reads 1 x N x C images in channels-last order by another kernel.
    tensor = torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))[None]
    try:
        found = torch.nn.functional.interpolate(tensor, to, mode=mode, **options)
    except RuntimeError as problem:
        # torch's own fault for a few tiny sizes.
        assert "INTERNAL ASSERT" in str(problem)
        reject()
    return np.asarray(found[0].permute(1, 2, 0).contiguous().numpy())


@pytest.mark.parametrize("antialias", [True, False])
@pytest.mark.parametrize("filter", ["bilinear", "bicubic"])
@given(SIZES, SIZES, SIZES, SIZES, st.sampled_from([1, 3]))
@CHEAP
def test_uint8_is_torchs_kernel_to_the_bit(
    filter: Filter, antialias: bool, height: int, width: int, below: int, across: int, channels: int
) -> None:
    pixels, to = picture(height, width, channels), (below, across)
    expected = by_torch(pixels, to, filter, antialias=antialias, align_corners=False)
    import torch

    plain = torch.backends.cpu.get_cpu_capability() == "DEFAULT"
    if plain and 1 in (height, width, below, across):
        # Without vectors torch has another kernel for images of one row or column.
        reject()
    level = 1 if plain else 0
    found = resize(pixels, to, Kernel(filter, antialias, like="torch")).astype(int)
    np.testing.assert_allclose(found, expected.astype(int), rtol=0, atol=level)


@pytest.mark.parametrize("filter", ["bilinear", "bicubic"])
def test_photographs_are_torchs_to_the_bit(real: Path, filter: Filter) -> None:
    apart = 0
    for pixels in two_photographs(real):
        for to in ((256, 341), (97, 13), (128, 128), (600, 601)):
            expected = by_torch(pixels, to, filter, antialias=True, align_corners=False)
            np.testing.assert_array_equal(resize(pixels, to, Kernel(filter, like="torch")), expected)
            beside = np.asarray(Image.fromarray(pixels).resize(to[::-1], Image.Resampling[filter.upper()]))
            apart = max(apart, np.abs(expected.astype(int) - beside).max())
    assert apart >= 1, "Pillow gives the same, so this test does not tell the two kernels apart"


@pytest.mark.parametrize("antialias", [True, False])
@pytest.mark.parametrize(("filter", "bound"), [("bilinear", 8), ("bicubic", 40)])
@given(SIZES, SIZES, SIZES, WIDTHS)
@CHEAP
def test_floats_are_torchs(filter: Filter, bound: int, antialias: bool, height: int, width: int, below: int, across: int) -> None:
    """Within ``bound`` units in the last place of 255; without FMA torch's positions are rounded once more."""
    import torch

    pixels, to = picture(height, width), (below, across)
    expected = by_torch(pixels.astype(np.float32), to, filter, antialias=antialias, align_corners=False)
    found = resize(pixels, to, Kernel(filter, antialias, rounded=False, like="torch"))
    assert found.dtype == np.float32
    fused = torch.backends.cpu.get_cpu_capability() in ("AVX2", "AVX512")
    np.testing.assert_allclose(found, expected, rtol=0, atol=bound * LEVEL if fused else 0.01)


@given(SIZES, SIZES, SIZES, SIZES)
@CHEAP
def test_nearest_and_aligned_corners_are_torchs(height: int, width: int, below: int, across: int) -> None:
    pixels, to = picture(height, width), (below, across)
    np.testing.assert_array_equal(resize(pixels, to, Kernel("nearest", like="torch")), by_torch(pixels, to, "nearest"))
    np.testing.assert_array_equal(resize(pixels, to, Kernel("nearest")), by_torch(pixels, to, "nearest-exact"))
    expected = by_torch(pixels.astype(np.float32), to, "bilinear", align_corners=True)
    np.testing.assert_allclose(resize(pixels, to, Kernel("bilinear", False, "aligned", False, "torch")), expected, rtol=0, atol=8 * LEVEL)


@given(SIZES, SIZES, SIZES, SIZES, st.sampled_from([1, 3]))
@CHEAP
def test_opencvs_linear_is_equal_to_the_bit(height: int, width: int, below: int, across: int, channels: int) -> None:
    cv2 = pytest.importorskip("cv2")
    pixels, to = picture(height, width, channels), (below, across)
    for filter, name in (("bilinear", "INTER_LINEAR"), ("nearest", "INTER_NEAREST")):
        expected = cv2.resize(pixels, (across, below), interpolation=getattr(cv2, name)).reshape(*to, channels)
        np.testing.assert_array_equal(resize(pixels, to, Kernel(filter, False, like="opencv")), expected)
    cubic = cv2.resize(pixels, (across, below), interpolation=cv2.INTER_CUBIC).reshape(*to, channels).astype(int)
    assert np.abs(resize(pixels, to, Kernel("bicubic", False, like="opencv")) - cubic).max() <= 1


def test_opencvs_nearest_takes_its_pixels_for_every_size() -> None:
    """Where a new pixel begins exactly on an old one, OpenCV's own rounding decides."""
    cv2 = pytest.importorskip("cv2")
    for size in range(1, 90):
        pixels = np.arange(size, dtype=np.uint8)[:, None, None]
        for length in range(1, 90):
            expected = cv2.resize(pixels, (1, length), interpolation=cv2.INTER_NEAREST).reshape(length, 1, 1)
            np.testing.assert_array_equal(resize(pixels, (length, 1), Kernel("nearest", False, like="opencv")), expected)


def test_photographs_are_opencvs_to_the_bit(real: Path) -> None:
    cv2 = pytest.importorskip("cv2")
    for pixels in two_photographs(real):
        for to in ((480, 640), (224, 224), (100, 331)):
            np.testing.assert_array_equal(
                resize(pixels, to, Kernel(antialias=False, like="opencv")), cv2.resize(pixels, to[::-1], interpolation=cv2.INTER_LINEAR)
            )


def test_how_far_torch_is_from_pillow_and_from_no_antialias(real: Path) -> None:
    """The reason why all of these exist: on a photograph the first two differ by a level, the third by a hundred."""
    pixels = next(two_photographs(real))
    torchs = resize(pixels, (128, 128), Kernel(like="torch")).astype(int)
    pillows = np.asarray(Image.fromarray(pixels).resize((128, 128), Image.Resampling.BILINEAR))
    assert 1 <= np.abs(torchs - pillows).max() <= 2
    assert np.abs(torchs - resize(pixels, (128, 128), Kernel(antialias=False))).max() > 20


TF_SIZES = [((1, 1), (3, 2)), ((7, 5), (5, 9)), ((30, 47), (11, 20)), ((13, 40), (31, 3)), ((375, 500), (224, 224)), ((40, 33), (1, 17))]


def tf_cases() -> Iterator[tuple[str, Kernel, Callable[[Any, Array, tuple[int, int]], Any], float]]:
    """What it is, our kernel, TensorFlow's call, and the bound in units in the last place of 255."""
    for filter, tfs in (("bilinear", "bilinear"), ("bicubic", "bicubic"), ("lanczos", "lanczos3")):
        for antialias in (True, False) if filter != "lanczos" else (True,):

            def modern(tf: Any, pixels: Array, to: tuple[int, int], name: str = tfs, antialias: bool = antialias) -> Any:
                return tf.image.resize(pixels, to, method=name, antialias=antialias)

            exact = filter == "bilinear" and not antialias
            yield f"{filter} {antialias}", Kernel(filter, antialias, rounded=False, like="tf"), modern, 0 if exact else 30  # type: ignore[arg-type]
    old = {"corner": {}, "aligned": {"align_corners": True}, "half": {"half_pixel_centers": True}}
    for filter, tfs, bound in (("bilinear", "bilinear", 0), ("bicubic", "bicubic", 40), ("nearest", "nearest_neighbor", 0)):
        for centers, options in old.items():

            def first(tf: Any, pixels: Array, to: tuple[int, int], name: str = tfs, options: dict[str, bool] = options) -> Any:
                return getattr(tf.compat.v1.image, f"resize_{name}")(pixels[None], to, **options)[0]

            yield f"1 {filter} {centers}", Kernel(filter, False, centers, False, "tf"), first, bound  # type: ignore[arg-type]


@pytest.mark.slow
def test_every_resize_of_tensorflow() -> None:
    """tf.image.resize, TensorFlow 1's three with each kind of pixel centres, and Keras's layer, in one process."""
    tf = pytest.importorskip("tensorflow")
    for what, kernel, call, bound in tf_cases():
        for size, to in TF_SIZES:
            for channels in (1, 3):
                pixels = picture(*size, channels)
                found, expected = resize(pixels, to, kernel), np.asarray(call(tf, pixels, to))
                np.testing.assert_allclose(found, expected, rtol=0, atol=bound * LEVEL, err_msg=f"{what} {size} {to}")
    pixels = picture(30, 47)
    half, corner = (resize(pixels, (11, 20), Kernel("bilinear", False, one, False)) for one in ("half", "corner"))
    assert np.abs(half - corner).max() > 20, "pixel centres make no difference, so this test shows nothing"


def test_a_bilinear_weight_is_split_between_two_pixels() -> None:
    indices, weights = between(4, 8, "half", None)
    assert indices[:, 1].tolist() == [0, 1] and weights[:, 1].tolist() == [0.75, 0.25]
    assert indices[:, 0].tolist() == [0, 1] and weights[:, 0].tolist() == [1, 0], "past the edge the edge repeats"

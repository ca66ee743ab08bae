"""Batches: every sample once, the same for the same seed, and images that are moved and never made up."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roadworthy.build.compress.batches import Batches, Changes, changed, image_axis
from roadworthy.build.compress.outputs import OutputLoss
from roadworthy.core import samples
from roadworthy.core.errors import DataError

NCHW, NHWC = 2, 1


@settings(max_examples=30, deadline=None)
@given(count=st.integers(2, 40), size=st.integers(2, 50), seed=st.integers(0, 9), epoch=st.integers(0, 3))
def test_an_epoch_has_each_sample_at_most_once_with_its_own_label(count: int, size: int, seed: int, epoch: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        x = np.arange(count, dtype=np.float32)[:, None]
        held = samples.write(Path(folder) / "s", {"x": x}, np.arange(count))
        loss = OutputLoss("y", "classes", target=samples.TARGET, written="indexes")
        batches = Batches(held, (loss,), size, seed=seed)
        assert batches.steps * batches.size <= count < (batches.steps + 1) * batches.size
        found = [batches.at(epoch * batches.steps + step) for step in range(batches.steps)]
        rows = np.concatenate([batch.feeds["x"][:, 0] for batch in found])
        assert len(set(rows.tolist())) == batches.steps * batches.size
        assert all((batch.feeds["x"][:, 0] == batch.targets["y"]).all() for batch in found)
        again = Batches(held, (loss,), size, seed=seed)
        assert all((again.at(number).feeds["x"] == batches.at(number).feeds["x"]).all() for number in (2 * batches.steps, 0))


def test_epochs_have_other_orders(tmp_path: Path) -> None:
    held = samples.write(tmp_path / "s", {"x": np.arange(64)})
    batches = Batches(held, (), 8, seed=0)
    assert any((batches.at(step).feeds["x"] != batches.at(8 + step).feeds["x"]).any() for step in range(8))


@settings(max_examples=40, deadline=None)
@given(
    height=st.sampled_from([NCHW, NHWC]),
    crop=st.integers(0, 3),
    flip=st.booleans(),
    seed=st.integers(0, 1000),
    dtype=st.sampled_from(["u1", "f4"]),
)
def test_an_image_is_shifted_and_mirrored_and_its_border_repeated(height: int, crop: int, flip: bool, seed: int, dtype: str) -> None:
    shape = (3, 5, 6) if height == NCHW else (5, 6, 3)
    images = np.random.default_rng(seed).integers(0, 200, (4, *shape)).astype(dtype)
    out = changed({"image": images}, {"image": height}, Changes(flip, crop), (seed, 0, 0))["image"]
    assert out.shape == images.shape
    assert out.dtype == images.dtype
    assert out.flags.c_contiguous
    for before, after in zip(*(np.moveaxis(one, (height, height + 1), (1, 2)) for one in (images, out)), strict=True):
        assert any(
            np.array_equal(after, candidate)
            for down in range(-crop, crop + 1)
            for right in range(-crop, crop + 1)
            for mirror in ({False, flip})
            for candidate in [_moved(before, down, right, mirror)]
        )


def _moved(image: np.ndarray, down: int, right: int, mirror: bool) -> np.ndarray:
    """The image by index arithmetic: a pixel from outside is the nearest one inside."""
    rows, columns = image.shape[:2]
    window = image[np.clip(np.arange(rows) + down, 0, rows - 1)][:, np.clip(np.arange(columns) + right, 0, columns - 1)]
    return window[:, ::-1] if mirror else window


def test_both_ways_and_all_shifts_come_up() -> None:
    images = np.tile(np.arange(8, dtype=np.float32), (400, 1, 8, 1))
    out = changed({"i": images}, {"i": NCHW}, Changes(True, 1), (0, 0, 0))["i"]
    rising = (np.diff(out[:, 0, 0]) >= 0).all(axis=1)
    assert 0.4 < rising.mean() < 0.6
    assert {float(row[3]) for row in out[rising, 0, 0]} == {2.0, 3.0, 4.0}


def test_two_images_of_one_sample_move_together() -> None:
    images = np.random.default_rng(0).random((16, 6, 6, 1)).astype(np.float32)
    out = changed({"a": images, "b": images.transpose(0, 3, 1, 2)}, {"a": NHWC, "b": NCHW}, Changes(True, 2), (1, 2, 3))
    assert np.array_equal(out["a"], out["b"].transpose(0, 2, 3, 1))
    assert not np.array_equal(out["a"], images)


@pytest.mark.parametrize(
    ("shape", "first", "axis"),
    [((3, 32, 32), True, 2), ((32, 32, 3), False, 1), ((32, 32, 3), True, 1), ((3, 32, 32), False, 2), ((28, 28), True, 1),
     ((3, 8, 3), True, 2), ((3, 8, 3), False, 1), ((16, 8, 8), True, None), ((12,), True, None), ((3, 4, 4, 4), True, None)],
)  # fmt: skip
def test_the_axis_of_rows(shape: tuple[int, ...], first: bool, axis: int | None) -> None:
    assert image_axis(shape, channels_first=first) == axis


def test_what_is_no_image_is_not_mirrored(tmp_path: Path) -> None:
    held = samples.write(tmp_path / "s", {"x": np.zeros((8, 3))})
    with pytest.raises(DataError, match="no input is an image"):
        Batches(held, (), 4, seed=0, changes=Changes(flip=True), heights={})


def test_one_sample_is_too_few(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="too few"):
        Batches(samples.write(tmp_path / "s", {"x": np.zeros((1, 3))}), (), 4, seed=0)

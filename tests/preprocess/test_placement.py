"""Where a sample lies in its image: boxes there and back, and marked pixels of real images of every size found where it says."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from roadworthy.core.errors import DataError
from roadworthy.core.types import Array
from roadworthy.preprocess import placement, steps
from roadworthy.preprocess.image import Preprocessor
from roadworthy.preprocess.placement import Placement
from roadworthy.preprocess.steps import ChannelsFirst, Crop, CropFraction, CropToAspect, Decode, Letterbox, Normalize, Resize

sides = st.integers(1, 60)
pairs = st.tuples(sides, sides)
sizes = sides | pairs
ONE: tuple[st.SearchStrategy[Any], ...] = (
    st.builds(lambda size, antialias: Resize(size, antialias=antialias), sizes, st.booleans()),
    st.builds(lambda size, centers: Resize(size, antialias=False, centers=centers), sizes, st.sampled_from(["half", "corner", "aligned"])),
    st.builds(lambda size: Resize(None, longest=size), sides),
    st.builds(lambda size, up, middle: Letterbox(size, scale_up=up, centered=middle), sizes, st.booleans(), st.booleans()),
    st.builds(lambda height, width: Letterbox((8 * height, 8 * width), stride=8), st.integers(1, 6), st.integers(1, 6)),
    st.builds(Crop, sizes, st.sampled_from(["even", "down"])),
    st.builds(CropFraction, st.floats(0.1, 1)),
    st.builds(CropToAspect, sizes),
)
chains = st.lists(st.one_of(*ONE), max_size=4).map(tuple)


def found(*after: Any, size: tuple[int, int], orientation: int = 1, orient: bool = False) -> Placement:
    return placement.of_steps((Decode(orient=orient), *after), size, orientation)


def box(*sides: float) -> Array:
    return np.array(sides, np.float64)


def turned(pixels: Array, orientation: int, format: str = "PNG") -> bytes:
    """The image as a file whose EXIF data have the orientation."""
    exif, buffer = Image.Exif(), io.BytesIO()
    exif[0x112] = orientation
    kept: dict[str, Any] = {"tiffinfo": {0x112: orientation}} if format == "TIFF" else {"exif": exif}
    Image.fromarray(pixels).save(buffer, format, **kept)
    return buffer.getvalue()


def test_a_letterbox_by_hand() -> None:
    """100 x 200 in 64 x 64: scaled by 0.32 to 32 x 64, and 16 rows of padding above."""
    found_ = found(Letterbox(64), size=(100, 200))
    assert found_ == Placement((100, 200), (0.32, 0.32), (16, 0))
    assert np.allclose(found_.to_image(box(0, 16, 64, 48)), [0, 0, 200, 100])
    assert np.allclose(found_.to_sample(box(100, 50, 200, 100)), [32, 32, 64, 48])
    # The padding is outside the image.
    assert np.allclose(found_.to_image(box(0, 0, 64, 64)), [0, -50, 200, 150])
    assert np.allclose(found_.to_image(box(0, 0, 64, 64), clip=True), [0, 0, 200, 100])


def test_boxes_of_any_shape() -> None:
    found_ = found(Letterbox(64), size=(100, 200))
    assert found_.to_image(np.zeros((0, 4))).shape == (0, 4)
    assert found_.to_image(np.zeros((2, 3, 4), np.float32)).shape == (2, 3, 4)
    assert found_.to_image(np.zeros((1, 4), np.float32)).dtype == np.float64


@settings(max_examples=200, deadline=None)
@given(chains, pairs, st.integers(1, 8), st.lists(st.floats(0, 60), min_size=4, max_size=4))
def test_there_and_back(after: tuple[Any, ...], size: tuple[int, int], orientation: int, corners: list[float]) -> None:
    found_ = found(*after, size=size, orientation=orientation, orient=True)
    left, top, right, bottom = corners
    given_ = box(min(left, right), min(top, bottom), max(left, right), max(top, bottom))
    assert np.allclose(found_.to_sample(found_.to_image(given_)), given_, atol=1e-6)
    assert np.allclose(found_.to_image(found_.to_sample(given_)), given_, atol=1e-6)
    # The matrix that the server sends says the same.
    points = np.array([[left, top, 1], [right, bottom, 1]]) @ found_.matrix.T
    assert np.allclose(found_.to_image(given_), [*points.min(0), *points.max(0)], atol=1e-6)


def centre(channel: Array) -> tuple[float, float]:
    """The row and column of the middle of what is brighter than the rest."""
    weight = np.clip(channel.astype(np.float64), 0, None)
    rows, columns = np.indices(channel.shape) + 0.5
    return float((rows * weight).sum() / weight.sum()), float((columns * weight).sum() / weight.sum())


@settings(max_examples=150, deadline=None)
@given(st.one_of(*ONE), st.tuples(st.integers(20, 60), st.integers(20, 60)), st.data())
def test_a_marked_pixel_is_where_the_placement_says(step: Any, size: tuple[int, int], data: st.DataObject) -> None:
    """A bright block in a black image, moved and scaled by each step, has its middle where the placement puts it."""
    row, column = data.draw(st.integers(4, size[0] - 8)), data.draw(st.integers(4, size[1] - 8))
    pixels = np.zeros((*size, 3), np.uint8)
    pixels[row : row + 4, column : column + 4] = 250
    if isinstance(step, Letterbox):
        step = Letterbox(step.size, step.stride, 0, step.scale_up, step.centered)
    where = found(step, size=size)
    block = where.to_sample(box(column, row, column + 4, row + 4))
    sample = np.asarray(Preprocessor((Decode(), step)).one(pixels))[:, :, 0]
    height, width = sample.shape
    scale = max(where.scale)
    margin = 2 * scale + 2
    if not (block[0] > margin and block[1] > margin and block[2] < width - margin and block[3] < height - margin) or min(where.scale) < 0.5:
        # Cut off at an edge, or too small for its middle to be seen.
        return
    seen_row, seen_column = centre(sample)
    # Without antialias a block loses or gains up to half a pixel of the image on each side.
    slack = 0.5 * scale + 0.1
    assert abs(seen_row - (block[1] + block[3]) / 2) < slack and abs(seen_column - (block[0] + block[2]) / 2) < slack


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("after", [(), (Letterbox(64, value=0),), (Resize(40), Crop(32))], ids=str)
def test_every_orientation(orientation: int, after: tuple[Any, ...], format: str) -> None:
    pixels = np.zeros((50, 70, 3), np.uint8)
    pixels[20:26, 40:46] = 250
    preprocessor = Preprocessor((Decode(orient=True), *after))
    file = turned(pixels, orientation, format)
    where = preprocessor.placement(file)
    assert where.size == (50, 70)
    row, column = centre(np.asarray(preprocessor.one(file))[:, :, 0])
    seen = where.to_image(box(column, row, column, row))
    assert np.allclose(seen, [43, 23, 43, 23], atol=0.3)
    if format == "TIFF":
        # Pillow itself turns it, whether that is asked for or not.
        assert Preprocessor((Decode(), *after)).placement(file) == where
        return
    # What does not follow the orientation is placed without it.
    assert Preprocessor((Decode(), *after)).placement(file) == Preprocessor((Decode(), *after)).placement(pixels)


def test_centres_of_pixels() -> None:
    """TF1's corners and align_corners put the middle of pixel i at other places than half a pixel does; by torch's own rule."""
    for centers, first, last in (("half", 0.5 * 10 / 4, 10 - 0.5 * 10 / 4), ("corner", 0.5, 3 * 2.5 + 0.5), ("aligned", 0.5, 9.5)):
        where = found(Resize((4, 4), antialias=False, centers=centers), size=(10, 10))  # type: ignore[arg-type]
        assert np.allclose(where.to_image(box(0.5, 0.5, 3.5, 3.5)), [first, first, last, last])


def test_a_crop_larger_than_the_image() -> None:
    assert found(Crop(10), size=(5, 8)).offset == (2, 1)
    # Keras resizes: the largest centre of the crop's aspect.
    resized = found(Crop(10, larger="resize"), size=(5, 8))
    assert resized == Placement((5, 8), (2, 2), (0, -2))
    assert found(Crop(10, larger="resize"), size=(9, 5)) == Placement((9, 5), (2, 2), (-4, 0))


def test_other_steps_move_nothing() -> None:
    where = found(steps.Grey(), steps.ReverseChannels(), ChannelsFirst(), Normalize(), size=(7, 9))
    assert where == Placement((7, 9))


def test_a_step_that_is_not_known_here_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A new step that changes the size must say where the pixels go."""
    monkeypatch.setattr(steps.Grey, "shape", lambda self, before: before.sized(3, 3))
    with pytest.raises(DataError, match="after the step 'grey' is not known"):
        found(steps.Grey(), size=(7, 9))


@pytest.mark.parametrize("item", [b"", b"no image", b"\x89PNG\r\n\x1a\n", np.zeros((0, 3, 3), np.uint8), np.zeros((2, 2, 3))])
def test_what_is_no_image(item: Any) -> None:
    with pytest.raises(DataError):
        Preprocessor((Decode(),)).placement(item)


def test_only_the_header_is_read() -> None:
    whole = turned(np.zeros((500, 500, 3), np.uint8), 1, "JPEG")
    assert Preprocessor((Decode(orient=True), Letterbox(64))).placement(whole[: len(whole) // 2]).size == (500, 500)

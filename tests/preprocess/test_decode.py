"""Every format and every kind of pixels gives what Pillow's ``convert`` gives in training; EXIF turns an image where that is asked for."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from roadworthy.preprocess.image import Preprocessor
from roadworthy.preprocess.steps import Decode, Resize

PIXELS = np.random.default_rng(4).integers(0, 256, (23, 37, 3), np.uint8)
WHOLE = Image.fromarray(PIXELS)


def encode(image: Image.Image, format: str, **options: Any) -> bytes:
    buffer = BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


MODES: dict[str, Callable[[], Image.Image]] = {
    "RGB": lambda: WHOLE,
    "RGBA": lambda: Image.fromarray(np.dstack([PIXELS, PIXELS[:, :, 0]])),
    "L": lambda: WHOLE.convert("L"),
    "LA": lambda: Image.merge("LA", (WHOLE.convert("L"), WHOLE.getchannel(0))),
    "1": lambda: WHOLE.convert("1"),
    "P": lambda: WHOLE.quantize(64),
    "CMYK": lambda: WHOLE.convert("CMYK"),
}
HOLDS = {
    "PNG": ("RGB", "RGBA", "L", "LA", "1", "P"), "BMP": ("RGB", "L", "1", "P"), "GIF": ("RGB", "L", "1", "P"),
    "TIFF": tuple(MODES), "JPEG": ("RGB", "L", "CMYK"), "MPO": ("RGB", "L"), "WEBP": ("RGB", "RGBA", "L"),
}  # fmt: skip


@pytest.mark.parametrize(("format", "mode"), [(format, mode) for format, modes in HOLDS.items() for mode in modes])
@pytest.mark.parametrize("color", ["RGB", "L"])
def test_a_file_becomes_what_convert_makes_of_it(format: str, mode: str, color: str) -> None:
    data = encode(MODES[mode](), format)
    with Image.open(BytesIO(data)) as image:
        # Pillow warns on the way from a transparent palette to RGB; grey of a palette goes by way of its colours.
        found = image.convert("RGBA").convert("RGB") if image.mode == "P" else image
        expected = np.asarray(
            found.convert("RGB").convert("L") if color == "L" and image.mode not in ("1", "L", "LA") else found.convert(color)
        )
    sample = Preprocessor((Decode(color),)).one(data)  # type: ignore[arg-type]
    np.testing.assert_array_equal(sample, expected.reshape(sample.shape))


def test_the_first_picture_of_several_counts() -> None:
    frames = [Image.new("RGB", (16, 16), color) for color in ("red", "blue")]
    for format in ("GIF", "TIFF", "MPO", "PNG", "WEBP"):
        data = encode(frames[0], format, save_all=True, append_images=frames[1:])
        red, green, blue = Preprocessor((Decode(),)).one(data)[8, 8].tolist()
        assert red > 250 and green < 5 and blue < 5, format


@pytest.mark.parametrize(("format", "mode"), [("PNG", "I;16"), ("TIFF", "I;16"), ("TIFF", "I;16B")])
def test_16_bit_grey_is_its_upper_8_bits_or_is_cut_off(format: str, mode: str) -> None:
    values = np.array([[0, 200, 255], [256, 40_000, 65_535]], ">u2" if mode == "I;16B" else "<u2")
    data = encode(Image.frombytes(mode, (3, 2), values.tobytes()), format)
    upper, clipped = (Preprocessor((Decode(deep=deep),)).one(data)[:, :, 0].tolist() for deep in ("upper", "clip"))
    assert upper == [[0, 0, 0], [1, 156, 255]] and clipped == [[0, 200, 255], [255, 255, 255]]
    with Image.open(BytesIO(data)) as image:
        assert np.asarray(image.convert("RGB"))[:, :, 0].tolist() == clipped, "clip is what Pillow's convert does"


def test_16_bit_colour_is_its_upper_8_bits() -> None:
    cv2 = pytest.importorskip("cv2")
    values = np.random.default_rng(0).integers(0, 65_536, (5, 7, 3), np.uint16)
    _, data = cv2.imencode(".png", values[:, :, ::-1])
    np.testing.assert_array_equal(Preprocessor((Decode(),)).one(data.tobytes()), values >> 8)


def oriented(format: str, value: int, image: Image.Image = WHOLE) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = value
    return encode(image, format, exif=exif, **({"lossless": True} if format == "WEBP" else {}))


@pytest.mark.parametrize("value", range(1, 9))
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "MPO"])
def test_exif_turns_an_image_where_that_is_asked_for(format: str, value: int) -> None:
    data = oriented(format, value)
    with Image.open(BytesIO(data)) as image:
        plain, turned = np.asarray(image.convert("RGB")), np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    np.testing.assert_array_equal(Preprocessor((Decode(),)).one(data), plain)
    np.testing.assert_array_equal(Preprocessor((Decode(orient=True),)).one(data), turned)
    assert value == 1 or plain.shape != turned.shape or (plain != turned).any(), "turning changes nothing, so this test shows nothing"


@pytest.mark.parametrize("value", range(1, 9))
def test_a_tiff_is_turned_by_pillow_itself_and_once(value: int) -> None:
    data = encode(WHOLE, "TIFF", tiffinfo={274: value})
    with Image.open(BytesIO(data)) as image:
        expected = np.asarray(image.convert("RGB"))
    for orient in (False, True):
        np.testing.assert_array_equal(Preprocessor((Decode(orient=orient),)).one(data), expected)
    assert (expected.shape == PIXELS.shape) == (value < 5)


@pytest.mark.parametrize("value", [0, 9, 77])
def test_an_orientation_that_does_not_exist_is_none(value: int) -> None:
    np.testing.assert_array_equal(Preprocessor((Decode(orient=True),)).one(oriented("PNG", value)), PIXELS)


def test_the_sides_are_those_after_turning() -> None:
    """Also where drafts are allowed: a resize of the shorter side follows the image as it is seen."""
    large = Image.fromarray(np.repeat(np.repeat(PIXELS, 20, 0), 20, 1))
    for draft in (False, True):
        sample = Preprocessor((Decode(orient=True), Resize(23)), draft=draft).one(oriented("JPEG", 6, large))
        assert sample.shape == (37, 23, 3)
        assert Preprocessor((Decode(), Resize(23)), draft=draft).one(oriented("JPEG", 6, large)).shape == (23, 37, 3)


def test_a_palette_or_16_bits_are_turned_too() -> None:
    for image in (WHOLE.quantize(16), Image.fromarray(np.arange(6, dtype=np.uint16).reshape(2, 3) << 8)):
        sample = Preprocessor((Decode(orient=True),)).one(oriented("PNG", 6, image))
        assert sample.shape == (image.width, image.height, 3)

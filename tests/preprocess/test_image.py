"""One image in every form gives one sample, by the formula; hostile and odd images give words."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from roadworthy.core.errors import DataError
from roadworthy.preprocess import spec
from roadworthy.preprocess.image import Preprocessor
from roadworthy.preprocess.spec import ImageTable, ResizeTable

rng = np.random.default_rng(3)
PIXELS = rng.integers(0, 256, (23, 37, 3), np.uint8)
RAW = ImageTable(scale=1, layout="HWC", dtype="uint8")


def encode(image: Image.Image, format: str = "PNG", **options: Any) -> bytes:
    buffer = BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def png(width: int, height: int, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG header that promises ``width`` x ``height`` RGB, then ``chunks``, by default the start of pixels that never come."""
    header = (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    body = (
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in (header, *(chunks or [(b"IDAT", b"")]))
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(body)


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP"])
def test_bytes_path_pillow_and_array_are_one_image(tmp_path: Path, format: str) -> None:
    data = encode(Image.fromarray(PIXELS), format)
    path = tmp_path / "named.wrongly.txt"
    path.write_bytes(data)
    with Image.open(path) as opened:
        pixels = np.asarray(opened.convert("RGB"))
        preprocessor = Preprocessor(spec.PRESETS["imagenet"].steps())
        samples = [preprocessor.one(item) for item in (data, path, opened, pixels)]
    assert samples[0].shape == (3, 224, 224) and samples[0].dtype == np.float32 and samples[0].flags.c_contiguous
    for sample in samples[1:]:
        np.testing.assert_array_equal(sample, samples[0])
    np.testing.assert_array_equal(preprocessor.many([data, path]), np.stack(samples[:2]))


@pytest.mark.parametrize("layout", ["CHW", "HWC"])
@pytest.mark.parametrize("color", ["RGB", "BGR"])
def test_the_formula(layout: str, color: str) -> None:
    mean, std = (0.4, 0.5, 0.6), (0.1, 0.2, 0.3)
    sample = Preprocessor(ImageTable(color=color, mean=mean, std=std, layout=layout).steps()).one(PIXELS)  # type: ignore[arg-type]
    ordered = PIXELS if color == "RGB" else PIXELS[:, :, ::-1]
    expected = (ordered.astype(np.float64) / 255 - mean) / std
    np.testing.assert_allclose(sample, expected.transpose(2, 0, 1) if layout == "CHW" else expected, atol=2e-6)
    assert sample.dtype == np.float32 and sample.flags.c_contiguous


def test_one_mean_serves_all_channels() -> None:
    sample = Preprocessor(ImageTable(scale=1, mean=(10.0,), std=(2.0,)).steps()).one(PIXELS)
    np.testing.assert_allclose(sample, (PIXELS.transpose(2, 0, 1) - 10.0) / 2, atol=1e-5)


def test_plain_pixels_are_exact() -> None:
    np.testing.assert_array_equal(Preprocessor(ImageTable(scale=1).steps()).one(PIXELS), PIXELS.transpose(2, 0, 1).astype(np.float32))
    same = Preprocessor(RAW.steps()).one(PIXELS)
    np.testing.assert_array_equal(same, PIXELS)
    same[0] = 0
    assert PIXELS[0].any(), "the sample is the caller's own array"


def test_grey_follows_pillow() -> None:
    expected = np.asarray(Image.fromarray(PIXELS).convert("L"))
    for layout, axis in (("CHW", 0), ("HWC", 2)):
        image = ImageTable(color="L", scale=1, layout=layout, dtype="uint8")  # type: ignore[arg-type]
        np.testing.assert_array_equal(Preprocessor(image.steps()).one(PIXELS), np.expand_dims(expected, axis))
        np.testing.assert_array_equal(Preprocessor(image.steps()).one(expected), np.expand_dims(expected, axis))
        np.testing.assert_array_equal(Preprocessor(image.steps()).one(expected[:, :, None]), np.expand_dims(expected, axis))
    np.testing.assert_array_equal(Preprocessor(RAW.steps()).one(expected), np.repeat(expected[:, :, None], 3, axis=2))


def transparent_palette() -> Image.Image:
    image = Image.fromarray(PIXELS).quantize(16)
    image.info["transparency"] = bytes(range(16))
    return image


@pytest.mark.parametrize(
    ("make", "lossless"),
    [
        (lambda: Image.fromarray(PIXELS).convert("RGBA"), True),
        (lambda: Image.fromarray(np.dstack([PIXELS, PIXELS[:, :, 0]])), True),
        (lambda: Image.fromarray(PIXELS).quantize(256), False),
        (transparent_palette, False),
        (lambda: Image.fromarray(PIXELS).convert("1"), False),
        (lambda: Image.fromarray(PIXELS).convert("LA"), False),
    ],
    ids=["opaque", "alpha", "palette", "transparent palette", "bits", "grey with alpha"],
)
def test_other_modes_become_rgb_as_training_reads_them(make: Callable[[], Image.Image], lossless: bool) -> None:
    data = encode(make())
    with Image.open(BytesIO(data)) as image:
        # Through RGBA, because Pillow warns on the way from a transparent palette to RGB.
        expected = np.asarray(image.convert("RGBA").convert("RGB") if image.mode == "P" else image.convert("RGB"))
    np.testing.assert_array_equal(Preprocessor(RAW.steps()).one(data), expected)
    if lossless:
        np.testing.assert_array_equal(expected, PIXELS)


def test_cmyk_jpeg_is_read() -> None:
    data = encode(Image.fromarray(PIXELS).convert("CMYK"), "JPEG")
    with Image.open(BytesIO(data)) as image:
        np.testing.assert_array_equal(Preprocessor(RAW.steps()).one(data), np.asarray(image.convert("RGB")))
        grey = ImageTable(color="L", scale=1, layout="HWC", dtype="uint8")
        np.testing.assert_array_equal(Preprocessor(grey.steps()).one(data)[:, :, 0], np.asarray(image.convert("RGB").convert("L")))


@pytest.mark.parametrize("mode", ["RGBA", "CMYK", "YCbCr", "HSV"])
def test_grey_goes_by_way_of_rgb(mode: str) -> None:
    image = Image.fromarray(PIXELS).convert(mode)
    grey = Preprocessor(ImageTable(color="L", scale=1, layout="HWC", dtype="uint8").steps()).one(image)
    np.testing.assert_array_equal(grey[:, :, 0], np.asarray(image.convert("RGB").convert("L")))


@pytest.mark.parametrize("mode", ["I", "F", "LAB"])
def test_modes_beyond_16_bits_are_refused(mode: str) -> None:
    with pytest.raises(DataError, match=f"the image has the mode {mode}"):
        Preprocessor(ImageTable().steps()).one(Image.new(mode, (4, 4)))


def test_exif_orientation_is_not_applied() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = encode(Image.fromarray(PIXELS), "JPEG", exif=exif)
    plain = encode(Image.fromarray(PIXELS), "JPEG")
    np.testing.assert_array_equal(Preprocessor(RAW.steps()).one(turned), Preprocessor(RAW.steps()).one(plain))


def test_the_first_frame_of_an_animation_counts() -> None:
    frames = [Image.new("RGB", (8, 8), color) for color in ("red", "blue")]
    for format in ("PNG", "WEBP"):
        data = encode(frames[0], format, save_all=True, append_images=frames[1:], lossless=True)
        np.testing.assert_array_equal(Preprocessor(RAW.steps()).one(data)[0, 0], [255, 0, 0])


ATTACKS: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "is empty"),
    "text": (b"This is not an image, whatever its name says.\n" * 9, "is not a JPEG (or MPO), PNG, WebP, BMP, GIF or TIFF image"),
    "jpeg 2000": (encode(Image.fromarray(PIXELS), "JPEG2000"), "is not a JPEG (or MPO), PNG, WebP, BMP, GIF or TIFF image"),
    "portable pixmap": (encode(Image.fromarray(PIXELS), "PPM"), "is not a JPEG (or MPO), PNG, WebP, BMP, GIF or TIFF image"),
    "eps": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "is not a JPEG (or MPO), PNG, WebP, BMP, GIF or TIFF image"),
    "bomb": (png(6000, 5000), "6000 x 5000 pixels, more than the limit of 25000000"),
    "bomb that Pillow warns of": (png(11_000, 10_000), "more pixels than the limit"),
    "bomb that Pillow refuses": (png(2_000_000_000, 2_000_000_000), "more pixels than the limit"),
    "no width": (png(0, 10), "the image"),
    "no pixels": (png(10, 10), "is damaged or truncated"),
    "broken chunk": (png(10, 10, (b"IDAT", b"garbage")), "is damaged or truncated"),
    "text bomb": (png(10, 10, (b"zTXt", b"a\0\0" + zlib.compress(bytes(80_000_000)))), "the image"),
    "cut PNG": (encode(Image.fromarray(PIXELS))[:900], "is damaged or truncated"),
    "cut JPEG": (encode(Image.fromarray(PIXELS), "JPEG")[:700], "is damaged or truncated"),
    "cut WebP": (encode(Image.fromarray(PIXELS), "WEBP")[:200], "the image"),
    "cut header": (encode(Image.fromarray(PIXELS), "JPEG")[:20], "the image"),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_attacks_are_refused_with_the_file_name(tmp_path: Path, name: str) -> None:
    data, words = ATTACKS[name]
    preprocessor = Preprocessor(ImageTable(crop=8).steps())
    with pytest.raises(DataError) as caught:
        preprocessor.one(data)
    assert words in caught.value.message and "\n" not in caught.value.message
    path = tmp_path / "innocent.png"
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"innocent\.png"):
        preprocessor.one(path)


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP"])
def test_every_flipped_byte_gives_an_image_or_a_data_error(format: str) -> None:
    data = encode(Image.fromarray(PIXELS), format)
    preprocessor = Preprocessor(ImageTable(crop=8).steps())
    for at in range(0, min(len(data), 700), 7):
        broken = bytearray(data)
        broken[at] ^= 0xFF
        try:
            preprocessor.one(bytes(broken))
        except DataError:
            pass


def test_the_limit_holds_before_decoding() -> None:
    # Nothing but a header: had it been decoded, the complaint would be about its missing body.
    with pytest.raises(DataError, match="more than the limit of 99"):
        Preprocessor(ImageTable(pixel_limit=99).steps()).one(png(10, 10))
    with pytest.raises(DataError, match="damaged"):
        Preprocessor(ImageTable(pixel_limit=100).steps()).one(png(10, 10))
    with pytest.raises(DataError, match="limit"):
        Preprocessor(ImageTable(pixel_limit=99).steps()).one(PIXELS)


@pytest.mark.parametrize("antialias", [True, False])
@pytest.mark.parametrize("size", [224, (224, 224)])
@pytest.mark.parametrize("shape", [(1, 1_000_000), (1_000_000, 1)])
def test_a_thin_image_cannot_grow_past_the_limit(shape: tuple[int, int], size: int | tuple[int, int], antialias: bool) -> None:
    preprocessor = Preprocessor(ImageTable(resize=ResizeTable(size, antialias=antialias)).steps())
    sliver = encode(Image.new("L", (shape[1], shape[0])))
    if shape == (1, 1_000_000) and size == (224, 224):
        assert preprocessor.one(sliver).shape == (3, 224, 224)
    else:
        with pytest.raises(DataError, match="takes more than the limit of 25000000 on its way"):
            preprocessor.one(sliver)


@pytest.mark.parametrize(
    ("item", "words"),
    [
        (np.zeros((4, 4, 3), np.float32), "an array of float32"),
        (np.zeros((3, 4, 4), np.uint8), r"uint8 \[3, 4, 4\]"),
        (np.zeros((1, 4, 4, 3), np.uint8), "not an image"),
        (np.zeros((0, 4, 3), np.uint8), "no pixels"),
        (Image.new("RGB", (0, 3)), "no pixels"),
        ("a string", "a str is not an image"),
        (Path("/nowhere/at.all"), "/nowhere/at.all cannot be read"),
        (Path("/"), "cannot be read"),
    ],
)
def test_what_is_not_an_image_is_refused(item: Any, words: str) -> None:
    with pytest.raises(DataError, match=words):
        Preprocessor(ImageTable().steps()).one(item)


def test_many_names_the_image_of_another_size() -> None:
    preprocessor = Preprocessor(ImageTable().steps())
    with pytest.raises(DataError, match=r"image 1: gives a sample of shape \[3, 5, 5\] where \[3, 4, 4\] is wanted"):
        preprocessor.many([np.zeros((4, 4, 3), np.uint8), np.zeros((5, 5, 3), np.uint8)])
    with pytest.raises(DataError, match="image 1 is empty"):
        preprocessor.many([np.zeros((4, 4, 3), np.uint8), b""])
    with pytest.raises(DataError, match="no images"):
        preprocessor.many([])


@pytest.mark.parametrize("image", [RAW, ImageTable(), ImageTable(mean=(0.5,)), ImageTable(scale=1, dtype="uint8")])
def test_out_takes_the_same_sample(image: ImageTable) -> None:
    preprocessor = Preprocessor(image.steps())
    sample = preprocessor.one(PIXELS)
    out = np.zeros_like(sample)
    assert preprocessor.one(PIXELS, out=out) is out
    np.testing.assert_array_equal(out, sample)


def test_threads_may_share_a_preprocessor() -> None:
    data = encode(Image.fromarray(PIXELS), "JPEG")
    preprocessor = Preprocessor(ImageTable(resize=ResizeTable(16), crop=16).steps())
    expected = preprocessor.one(data)
    with ThreadPoolExecutor(4) as pool:
        for sample in pool.map(preprocessor.one, [data] * 64):
            np.testing.assert_array_equal(sample, expected)


def test_a_contract_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(DataError, match="std"):
        Preprocessor(ImageTable(std=(0.0,)).steps())

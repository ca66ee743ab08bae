"""The page's preprocessing in JavaScript beside the server's: uint8 pixels to the bit, floats within a stated bound."""

from __future__ import annotations

import itertools
import struct
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from roadworthy.core.types import Array
from roadworthy.preprocess.image import Preprocessor
from roadworthy.preprocess.steps import (
    KINDS,
    ChannelsFirst,
    Crop,
    CropFraction,
    CropToAspect,
    Decode,
    Grey,
    Letterbox,
    Normalize,
    Resize,
    ReverseChannels,
    Step,
)
from support import javascript

SIZES = ((37, 53), (64, 48), (5, 7), (1, 9), (96, 33))
FLOAT_BOUND = 5e-4
"""Of a pixel from 0 to 255: sines and cosines of float32 differ in their last bit between NumPy and a browser."""


def picture(height: int, width: int, channels: int = 3) -> Array:
    return np.random.default_rng(height * 1000 + width).integers(0, 256, (height, width, channels), dtype=np.uint8)


def resizes() -> list[Resize]:
    """Every kind of resize that ``check`` allows, to a smaller and to a larger size."""
    found = []
    for filter, antialias, centers, rounded, like in itertools.product(
        ("nearest", "bilinear", "bicubic", "lanczos", "box", "hamming"),
        (True, False), ("half", "corner", "aligned"), (True, False), ("pillow", "torch", "tf", "opencv"),
    ):  # fmt: skip
        for size in ((24, 31), (70, 11)):
            step = Resize(size, filter, antialias, None, centers, rounded, like)  # type: ignore[arg-type]
            try:
                step.check(10**6)
            except Exception:
                continue
            found.append(step)
    return found


def compared(cases: list[tuple[tuple[Step, ...], Any]], folder: Path) -> list[tuple[tuple[Step, ...], Array, Array]]:
    answers = javascript.samples(cases, folder)
    found = []
    for (steps, image), answer in zip(cases, answers, strict=True):
        assert not isinstance(answer, str), (steps, answer)
        found.append((steps, answer, Preprocessor(steps).one(image)))
    return found


def test_every_resize_gives_the_same_pixels(tmp_path: Path) -> None:
    cases = [((Decode(), step), picture(*size)) for step, size in zip(resizes(), itertools.cycle(SIZES), strict=False)]
    assert len(cases) > 150
    found = compared(cases, tmp_path)
    for steps, got, want in found:
        assert got.dtype == want.dtype and got.shape == want.shape, steps
        if want.dtype == np.uint8:
            assert (got == want).all(), (steps, np.abs(got.astype(int) - want).max())
        else:
            assert np.abs(got - want).max() <= (0 if exact(steps[1]) else FLOAT_BOUND), (steps, np.abs(got - want).max())


def exact(step: Any) -> bool:
    return step.filter not in ("lanczos", "hamming")


def test_pillows_order_of_rows_and_columns_is_kept(tmp_path: Path) -> None:
    """Since version 13 it depends on the sizes, and rounding between the two makes it seen."""
    numbers = np.random.default_rng(7)
    cases: list[tuple[tuple[Step, ...], Any]] = []
    for _ in range(60):
        height, width, to_height, to_width = (int(size) for size in numbers.integers(2, 90, 4))
        cases.append(((Decode(), Resize((to_height, to_width), ("bilinear", "bicubic")[height % 2])), picture(height, width)))
    for steps, got, want in compared(cases, tmp_path):
        assert (got == want).all(), steps


def test_the_usual_steps_give_the_same_samples_to_the_bit(tmp_path: Path) -> None:
    imagenet = (ChannelsFirst(), Normalize(1 / 255, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    ways: tuple[tuple[Step, ...], ...] = (
        (Resize(40), Crop(32), *imagenet),
        (Resize(40, longest=60), Crop((31, 37), "down"), *imagenet),
        (Resize(longest=50), Crop(64, "floor"), ReverseChannels(), Normalize(1.0, (103.939, 116.779, 123.68), axis=2)),
        (Crop((33, 41)), Grey(1), ChannelsFirst(), Normalize(1 / 255, (0.1307,), (0.3081,))),
        (Crop(48, "even", "resize"), ChannelsFirst(), Normalize(1 / 127.5, (1.0,), arithmetic="keras")),
        (CropFraction(0.875), Resize((24, 24), "bicubic", False, rounded=False, like="tf"), Normalize(1 / 255, axis=2, arithmetic="numpy")),
        (CropToAspect((30, 20)), Resize((30, 20), antialias=False, like="torch"), ChannelsFirst(), Normalize(1 / 255, arithmetic="torch")),
        (Letterbox(64), ChannelsFirst(), Normalize()),
        (Letterbox(64, 16, 20, False, False, "bicubic", True), Grey(3, "torch"), Normalize(1 / 255, axis=2)),
        (Resize((8, 8)), Grey(3), ChannelsFirst(), Normalize(1.0, (128.0,), (1.0,), 0, "int8")),
        (Resize((8, 8)), ReverseChannels()),
    )  # fmt: skip
    assert {step.__struct_config__.tag for way in ways for step in way} | {"decode"} == set(KINDS)
    cases = [((Decode(), *way), picture(*size)) for way in ways for size in SIZES]
    cases += [((Decode(color="L"), Resize(20), Crop(16), ChannelsFirst(), Normalize()), picture(*size, 1)) for size in SIZES]
    for steps, got, want in compared(cases, tmp_path):
        assert got.dtype == want.dtype and got.shape == want.shape, steps
        assert (got == want).all(), (steps, np.abs(got.astype(float) - want).max())


def written(image: Image.Image, **options: Any) -> bytes:
    file = BytesIO()
    image.save(file, "PNG", **options)
    return file.getvalue()


def interlaced(pixels: Array) -> bytes:
    """An RGB PNG in the seven passes of Adam7, which Pillow does not write."""
    height, width, _ = pixels.shape
    lines = b""
    for x, y, across, down in ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)):
        part = pixels[y::down, x::across]
        lines += b"".join(b"\0" + line.tobytes() for line in part) if part.size else b""

    return png(height, width, lines, passes=1)


def filtered(height: int, width: int) -> bytes:
    """An RGB PNG whose rows have each of the five filters in turn."""
    rows = np.random.default_rng(6).integers(0, 256, (height, 1 + 3 * width), dtype=np.uint8)
    rows[:, 0] = np.arange(height) % 5
    return png(height, width, rows.tobytes(), passes=0)


def png(height: int, width: int, lines: bytes, passes: int) -> bytes:
    """An RGB PNG of filtered ``lines``; ``passes`` is 1 for those of Adam7."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, passes)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")


def pngs() -> dict[str, bytes]:
    """A PNG of every kind of pixel, with odd sizes."""
    colour, alpha = picture(13, 21), picture(13, 21, 4)
    deep = np.random.default_rng(5).integers(0, 600, (9, 14), dtype=np.uint16)
    turned = Image.Exif()
    turned[0x0112] = 6
    made = {
        "rgb": Image.fromarray(colour),
        "rgba": Image.fromarray(alpha, "RGBA"),
        "grey": Image.fromarray(colour[:, :, 0]),
        "grey and alpha": Image.fromarray(alpha[:, :, :2], "LA"),
        "palette": Image.fromarray(colour).quantize(200),
        "palette of 4 colours": Image.fromarray(colour).quantize(4),
        "one bit": Image.fromarray(colour[:, :, 0] > 128),
        "deep grey": Image.fromarray(deep),
    }
    files = {name: written(image) for name, image in made.items()}
    files["palette of 3 colours, one transparent"] = written(Image.fromarray(colour).quantize(3), transparency=1, bits=2)
    files["turned by EXIF"] = written(made["rgb"], exif=turned)
    files["every filter"] = filtered(23, 17)
    files["interlaced"] = interlaced(colour)
    files["a profile of colours and a gamma"] = written(made["rgb"], icc_profile=b"\0" * 128)
    return files


@pytest.mark.parametrize("color", ["RGB", "L"])
@pytest.mark.parametrize(("orient", "deep"), [(False, "upper"), (True, "clip")])
def test_every_png_is_decoded_to_the_same_pixels(tmp_path: Path, color: Any, orient: bool, deep: Any) -> None:
    cases = [((Decode(color, orient=orient, deep=deep),), file) for file in pngs().values()]
    for name, (_, got, want) in zip(pngs(), compared(cases, tmp_path), strict=True):
        assert got.shape == want.shape and (got == want).all(), name


def test_every_orientation_turns_as_pillow_does(tmp_path: Path) -> None:
    files = []
    for orientation in range(10):
        exif = Image.Exif()
        exif[0x0112] = orientation
        files.append(written(Image.fromarray(picture(5, 8)), exif=exif))
    for _, got, want in compared([((Decode(orient=True),), file) for file in files], tmp_path):
        assert got.shape == want.shape and (got == want).all()


def test_what_the_page_cannot_decode_is_refused_in_words(tmp_path: Path) -> None:
    whole = written(Image.fromarray(picture(30, 20)))
    tiff, cmyk = BytesIO(), BytesIO()
    Image.fromarray(picture(4, 4)).save(tiff, "TIFF")
    Image.new("CMYK", (8, 8)).save(cmyk, "JPEG")
    broken = bytearray(whole)
    broken[len(whole) // 2] ^= 255
    asked = {
        "no browser decodes TIFF": tiff.getvalue(),
        "JPEG in CMYK": cmyk.getvalue(),
        "not a JPEG, PNG, WebP, BMP or GIF image": b"<b>no image</b>",
        "the PNG is damaged or truncated": whole[: len(whole) // 2],
        "the PNG is damaged": bytes(broken),
        "the PNG has no header": whole[:20],
        "600 pixels, more than the limit of 599": whole,
    }
    limits = [599 if "limit" in words else 10**6 for words in asked]
    said = javascript.samples([((Decode(pixel_limit=limit),), file) for limit, file in zip(limits, asked.values(), strict=True)], tmp_path)
    for words, answer in zip(asked, said, strict=True):
        assert isinstance(answer, str) and words.split("600 pixels, ")[-1] in answer, (words, answer)

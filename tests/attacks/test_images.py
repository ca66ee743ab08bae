"""Hostile BMP, GIF, TIFF and MPO files: what would keep a decoder busy is refused by its structure, before any decoder sees it."""

from __future__ import annotations

import struct
import time
import zlib
from collections.abc import Callable
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from PIL import Image

from roadworthy.core.errors import DataError, InvalidRequest
from roadworthy.preprocess.image import Preprocessor
from roadworthy.preprocess.spec import ImageTable
from roadworthy.serving.engine import image_decoding, image_guards

PIXELS = np.random.default_rng(1).integers(0, 256, (60, 70, 3), np.uint8)
PREPROCESSOR = Preprocessor(ImageTable(crop=8, pixel_limit=1_000_000).steps())


def encode(format: str, pixels: np.ndarray = PIXELS, mode: str | None = None, **options: Any) -> bytes:
    buffer = BytesIO()
    image = Image.fromarray(pixels)
    (image.convert(mode) if mode else image).save(buffer, format, **options)
    return buffer.getvalue()


def tiff(*tags: tuple[int, int, int, int], data: bytes = b"") -> bytes:
    """A little-endian TIFF with one directory of ``tags``: number, type, count, value or offset. ``data`` lie behind it."""
    entries = b"".join(struct.pack("<HHII", *tag) for tag in sorted(tags))
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4) + data


def grey_tiff(width: int, height: int, *more: tuple[int, int, int, int], compression: int = 1, strips: int = 1, data: bytes = b"") -> bytes:
    """A TIFF of 8-bit grey; the data of all strips begin behind its directory."""
    tags = [(256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 8), (259, 3, 1, compression), (262, 3, 1, 1), (277, 3, 1, 1), *more]
    at = 14 + 12 * (len(tags) + 2)
    return tiff(*tags, (273, 4, strips, at), (279, 4, strips, len(data) if strips == 1 else at), data=data)


def bmp(width: int, height: int, compression: int, data: bytes = b"") -> bytes:
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, compression, len(data), 0, 0, 256, 0)
    start = 14 + len(header) + 1024
    return b"BM" + struct.pack("<IHHI", start + len(data), 0, 0, start) + header + bytes(1024) + data


def gif(*blocks: bytes) -> bytes:
    """A GIF whose ``blocks`` lie between the header and the first frame."""
    whole = encode("GIF", mode="P")
    frame = 13 + 3 * (2 << (whole[10] & 7))
    return whole[:frame] + b"".join(blocks) + whole[frame:]


MANY = 100_000
BOMBS: dict[str, Callable[[], bytes]] = {
    "comments of a GIF": lambda: gif(b"\x21\xfe\x01a\0" * MANY),
    "one comment in pieces": lambda: gif(b"\x21\xfe" + b"\x01a" * MANY + b"\0"),
    "separators of a GIF": lambda: gif(b"\0" * 4 * MANY),
    "run-length coded BMP": lambda: bmp(5000, 4900, 1, b"\0\0" * 4900),
    "run-length coded BMP with 4 bits": lambda: bmp(5000, -4900, 2, b"\0\0" * 4900),
    "strips of a TIFF": lambda: grey_tiff(1, MANY, strips=MANY, data=bytes(4 * MANY)),
    "tiles of a TIFF": lambda: grey_tiff(
        10, 10, (322, 4, 1, 16), (323, 4, 1, 16), (324, 4, MANY, 200), (325, 4, MANY, 200), data=bytes(4 * MANY)
    ),
    "a tile of a TIFF": lambda: grey_tiff(
        10, 10, (322, 4, 1, 60_000), (323, 4, 1, 60_000), (324, 4, 1, 200), (325, 4, 1, 9), data=bytes(9)
    ),
    "tags of a TIFF": lambda: tiff(*((tag, 3, 1, 0) for tag in range(1000, 61_000))),
    "compression of fax": lambda: grey_tiff(5000, 4900, compression=4, data=bytes(100)),
    "compression with JPEG": lambda: grey_tiff(5000, 4900, compression=7, data=bytes(100)),
    "compression with LERC": lambda: grey_tiff(5000, 4900, compression=34887, data=bytes(100)),
    "BigTIFF": lambda: b"II+\0\x08\0\0\0" + bytes(20),
}


@pytest.mark.parametrize("kind", BOMBS)
def test_what_keeps_a_decoder_busy_is_refused_before_it_is_decoded(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Preprocessor, "one", lambda *_, **__: pytest.fail("it is being decoded"))
    file, begun = BOMBS[kind](), time.process_time()
    with pytest.raises(InvalidRequest, match=r"^image 0 is a (BMP|GIF|TIFF|BigTIFF)"):
        image_decoding._decode(PREPROCESSOR, file, "image 0", None)
    assert time.process_time() - begun < 2, "the guard itself takes long"


HUGE: dict[str, bytes] = {
    "BMP": bmp(50_000, 50_000, 0),
    "BMP from the top": bmp(50_000, -50_000, 0),
    "BMP of OS/2": b"BM" + bytes(12) + struct.pack("<IHHHH", 12, 50_000, 50_000, 1, 24) + bytes(9),
    "GIF": b"GIF89a" + struct.pack("<HH", 50_000, 50_000) + encode("GIF", mode="P")[10:],
    "GIF with a frame past its canvas": encode("GIF", mode="P").replace(
        b"\x2c" + struct.pack("<HHHH", 0, 0, 70, 60), b"\x2c" + struct.pack("<HHHH", 60_000, 60_000, 70, 60)
    ),
    "GIF with an extension before such a frame": encode("GIF", mode="P").replace(
        b"\x2c" + struct.pack("<HHHH", 0, 0, 70, 60), b"\x21\xf9\x04" + bytes(5) + b"\x2c" + struct.pack("<HHHH", 60_000, 60_000, 70, 60)
    ),
    "TIFF": grey_tiff(50_000, 50_000, data=bytes(10)),
    "Deflate TIFF": grey_tiff(50_000, 50_000, compression=8, data=zlib.compress(bytes(1000))),
    "MPO": encode("JPEG").replace(struct.pack(">HH", 60, 70), struct.pack(">HH", 60_000, 60_000)),
}  # fmt: skip


@pytest.mark.parametrize("kind", HUGE)
def test_pixels_are_counted_by_the_header(kind: str) -> None:
    assert image_guards.pixels(HUGE[kind]) >= 50_000 * 50_000
    with pytest.raises(DataError, match=r"more pixels than|pixels, more than the limit"):
        PREPROCESSOR.one(HUGE[kind])


def test_a_bomb_of_deflate_ends_with_its_pixels() -> None:
    """A strip that unpacks to a hundred times what the image holds: what is read of it is the image."""
    pixels = PREPROCESSOR.one(grey_tiff(70, 60, compression=8, data=zlib.compress(bytes([7]) * 50_000_000)))
    np.testing.assert_allclose(pixels, np.full((3, 8, 8), 7 / 255), rtol=1e-6)


def test_only_the_first_of_many_frames_is_read() -> None:
    frames = [Image.fromarray(np.full((60, 70, 3), level, np.uint8)) for level in range(0, 250, 2)]
    for format in ("GIF", "TIFF"):
        buffer = BytesIO()
        frames[0].save(buffer, format, save_all=True, append_images=frames[1:])
        file = buffer.getvalue()
        assert image_guards.pixels(file) == 60 * 70
        image_guards.refuse_many_pieces(file, "it")
        assert not PREPROCESSOR.one(file).any()


ORDINARY = {
    "BMP": encode("BMP"), "grey BMP": encode("BMP", mode="L"), "1-bit BMP": encode("BMP", mode="1"), "GIF": encode("GIF"),
    "TIFF": encode("TIFF"), "LZW": encode("TIFF", compression="tiff_lzw"), "Deflate": encode("TIFF", compression="tiff_adobe_deflate"),
    "PackBits": encode("TIFF", compression="packbits"), "CMYK": encode("TIFF", mode="CMYK"), "MPO": encode("MPO"),
}  # fmt: skip


@pytest.mark.parametrize("kind", ORDINARY)
def test_ordinary_files_pass_and_damaged_ones_give_words(kind: str) -> None:
    file = ORDINARY[kind]
    assert image_guards.pixels(file) == 60 * 70
    image_guards.refuse_many_pieces(file, "it")
    PREPROCESSOR.one(file)
    for at in (*range(0, min(len(file), 260), 3), *range(max(0, len(file) - 200), len(file), 7)):
        for broken in (file[:at], file[:at] + bytes([file[at] ^ 0xFF]) + file[at + 1 :]):
            try:
                assert image_guards.pixels(broken) >= 0
                image_guards.refuse_many_pieces(broken, "it")
                PREPROCESSOR.one(broken)
            except (DataError, InvalidRequest) as problem:
                assert "\n" not in problem.message

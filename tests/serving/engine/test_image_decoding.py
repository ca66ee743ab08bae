"""Untrusted images become inputs off the event loop, within limits of size and time."""

from __future__ import annotations

import asyncio
import struct
import threading
import time
import tracemalloc
import zlib
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from roadworthy.core.errors import DataError, DeadlineExceeded, InvalidRequest, TooLarge, Unavailable
from roadworthy.core.types import Signature, TensorSpec
from roadworthy.preprocess.contract import Contract
from roadworthy.preprocess.image import Preprocessor
from roadworthy.preprocess.spec import ImageTable, ResizeTable
from roadworthy.serving.engine import image_decoding, image_guards
from roadworthy.serving.engine.image_decoding import Decoder
from roadworthy.serving.engine.local import LocalEngine
from roadworthy.serving.limits import ServerLimits
from support.models import bundles
from support.servers.serving import PICTURE, SEES, Server, outputs_of
from support.waiting import HANG_SECONDS

SMALL = ImageTable(resize=ResizeTable((16, 16)))


class Sees:
    """What a decoder needs of a model that takes images."""

    name, kind = "sees", "image"

    def __init__(self, image: ImageTable = SMALL, side: int | str = 16) -> None:
        self.contract = Contract(image.steps())
        self.signature = Signature((TensorSpec("image", "float32", ("batch", 3, side, side)),), (TensorSpec("y", "float32", ("batch", 2)),))


def encoded(pixels: np.ndarray, form: str = "PNG", **options: Any) -> bytes:
    file = BytesIO()
    Image.fromarray(pixels).save(file, form, **options)
    return file.getvalue()


def photo(side: int = 200) -> np.ndarray:
    """Smooth as photographs are, [side, side, 3] uint8."""
    coarse = np.random.default_rng(5).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC))


@pytest.fixture
def decoder() -> Iterator[Decoder]:
    made = Decoder(ServerLimits())
    yield made
    made.close()


def run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(work)


def images(decoder: Decoder, *given: bytes, model: Any = None, deadline: float | None = None) -> np.ndarray:
    return run(decoder.images(model or Sees(), given, deadline))["image"]


def test_one_and_many_are_what_the_contract_makes_of_them(decoder: Decoder, picture_bundle: Path, png: bytes) -> None:
    files = [encoded(photo(side), form) for side, form in ((200, "PNG"), (90, "JPEG"), (33, "WEBP"), (8, "PNG"))]
    want = Preprocessor(SMALL.steps()).many(files)
    np.testing.assert_array_equal(images(decoder, *files), want)
    for index, file in enumerate(files):
        np.testing.assert_array_equal(images(decoder, file), want[index : index + 1])
    with LocalEngine(picture_bundle) as model:
        np.testing.assert_array_equal(images(decoder, png, model=model), model.feeds(png)["image"])


def test_a_contract_of_more_pixels_than_the_server_allows(decoder: Decoder) -> None:
    generous = Sees(ImageTable(resize=ResizeTable((16, 16)), pixel_limit=10**9))
    header = encoded(np.zeros((1, 1, 3), np.uint8))
    for form in ("PNG", "JPEG", "WEBP"):
        with pytest.raises(TooLarge, match="25000000"):
            images(decoder, encoded(np.zeros((5001, 5000), np.uint8), form), model=generous)
    huge = header[:16] + struct.pack(">II", 2**31 - 1, 2**31 - 1) + header[24:29]
    with pytest.raises(TooLarge):
        images(decoder, huge + struct.pack(">I", zlib.crc32(huge[12:29])) + header[33:], model=generous)
    with pytest.raises(TooLarge, match="limit of 300"):
        images(decoder, encoded(photo(18)), model=Sees(ImageTable(resize=ResizeTable((16, 16)), pixel_limit=300)))
    with pytest.raises(TooLarge, match="takes larger images"):
        images(Decoder(ServerLimits(pixels=100)), encoded(photo(8)))


def test_a_resize_to_a_huge_size_is_refused(decoder: Decoder) -> None:
    with pytest.raises(TooLarge, match="on its way"):
        images(decoder, encoded(np.zeros((1, 20_000, 3), np.uint8)), model=Sees(ImageTable(resize=ResizeTable(64))))


def test_many_tiny_ones_do_not_become_gigabytes(decoder: Decoder) -> None:
    tiny = encoded(np.zeros((1, 1), np.uint8))
    with pytest.raises(TooLarge, match="send fewer"):
        images(decoder, *[tiny] * 1000, model=Sees(ImageTable(resize=ResizeTable((512, 512))), 512))


def test_what_is_no_image_is_the_requests_fault(decoder: Decoder) -> None:
    good = encoded(photo())
    for bad in (b"", b"\x89PNG", b"\xff\xd8", b"RIFF\0\0\0\0WEBPVP8X", b"<svg/>", good[:-200], good[:100] + b"\0" * 50 + good[150:]):
        with pytest.raises(InvalidRequest, match="image 0"):
            images(decoder, bad)
        with pytest.raises(InvalidRequest, match="image 2"):
            images(decoder, good, good, bad)
    with pytest.raises(InvalidRequest, match="shape"):
        images(decoder, encoded(photo(20)), encoded(photo(30)), model=Sees(ImageTable(), "side"))
    with pytest.raises(InvalidRequest):
        images(decoder)


def chunk(kind: bytes, data: bytes = b"") -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def endless(kind: str) -> bytes:
    """A small file that would keep a decoder busy for seconds to hours."""
    png, jpeg = encoded(photo(64)), encoded(photo(64), "JPEG")
    match kind:
        case "chunks":
            return png[:33] + chunk(b"prVt") * 50_000 + png[33:]
        case "data chunks":
            data = png.index(b"IDAT") - 4
            return png[:data] + chunk(b"IDAT") * 50_000 + png[data:]
        case "segments":
            return jpeg[:2] + b"\xff\xe5\x00\x02" * 50_000 + jpeg[2:]
        case "fill bytes":
            return jpeg[:2] + b"\xff" * 500_000 + jpeg[2:]
        case "stuffed bytes":
            return jpeg[:2] + b"\xff\x00" * 500_000 + jpeg[2:]
    large = encoded(np.zeros((5000, 4900), np.uint8), "JPEG", progressive=True)
    return large[:-2] + large[large.rindex(b"\xff\xda") : -2] * 1000 + large[-2:]


@pytest.mark.parametrize("kind", ["chunks", "data chunks", "segments", "fill bytes", "stuffed bytes", "scans"])
def test_decompression_bombs_are_refused_by_their_structure(decoder: Decoder, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before any decoder sees them."""
    file = endless(kind)
    monkeypatch.setattr(image_decoding.Preprocessor, "one", lambda *_, **__: pytest.fail("it is being decoded"))
    with pytest.raises(InvalidRequest, match="with more than"):
        images(decoder, file)


def test_compressed_text_in_a_png_is_bounded(decoder: Decoder) -> None:
    png = encoded(photo(64))
    text = chunk(b"zTXt", b"a\0\0" + zlib.compress(b"a" * 50_000_000, 9))
    tracemalloc.start()
    try:
        with pytest.raises(InvalidRequest):
            images(decoder, png[:33] + text * 200 + png[33:])
        assert tracemalloc.get_traced_memory()[1] < 200_000_000, "of ten gigabytes"
    finally:
        tracemalloc.stop()


def ordinary() -> Iterator[bytes]:
    noise = np.random.default_rng(0).integers(0, 256, (600, 700, 3), dtype=np.uint8)
    opaque = np.dstack([noise, np.full((600, 700), 9, np.uint8)])
    for form, options in (
        ("PNG", {}),
        ("JPEG", {}),
        ("JPEG", {"progressive": True, "quality": 90}),
        ("JPEG", {"icc_profile": b"p" * 300_000, "exif": b"Exif\0\0MM\0*\0\0\0\x08\0\0" + b"\xff\xda" * 20_000}),
        ("JPEG", {"restart_marker_blocks": 1}),
        ("WEBP", {}),
        ("WEBP", {"lossless": True}),
        ("WEBP", {"exif": b"Exif\0\0"}),
    ):
        yield encoded(noise, form, **options)
    yield encoded(opaque, "WEBP")
    # A film beside the picture, as telephones write them, holds every pair of bytes.
    yield encoded(noise, "JPEG") + noise.tobytes()


def test_ordinary_images_are_not_taken_for_bombs() -> None:
    for file in ordinary():
        image_guards.refuse_many_pieces(file, "it")
        # A colour profile as long as that hides a JPEG's size from who does not look further.
        assert image_guards.pixels(file) == (0 if b"p" * 1000 in file else 600 * 700)


def test_truncated_headers_raise_nothing() -> None:
    for file in ordinary():
        for length in (*range(64), *range(64, min(len(file), 4000), 61)):
            assert image_guards.pixels(file[:length]) >= 0
            image_guards.refuse_many_pieces(file[:length], "it")


def test_a_huge_image_holds_up_neither_the_loop_nor_the_small_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """The huge ones are held in their decoder until twenty small ones have been answered by this very loop."""
    decoder = Decoder(ServerLimits(wait_seconds=HANG_SECONDS))
    huge, small = encoded(np.zeros((4999, 5000, 3), np.uint8)), encoded(photo())
    gate, held = threading.Event(), threading.Event()
    really = image_decoding._decode

    def decode(preprocessor: Any, image: bytes, name: str, out: Any) -> Any:
        if image is huge:
            held.set()
            assert gate.wait(HANG_SECONDS)
        return really(preprocessor, image, name, out)

    monkeypatch.setattr(image_decoding, "_decode", decode)

    async def work() -> None:
        model = Sees()
        await decoder.images(model, [small])
        several = asyncio.gather(*(decoder.images(model, [huge]) for _ in range(4)))
        while not held.is_set():
            await asyncio.sleep(0.001)
        for _ in range(20):
            await decoder.images(model, [small])
        assert not several.done()
        gate.set()
        assert len(await several) == 4

    run(work())
    decoder.close()


def test_more_than_can_be_decoded_in_time_is_refused_and_then_it_goes_on() -> None:
    decoder = Decoder(ServerLimits(wait_seconds=0.02))
    file = encoded(photo(1500))

    async def work() -> list[Any]:
        model = Sees()
        await decoder.images(model, [file])
        found = await asyncio.gather(*(decoder.images(model, [file]) for _ in range(50)), return_exceptions=True)
        await decoder.images(model, [file])
        return found

    found = run(work())
    decoder.close()
    refused = [one for one in found if isinstance(one, Unavailable)]
    assert refused and refused[0].after > 0.02
    assert any(isinstance(one, dict) for one in found) and all(isinstance(one, (dict, Unavailable)) for one in found)


def test_nothing_is_decoded_after_its_deadline_or_its_cancellation(decoder: Decoder, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DeadlineExceeded):
        images(decoder, encoded(photo()), deadline=time.monotonic() - 1)
    seen: list[str] = []
    gate = threading.Event()
    really = image_decoding._decode

    def decode(preprocessor: Any, image: bytes, name: str, out: Any) -> Any:
        seen.append(name)
        assert gate.wait(HANG_SECONDS)
        return really(preprocessor, image, name, out)

    monkeypatch.setattr(image_decoding, "_decode", decode)

    async def leaving() -> None:
        task = asyncio.ensure_future(decoder.images(Sees(), [encoded(photo(700))] * 100))
        while not seen:
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        gate.set()
        await asyncio.sleep(0.1)

    run(leaving())
    assert len(seen) <= 2 * decoder._small.threads, "what a thread had begun, and no more"


@pytest.mark.parametrize("size", [(333, 1001), (1001, 333), (640, 640)])
@pytest.mark.parametrize("wanted", [32, (32, 48)])
def test_a_draft_is_close_and_of_the_very_size(size: tuple[int, int], wanted: int | tuple[int, int]) -> None:
    pixels = np.asarray(Image.fromarray(photo()).resize(size))
    contract = ImageTable(resize=ResizeTable(wanted), scale=1)
    exact, draft = (Preprocessor(contract.steps(), draft=draft).one(encoded(pixels, "JPEG", quality=95)) for draft in (False, True))
    assert draft.shape == exact.shape
    difference = np.abs(draft - exact)
    assert 0 < difference.max() <= 8 and difference.mean() < 1
    for form in ("PNG", "WEBP"):
        np.testing.assert_array_equal(*(Preprocessor(contract.steps(), draft=draft).one(encoded(pixels, form)) for draft in (False, True)))


def test_a_draft_is_never_below_what_the_resize_wants(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, int]] = []
    applied = Preprocessor._applied
    monkeypatch.setattr(
        Preprocessor, "_applied", lambda self, decoded, name: (seen.append(decoded.image.size), applied(self, decoded, name))[1]
    )
    for side, decoded in ((63, 63), (127, 127), (128, 64), (255, 128), (256, 64), (512, 64), (1024, 128)):
        Preprocessor(ImageTable(resize=ResizeTable((32, 32))).steps(), draft=True).one(encoded(photo(side), "JPEG"))
        assert seen.pop() == (decoded, decoded)
    # Without antialias, and without a resize, other pixels would be other answers.
    for image in (ImageTable(resize=ResizeTable((32, 32), antialias=False)), ImageTable(crop=32)):
        Preprocessor(image.steps(), draft=True).one(encoded(photo(512), "JPEG"))
        assert seen.pop() == (512, 512)


def test_a_draft_still_has_the_limit_of_the_whole_image() -> None:
    with pytest.raises(DataError, match="limit"):
        Preprocessor(ImageTable(resize=ResizeTable((8, 8)), pixel_limit=10_000).steps(), draft=True).one(encoded(photo(101), "JPEG"))


def test_drafts_are_for_servers_that_were_asked_for_them(serve: Callable[..., Server], tmp_path: Path) -> None:
    image = ImageTable(resize=ResizeTable((8, 8)), mean=(0.5, 0.4, 0.3), std=(0.2, 0.25, 0.3))
    bundle = bundles.write_bundle(tmp_path / "picture", name="picture", signature=PICTURE, contract=replace(SEES, image=image.steps()))
    file = encoded(photo(300), "JPEG")
    with LocalEngine(bundle) as model:
        for draft in (False, True):
            want = model.run({"image": Preprocessor(image.steps(), draft=draft).many([file])})["logits"]
            with serve(bundle, workers=1, draft_jpeg=draft).client() as client:
                answer = client.post("/v2/models/picture/infer", content=file, headers={"content-type": "image/jpeg"})
            np.testing.assert_allclose(outputs_of(answer.content, answer.headers)["logits"], want, rtol=0, atol=1e-6)
        assert np.abs(want - model(file).outputs["logits"]).max() > 1e-4

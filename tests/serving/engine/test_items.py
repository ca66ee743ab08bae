"""Texts and sounds in an open bundle: from Python, from clients within their limits, and a file that was damaged."""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from roadworthy.bundle import store
from roadworthy.bundle.golden import Golden
from roadworthy.core.errors import BackendMissing, BundleError, DataError, DeadlineExceeded, InvalidRequest, TooLarge, Unavailable
from roadworthy.core.types import Signature, SizeRange, TensorSpec
from roadworthy.preprocess import texts
from roadworthy.preprocess.contract import Contract
from roadworthy.serving.engine.golden_check import check_padding
from roadworthy.serving.engine.items.preparing import Preparer
from roadworthy.serving.engine.local import LocalEngine
from roadworthy.serving.engine.predict import predict_file, predict_text
from roadworthy.serving.limits import ServerLimits
from support.files import wav_files
from support.models import item_bundles, tokenizers
from support.models.item_bundles import LENGTH


@pytest.fixture(scope="module")
def text_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return item_bundles.write_text(tmp_path_factory.mktemp("texts") / "texts")


@pytest.fixture(scope="module")
def audio_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return item_bundles.write_audio(tmp_path_factory.mktemp("sounds") / "sounds")


def test_a_text_as_it_is_called_in_python(text_bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a good film")
    with LocalEngine(text_bundle) as model:
        assert model.kind == "text" and model.takes_items and not model.takes_files and model.item_names == ("input_ids", "text")
        feeds = model.feeds(["a good film", "bad"])
        assert feeds["input_ids"].shape == (2, LENGTH) and feeds["attention_mask"].dtype == np.float32
        want = model.run(feeds)["y"]
        np.testing.assert_allclose(model("a good film").outputs["y"], want[:1], rtol=1e-5)
        for item in (b"a good film", tmp_path / "a.txt", ["a good film"], np.array(["a good film"])):
            np.testing.assert_allclose(model(item).outputs["y"], want[:1], rtol=1e-5)
        # Tensors are taken as before.
        np.testing.assert_array_equal(model(feeds).outputs["y"], want)
        assert predict_file(model, tmp_path / "a.txt").prediction.ranked == predict_text(model, "a good film").prediction.ranked
        for item, says in (([5], "mapping"), (b"\xff", "not UTF-8")):
            with pytest.raises((InvalidRequest, DataError), match=says):
                model(item)


def test_a_sound_as_it_is_called_in_python(audio_bundle: Path, tmp_path: Path) -> None:
    sound = wav_files.tone(LENGTH)
    (tmp_path / "a.wav").write_bytes(wav_files.wav(sound))
    with LocalEngine(audio_bundle) as model:
        want = model.run({"x": (sound / np.float32(32768))[None]})["y"]
        for item in (tmp_path / "a.wav", str(tmp_path / "a.wav"), wav_files.wav(sound)):
            np.testing.assert_array_equal(model(item).outputs["y"], want)
        assert model([wav_files.wav(sound)] * 3).outputs["y"].shape[0] == 3
        assert predict_file(model, tmp_path / "a.wav").prediction.ranked
        with pytest.raises(DataError, match="takes no texts"):
            predict_text(model, "a")


def test_a_damaged_tokenizer_is_refused_when_the_bundle_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = item_bundles.write_text(tmp_path / "bundle")
    kept = (root / texts.FILE).read_bytes()
    (root / texts.FILE).write_bytes(kept + b" ")
    with pytest.raises(BundleError, match=r"tokenizer\.json is not the file that was packed"):
        LocalEngine(root)
    # Sealed again, the contract itself still knows the file.
    store.seal(root, store.manifests.parse((root / "manifest.json").read_bytes(), str(root)))
    with pytest.raises(BundleError, match="SHA-256 differs"):
        LocalEngine(root)
    (root / texts.FILE).write_bytes(kept)
    manifest = store.manifests.parse((root / "manifest.json").read_bytes(), str(root))
    lost = replace(manifest, contract=replace(manifest.contract, text=texts.TextSteps("other.json", "0" * 64, 4)))
    store.seal(root, lost)
    with pytest.raises(BundleError, match=r"'other\.json', which its contract reads, is not among its files"):
        LocalEngine(root)
    store.seal(root, manifest)

    def missing(*_: Any) -> None:
        raise BackendMissing(texts.MISSING)

    monkeypatch.setattr(texts, "opened", missing)
    with pytest.raises(BackendMissing, match=r"roadworthy\[text\]"):
        LocalEngine(root)


def test_the_server_prepares_within_its_limits(text_bundle: Path, audio_bundle: Path) -> None:
    async def asked() -> None:
        preparer = Preparer(ServerLimits())
        try:
            with LocalEngine(text_bundle) as reads, LocalEngine(audio_bundle) as hears:
                for several in ([b"a good film"], [b"a good film"] * 20, [b"good " * 2000]):
                    found = await preparer.feeds(reads, several)
                    np.testing.assert_array_equal(found["input_ids"], reads.feeds([item.decode() for item in several])["input_ids"])
                sound = wav_files.wav(wav_files.tone(20_000))
                np.testing.assert_array_equal((await preparer.feeds(hears, [sound]))["x"], hears.feeds(sound)["x"])
                for model, item, kind, says in (
                    (reads, b"\xff", InvalidRequest, "text 0 is not UTF-8"), (reads, b"x" * 100_001, TooLarge, "100,001 characters"),
                    (hears, b"RIFF", InvalidRequest, "sound 0 is not a wav file"),
                    (hears, wav_files.wav(np.zeros(800, np.int16), rate=1), TooLarge, "more than the limit"),
                ):  # fmt: skip
                    with pytest.raises(kind, match=says):
                        await preparer.feeds(model, [item])
                with pytest.raises(TooLarge, match="send fewer at a time"):
                    await preparer.feeds(reads, [b""] * 2_000_000)
                with pytest.raises(DeadlineExceeded):
                    await preparer.feeds(reads, [b"a"], time.monotonic() - 1)
        finally:
            preparer.close()

    asyncio.run(asked())


def test_long_texts_do_not_block_the_loop_and_wait_in_a_line(text_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the tokenizer is held, the loop goes on; what would wait too long behind it is refused."""
    held, free = threading.Event(), threading.Event()

    class Holds:
        def __init__(self, reader: Any) -> None:
            self._reader = reader

        def many(self, items: Any, **options: Any) -> Any:
            held.set()
            assert free.wait(60)
            return self._reader.many(items, **options)

    async def asked() -> None:
        preparer = Preparer(ServerLimits(wait_seconds=0.001))
        try:
            with LocalEngine(text_bundle) as model:
                await preparer.feeds(model, [b"good " * 2000])
                monkeypatch.setattr(model, "_reader", Holds(model._reader))
                waiting = [asyncio.ensure_future(preparer.feeds(model, [b"good " * 15_000])) for _ in range(8)]
                while not held.is_set():
                    await asyncio.sleep(0.001)
                with pytest.raises(Unavailable, match="texts wait for about"):
                    preparer._pool._seconds_per_pixel = 1.0
                    await preparer.feeds(model, [b"good"])
                free.set()
                await asyncio.gather(*waiting, return_exceptions=True)
        finally:
            free.set()
            preparer.close()

    asyncio.run(asked())


class Averages:
    """Means of the ids: of those with a mask of 1, or, as a model that forgets its mask, of all."""

    def __init__(self, *, masked: bool) -> None:
        self.masked, self.sizes = masked, list[int]()

    def run(self, feeds: Any) -> Any:
        ids, mask = feeds["input_ids"].astype(np.float64), feeds["attention_mask"]
        self.sizes.append(ids.shape[1])
        weight = mask if self.masked else np.ones_like(mask)
        return {"y": ((ids * weight).sum(axis=1) / weight.sum(axis=1))[:, None].astype(np.float32)}


@pytest.mark.parametrize("side", ["right", "left"])
def test_padding_that_changes_the_answer_is_found(tmp_path: Path, side: str) -> None:
    steps = tokenizers.steps(tokenizers.word_piece(tmp_path), padding="longest", side=side)
    contract = Contract(text=steps).bound(item_bundles.LONGEST.inputs)
    assert contract.text is not None
    inputs = texts.TextReader(contract.text, item_bundles.LONGEST.inputs).many(["a good film about dogs", "good"])
    golden = Golden(inputs, Averages(masked=True).run(inputs))
    session = Averages(masked=True)
    check_padding(session, item_bundles.LONGEST, contract.text, golden, 1e-6)  # type: ignore[arg-type]
    assert len(set(session.sizes)) > 2
    with pytest.raises(BundleError, match=r'depends on its padding: with \d+ tokens .* state padding = "fixed"'):
        check_padding(Averages(masked=False), item_bundles.LONGEST, contract.text, golden, 1e-3)  # type: ignore[arg-type]
    only_eight = Signature(item_bundles.LONGEST.inputs, item_bundles.LONGEST.outputs, None, (SizeRange("tokens", (8, 16), 8, 16, 8),))
    session = Averages(masked=True)
    check_padding(session, only_eight, contract.text, golden, 1e-6)  # type: ignore[arg-type]
    assert set(session.sizes) <= {8, 16}


def test_ids_alone_show_their_padding(tmp_path: Path) -> None:
    signature = Signature((TensorSpec("ids", "int64", ("batch", "tokens")),), (TensorSpec("y", "float32", ("batch", 1)),), None, ())
    contract = Contract(text=tokenizers.steps(tokenizers.word_piece(tmp_path), padding="longest")).bound(signature.inputs)
    assert contract.text is not None
    inputs = texts.TextReader(contract.text, signature.inputs).many(["a good film about dogs", "good"])

    class Sums:
        def run(self, feeds: Any) -> Any:
            return {"y": feeds["ids"].sum(axis=1, keepdims=True).astype(np.float32)}

    class Counts:
        def run(self, feeds: Any) -> Any:
            return {"y": np.full((len(feeds["ids"]), 1), feeds["ids"].shape[1], np.float32)}

    check_padding(Sums(), signature, contract.text, Golden(inputs, Sums().run(inputs)), 1e-6)  # type: ignore[arg-type]
    with pytest.raises(BundleError, match="depends on its padding"):
        check_padding(Counts(), signature, contract.text, Golden(inputs, Counts().run(inputs)), 1e-6)  # type: ignore[arg-type]

"""Data of texts and of sounds through the steps of the contract: files, tables, folders, and what is in memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from roadworthy.build.data.dataset import Dataset
from roadworthy.core.errors import DataError
from roadworthy.core.samples import TARGET, source_rows
from roadworthy.preprocess.contract import Answer, Contract
from roadworthy.preprocess.sound.sounds import AudioReader, AudioSteps
from roadworthy.preprocess.texts import TextReader
from support.files import wav_files
from support.gathering import gather
from support.models import tokenizers

REVIEWS = ("a good film", "a bad film", "good", "bad bad bad film of cats")
LABELS = (1, 0, 1, 0)


@pytest.fixture
def texts(tmp_path: Path) -> Contract:
    return Contract(text=tokenizers.steps(tokenizers.word_piece(tmp_path / "model")))


def ids(contract: Contract, *items: Any) -> np.ndarray:
    assert contract.text is not None
    return TextReader(contract.text).many(items)["input_ids"]


def in_order(found: Dataset, name: str = "input_ids") -> np.ndarray:
    """The samples in the order of the user's data."""
    return np.asarray(found.samples.open()[name])[np.argsort(source_rows(found.samples))]


def test_texts_from_a_file_a_table_a_folder_and_memory(texts: Contract, tmp_path: Path) -> None:
    want = ids(texts, *REVIEWS)
    (tmp_path / "lines.txt").write_text("\n".join(REVIEWS) + "\n")
    rows = "\n".join(f"{number},{review},{label}" for number, (review, label) in enumerate(zip(REVIEWS, LABELS, strict=True)))
    (tmp_path / "table.csv").write_text(f"idx,sentence,label\n{rows}\n")
    (tmp_path / "named.csv").write_text("text,source,label\n" + "\n".join(f"{review},web,1" for review in REVIEWS))
    for label, review in zip(("pos", "neg") * 2, REVIEWS, strict=True):
        (tmp_path / "folders" / label).mkdir(parents=True, exist_ok=True)
        (tmp_path / "folders" / label / f"{len(review)}.txt").write_text(review)
    given: dict[str, Any] = {
        "lines": tmp_path / "lines.txt", "table": tmp_path / "table.csv", "named": tmp_path / "named.csv", "list": list(REVIEWS),
        "pairs": list(zip(REVIEWS, LABELS, strict=True)), "x and y": (list(REVIEWS), list(LABELS)), "array": np.array(REVIEWS),
        "rows": [{"text": review, "label": label} for review, label in zip(REVIEWS, LABELS, strict=True)],
    }  # fmt: skip
    for number, (form, data) in enumerate(given.items()):
        # Names that are known before the model is loaded are those of the inputs that a text becomes.
        for names in ((), ("input_ids", "attention_mask")):
            found = gather(data, names, texts, tmp_path / f"out-{number}-{len(names)}")
            np.testing.assert_array_equal(in_order(found), want, err_msg=form)
            assert set(found.samples.inputs) == set(names or ("input_ids", "attention_mask", "token_type_ids"))
            if form in ("table", "pairs", "x and y", "rows"):
                assert sorted(found.samples.open_targets()[TARGET].tolist()) == sorted(LABELS)
        if form in ("table", "named"):
            assert "left out" in " ".join(note.text for note in found.notes)
    found = gather(tmp_path / "folders", (), texts, tmp_path / "out-folders")
    assert found.classes == ("neg", "pos") and found.samples.count == 4
    by_class = [tuple(row) for row in ids(texts, "a bad film", REVIEWS[3], "a good film", "good").tolist()]
    labels = found.samples.labels()
    assert labels is not None
    rows_found = [tuple(row) for row in np.asarray(found.samples.open()["input_ids"]).tolist()]
    assert sorted(zip(labels.tolist(), rows_found, strict=True)) == sorted(zip([0, 0, 1, 1], by_class, strict=True))


def test_ready_tokens_are_left_alone(texts: Contract, tmp_path: Path) -> None:
    ready = {"input_ids": np.arange(24).reshape(2, 12), "attention_mask": np.ones((2, 12), np.int64)}
    found = gather(ready, ("input_ids", "attention_mask"), texts, tmp_path / "out")
    np.testing.assert_array_equal(in_order(found), ready["input_ids"])


def test_the_longest_of_the_data_decides(tmp_path: Path) -> None:
    contract = Contract(text=tokenizers.steps(tokenizers.word_piece(tmp_path), padding="longest", multiple=4))
    found = gather(["good", "a bad film"], (), contract, tmp_path / "out")
    assert found.samples.open()["input_ids"].shape == (2, 8)


def test_what_is_no_text_is_refused_by_name(texts: Contract, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.wav").write_bytes(b"")
    (tmp_path / "two.csv").write_text("title,story,label\nt,s,1\n")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "bad.txt").write_bytes(b"\xff\xfe")
    for data, says in (
        (tmp_path / "a", r"x\.wav is not a \.txt file, and the preprocessing takes texts"),
        (tmp_path / "two.csv", r"several columns of texts \(title, story\)"),
        (tmp_path / "b", r"bad\.txt is not UTF-8"),
        (["good", b"\xff"], "text 1 of the data is not UTF-8"),
    ):
        with pytest.raises(DataError, match=says):
            gather(data, (), texts, tmp_path / "out")


def test_sounds_from_folders_a_table_and_memory(tmp_path: Path) -> None:
    contract = Contract(answer=Answer(labels=("high", "low")), audio=AudioSteps(8000, length=60))
    sounds = {("low", 0): wav_files.wav(wav_files.tone(100, 220)), ("high", 1): wav_files.wav(wav_files.tone(40, 880, 8000), 8000)}
    for (label, number), sound in sounds.items():
        (tmp_path / "sounds" / label).mkdir(parents=True)
        (tmp_path / "sounds" / label / f"{number}.wav").write_bytes(sound)
    want = AudioReader(contract.audio, name="x").many(list(sounds.values()))["x"]  # type: ignore[arg-type]
    found = gather(tmp_path / "sounds", ("x",), contract, tmp_path / "out")
    labels = found.samples.labels()
    assert labels is not None
    heard = np.asarray(found.samples.open()["x"])[np.argsort(labels)]
    np.testing.assert_array_equal(heard, want[::-1])
    (tmp_path / "clips.csv").write_text("file,label\nsounds/low/0.wav,low\nsounds/high/1.wav,high\n")
    np.testing.assert_array_equal(in_order(gather(tmp_path / "clips.csv", ("x",), contract, tmp_path / "out-2"), "x"), want)
    np.testing.assert_array_equal(in_order(gather(list(sounds.values()), ("x",), contract, tmp_path / "out-3"), "x"), want)
    # Numbers in memory are samples already.
    ready = np.random.default_rng(0).random((3, 60), np.float32)
    np.testing.assert_array_equal(in_order(gather(ready, ("x",), contract, tmp_path / "out-4"), "x"), ready)
    free = Contract(audio=AudioSteps(8000))
    with pytest.raises(DataError, match=r"\.wav: gives a sample of shape \[\d+\] where .* state length in \[audio\]"):
        gather(tmp_path / "sounds", ("x",), free, tmp_path / "out-5")

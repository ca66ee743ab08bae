"""Data in files: tables, manifests, arrays, texts and sounds; the row or file that cannot be read is named."""

from __future__ import annotations

import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from roadworthy.build.data import dataset
from roadworthy.build.data.files import tables
from roadworthy.core.errors import BackendMissing, DataError
from roadworthy.core.samples import TARGET
from roadworthy.preprocess.contract import Contract
from roadworthy.preprocess.spec import ImageTable
from support.gathering import gather

IMAGES = Contract(ImageTable(scale=1, layout="HWC", dtype="uint8").steps())
NUMBERS = Contract()
TABLE = "age,weight,y\n30,70.5,0\n41,,1\n5,18.25,0\n"


def by_row(found: dataset.Dataset) -> tuple[dict[str, list[Any]], list[Any]]:
    """The inputs and the targets in the order of the user's rows."""
    order = np.argsort(np.load(found.samples.path / "rows.npy"))
    targets = found.samples.open_targets().get(TARGET)
    return {name: array[order].tolist() for name, array in found.samples.open().items()}, [] if targets is None else targets[order].tolist()


def file(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def sound(path: Path, values: list[int], rate: int = 16000, channels: int = 1, width: int = 2) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as out:
        out.setnchannels(channels)
        out.setsampwidth(width)
        out.setframerate(rate)
        out.writeframes(np.array(values, {1: "u1", 2: "<i2"}[width]).tobytes())
    return path


def parquet(path: Path) -> Path:
    import io

    import pandas

    pandas.read_csv(io.StringIO(TABLE)).to_parquet(path)
    return path


@pytest.mark.parametrize("form", ["d.csv", "d.tsv", "semicolons.csv", "d.jsonl", "d.parquet", "index.csv"])
def test_each_column_is_an_input_or_the_target(form: str, tmp_path: Path) -> None:
    path = tmp_path / form
    rows = ['{"age": 30, "weight": 70.5, "y": 0}', '{"age": 41, "weight": null, "y": 1}', "", '{"age": 5, "weight": 18.25, "y": 0}']
    texts = {
        "d.csv": "\ufeff" + TABLE,
        "d.tsv": TABLE.replace(",", "\t"),
        "semicolons.csv": TABLE.replace(",", ";"),
        "d.jsonl": "\n".join(rows),
        "index.csv": "".join(f"{'' if row == 0 else row - 1},{line}\n" for row, line in enumerate(TABLE.splitlines())),
    }
    found = gather(parquet(path) if form == "d.parquet" else file(path, texts[form]), (), NUMBERS, tmp_path / "out")
    inputs, targets = by_row(found)
    assert inputs["age"] == [30, 41, 5] and targets == [0, 1, 0] and tuple(inputs) == ("age", "weight")
    assert np.isnan(inputs["weight"][1]) and inputs["weight"][::2] == [70.5, 18.25]


def test_numbers_of_a_table_are_read_exactly(tmp_path: Path) -> None:
    inputs, _ = by_row(gather(file(tmp_path / "d.csv", "a,b\n0.1,9007199254740993\n1e-320,1\n"), (), NUMBERS, tmp_path / "out"))
    assert inputs == {"a": [0.1, 1e-320], "b": [9007199254740993, 1]}


def test_a_table_without_a_heading_and_one_without_a_target(tmp_path: Path) -> None:
    inputs, targets = by_row(gather(file(tmp_path / "d.csv", "1,2,3\n4,5,6\n"), (), NUMBERS, tmp_path / "a"))
    assert inputs == {"0": [1, 4], "1": [2, 5], "2": [3, 6]} and targets == []
    found = gather(file(tmp_path / "e.csv", "age,price\n1,2\n"), (), NUMBERS, tmp_path / "b")
    assert "no column of" in found.notes[0].text and "--targets" in found.notes[0].text


def test_targets_are_named(tmp_path: Path) -> None:
    path = file(tmp_path / "d.csv", "age,sick,poor\n1,0,1\n2,1,0\n")
    inputs, targets = by_row(gather(path, (), NUMBERS, tmp_path / "a", targets=("sick", "poor")))
    assert inputs == {"input": [1, 2]}
    assert targets == [[0, 1], [1, 0]]
    with pytest.raises(DataError, match="has no column or array 'rich' for the targets; it has age, sick, poor"):
        gather(path, (), NUMBERS, tmp_path / "b", targets=("rich",))
    np.savez(tmp_path / "d.npz", x=np.zeros((2, 1)), mask=np.ones((2, 3)), spare=np.zeros(2))
    assert gather(tmp_path / "d.npz", ("x",), NUMBERS, tmp_path / "c", targets=("mask",)).samples.open_targets()[TARGET].shape == (2, 3)
    with pytest.raises(DataError, match="has no column or array 'masks' for the targets; it has x, mask, spare"):
        gather(tmp_path / "d.npz", ("x",), NUMBERS, tmp_path / "d", targets=("masks",))


def test_texts_keep_what_is_written(tmp_path: Path) -> None:
    path = file(tmp_path / "d.csv", 'text,label\n"NA",pos\n"good, film",neg\nnull,pos\n')
    inputs, targets = by_row(gather(path, (), NUMBERS, tmp_path / "a"))
    assert inputs == {"input": [b"NA", b"good, film", b"null"]} and targets == ["pos", "neg", "pos"]
    lines = gather(file(tmp_path / "d.txt", "good\n\nbad\n"), (), NUMBERS, tmp_path / "b")
    assert by_row(lines)[0] == {"input": [b"good", b"bad"]}


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("d.csv", "", "cannot be read as a table"),
        ("d.csv", "a,b\n", "has no rows"),
        ("d.csv", "a,b\n1,2\n1,2,3\n", "cannot be read as a table: .*line 3"),
        ("d.csv", "day,y\n2020-01-01,\n", "y"),
        ("d.jsonl", '{"a": 1}\n{"a": \n', "d.jsonl, line 2 is not JSON"),
        ("d.jsonl", "[1]\n", "line 1 is not an object of names and values"),
        ("d.jsonl", '{"a": [1, 2]}\n{"a": [1]}\n', "the column 'a', row 1 has 1 values"),
        ("d.jsonl", '{"a": "x"}\n{"b": "x"}\n', "the column 'a', row 1 has no text"),
        ("d.parquet", "no", "cannot be read as a table"),
        ("d.txt", "\n", "holds no text"),
        ("d.csv", "y\n1\n", "has no column for an input"),
    ],
)
def test_tables_with_faults(name: str, text: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=words):
        gather(file(tmp_path / name, text), (), NUMBERS, tmp_path / "out", targets=("z",) if "day" in text else ())
    assert not (tmp_path / "out").exists()


def test_without_pandas_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pandas", None)
    with pytest.raises(BackendMissing, match=r"needs pandas to be read: pip install 'roadworthy\[tables\]'") as caught:
        tables.read_table(file(tmp_path / "d.csv", TABLE))
    assert caught.value.exit_code == 7


def test_a_manifest_of_images(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for number in range(3):
        Image.new("RGB", (4, 4), (number, 0, 0)).save(tmp_path / "images" / f"{number}.png")
    path = file(tmp_path / "d.csv", "image,species\nimages/0.png,cat\nimages/1.png,dog\nimages/2.png,cat\n")
    inputs, targets = by_row(gather(path, ("x",), IMAGES, tmp_path / "out"))
    assert [picture[0][0][0] for picture in inputs["x"]] == [0, 1, 2] and targets == ["cat", "dog", "cat"]
    file(path, "image,species\nimages/0.png,cat\nimages/9.png,dog\n")
    with pytest.raises(DataError, match=r"d.csv, row 1: there is no file 'images/9.png'"):
        gather(path, ("x",), IMAGES, tmp_path / "b")
    (tmp_path / "images" / "1.png").write_bytes(b"no picture")
    file(path, "image\nimages/0.png\nimages/1.png\n")
    with pytest.raises(DataError, match=r"images/1.png"):
        gather(path, ("x",), IMAGES, tmp_path / "c")


def test_arrays_in_npy_files(tmp_path: Path) -> None:
    x, y = np.arange(6, dtype=np.float32)[:, None], np.arange(6)
    np.save(tmp_path / "x_test.npy", x)
    np.save(tmp_path / "y_test.npy", y)
    inputs, targets = by_row(gather(tmp_path / "x_test.npy", ("x",), NUMBERS, tmp_path / "a"))
    assert inputs["x"] == x.tolist() and targets == y.tolist()
    folder = tmp_path / "folder"
    folder.mkdir()
    for name, array in {"ids": x, "mask": x + 1, "y": y}.items():
        np.save(folder / f"{name}.npy", array)
    inputs, targets = by_row(gather(folder, (), NUMBERS, tmp_path / "b"))
    assert inputs == {"ids": x.tolist(), "mask": (x + 1).tolist()} and targets == y.tolist()


def test_sounds_become_numbers_where_the_model_takes_numbers(tmp_path: Path) -> None:
    for number, name in enumerate(("no", "yes")):
        sound(tmp_path / "wavs" / name / "0.wav", [number, -32768, 32767, 16384])
    found = gather(tmp_path / "wavs", ("x",), NUMBERS, tmp_path / "a", numbers=True)
    assert sorted(by_row(found)[0]["x"]) == [[0.0, -1.0, 32767 / 32768, 0.5], [1 / 32768, -1.0, 32767 / 32768, 0.5]]
    assert "16,000 frames a second, which was not changed" in found.notes[0].text
    assert gather(tmp_path / "wavs", ("x",), NUMBERS, tmp_path / "b").samples.open()["x"].dtype == object


def test_channels_are_where_the_framework_has_them(tmp_path: Path) -> None:
    sound(tmp_path / "wavs" / "0.wav", [1, 2, 3, 4, 5, 6], channels=2)
    for first, wanted in ((True, [[1, 3, 5], [2, 4, 6]]), (False, [[1, 2], [3, 4], [5, 6]])):
        found = gather(tmp_path / "wavs", ("x",), NUMBERS, tmp_path / str(first), numbers=True, channels_first=first)
        assert (np.array(by_row(found)[0]["x"][0]) * 32768).tolist() == wanted


def test_sounds_with_faults(tmp_path: Path) -> None:
    folder = tmp_path / "wavs"

    def refused(words: str) -> None:
        with pytest.raises(DataError, match=words):
            gather(folder, ("x",), NUMBERS, tmp_path / "out", numbers=True)
        assert not (tmp_path / "out").exists()

    sound(folder / "a.wav", [1, 2])
    sound(folder / "b.wav", [1, 2], rate=8000)
    refused("frames a second, and .*: resample them to one rate")
    sound(folder / "b.wav", [1, 2, 3])
    refused("all samples must have one shape and type; cut or pad them first")
    sound(folder / "b.wav", [1, 2])
    (folder / "b.wav").write_bytes((folder / "b.wav").read_bytes()[:-1])
    refused(r"b.wav is cut off")
    (folder / "b.wav").write_bytes(b"RIFF")
    refused(r"b.wav is not a wav file")
    file(folder / "b.wav", "")
    refused(r"b.wav is not a wav file")
    (folder / "b.wav").rename(folder / "b.flac")
    refused(r"b.flac is neither an image nor a sound \(.wav\) nor an array \(.npy\), and the model takes numbers")


@pytest.mark.parametrize("name", ["d.h5", "d.pkl", "d"])
def test_a_file_of_another_form_is_told_the_way_out(name: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"is none of .npz, .npy, .*; read it in a function of your own, --data FILE.py:callable"):
        gather(file(tmp_path / name, "no"), ("x",), NUMBERS, tmp_path / "out")


def test_a_single_sample_is_no_data(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"is a single sample; give the folder with all of them: --data"):
        gather(sound(tmp_path / "a.wav", [1]), ("x",), NUMBERS, tmp_path / "out")


def test_links_are_followed_once_and_broken_ones_named(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    Image.new("RGB", (4, 4)).save(kept / "0.png")
    for name in ("cat", "dog"):
        (tmp_path / "data" / name).mkdir(parents=True)
        (tmp_path / "data" / name / "inside").symlink_to(kept)
    (tmp_path / "data" / "cat" / "itself").symlink_to(tmp_path / "data" / "cat")
    assert gather(tmp_path / "data", ("x",), IMAGES, tmp_path / "a").samples.count == 2
    (tmp_path / "data" / "dog" / "1.png").symlink_to(tmp_path / "gone.png")
    with pytest.raises(DataError, match=r"dog/1.png is a link to a file that is not there"):
        gather(tmp_path / "data", ("x",), IMAGES, tmp_path / "b")


def masked(root: Path, masks: dict[str, Image.Image]) -> Path:
    """Three pictures, whose masks lie beside them in a folder of their own."""
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
    for number in range(3):
        Image.new("RGB", (4, 4), (number, 0, 0)).save(root / "images" / f"{number}.png")
    for name, mask in masks.items():
        mask.save(root / "masks" / name)
    return root


def test_masks_lie_in_a_folder_beside_the_pictures(tmp_path: Path) -> None:
    palette = Image.fromarray(np.full((2, 3), 2, np.uint8)).convert("P")
    root = masked(tmp_path / "data", {"0.png": Image.new("L", (3, 2), 0), "1.png": Image.new("L", (3, 2), 1), "2.png": palette})
    inputs, targets = by_row(gather(root, ("x",), IMAGES, tmp_path / "out"))
    assert [picture[0][0][0] for picture in inputs["x"]] == [0, 1, 2]
    assert targets == [np.full((2, 3), value).tolist() for value in (0, 1, 2)]


@pytest.mark.parametrize(
    ("masks", "words"),
    [
        ({"0.png": Image.new("L", (3, 2))}, r"images/1.png has no mask of its name in .*masks"),
        (
            dict.fromkeys(("0.png", "1.png", "2.png"), Image.new("RGB", (3, 2))),
            r"0.png has the mode RGB; a mask has one whole number a pixel",
        ),
        ({f"{n}.png": Image.new("L", (3, 2 + n)) for n in range(3)}, r"1.png is 3 x 3 pixels, and .*0.png 3 x 2: all masks must have one"),
    ],
)
def test_masks_with_faults(masks: dict[str, Image.Image], words: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=words):
        gather(masked(tmp_path / "data", masks), ("x",), IMAGES, tmp_path / "out")


def test_targets_are_never_ignored(tmp_path: Path) -> None:
    (tmp_path / "wavs").mkdir()
    sound(tmp_path / "wavs" / "0.wav", [1])
    for number, data in enumerate(
        [tmp_path / "wavs", file(tmp_path / "d.txt", "good"), np.zeros((3, 1)), (np.zeros((3, 1)), [1, 2, 3]), [(1, 2)]]
    ):
        with pytest.raises(DataError, match=r"no column or array 'price' for the targets; its parts have no names"):
            gather(data, (), NUMBERS, tmp_path / str(number), targets=("price",))
    with pytest.raises(DataError, match=r"the list, item 0 has no column or array 'price' for the targets; it has x, y"):
        gather([{"x": 1, "y": 2}], (), NUMBERS, tmp_path / "rows", targets=("price",))

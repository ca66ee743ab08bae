"""Data of a Python program in each form that people hold it, to arrays by name; what cannot be read is said in one sentence."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from roadworthy.build.data.live import forms, spool
from roadworthy.build.data.live.spool import Spooled
from roadworthy.build.data.live.wanted import Wanted
from roadworthy.core.errors import DataError
from roadworthy.core.samples import TARGET

COUNT = 40
X = np.arange(COUNT * 4, dtype=np.float32).reshape(COUNT, 4)
Y = np.arange(COUNT) % 3


def read(data: Any, folder: Path, **known: Any) -> Spooled:
    """The samples, as another process would open them."""
    spool.hand_over(forms.read(data, Wanted(**known), "the data"), folder / "data")
    return spool.open_folder(folder / "data")


def torch_sets() -> dict[str, Any]:
    torch = pytest.importorskip("torch")
    from torch.utils.data import DataLoader, IterableDataset, TensorDataset

    x, y = torch.from_numpy(X), torch.from_numpy(Y)
    pairs = TensorDataset(x, y)

    class Stream(IterableDataset):  # type: ignore[misc]
        def __iter__(self) -> Iterator[Any]:
            return iter(zip(x, y, strict=True))

    return {
        "a DataLoader": DataLoader(pairs, batch_size=7),
        "a DataLoader without batches": DataLoader(pairs, batch_size=None),
        "a Dataset": pairs,
        "an IterableDataset": Stream(),
        "a list of pairs": [(x[i], int(y[i])) for i in range(COUNT)],
        "a tensor that wants its gradient": (x.clone().requires_grad_(), y),
        "bfloat16": (x.bfloat16(), y),
        "a sparse tensor": (x.to_sparse(), y),
        "an array and a list": (X, Y.tolist()),
        "a generator of samples": ((x[i], y[i]) for i in range(COUNT)),
        "a generator of batches": ((X[i : i + 8], Y[i : i + 8]) for i in range(0, COUNT, 8)),
        "a dict with its labels": {"x": X, "labels": Y},
        "rows by name": [{"x": X[i], "label": Y[i]} for i in range(COUNT)],
    }


@pytest.mark.parametrize("form", sorted(torch_sets()))
def test_each_form_gives_the_same_samples(form: str, tmp_path: Path) -> None:
    found = read(torch_sets()[form], tmp_path)
    (x,) = found.inputs.values()
    np.testing.assert_array_equal(x, X)
    np.testing.assert_array_equal(found.targets[TARGET], Y)
    assert x.dtype == np.float32


class DatasetV2:
    """What a ``tf.data.Dataset`` shows of itself."""

    __module__ = "tensorflow.python.data.ops.dataset_ops"

    def __init__(self, items: list[Any], cardinality: int = 3) -> None:
        self.items, self._cardinality = items, cardinality

    def cardinality(self) -> int:
        return self._cardinality

    def __iter__(self) -> Iterator[Any]:
        return iter(self.items)


class BatchDataset(DatasetV2):
    """The step that makes batches."""


class MapDataset(DatasetV2):
    """A step after that."""

    def __init__(self, before: DatasetV2) -> None:
        super().__init__(before.items)
        self._input_dataset = before


class PyDataset:
    """What a data set of Keras shows of itself."""

    __module__ = "keras.src.trainers.data_adapters.py_dataset_adapter"

    def __len__(self) -> int:
        return 5

    def __getitem__(self, index: int) -> tuple[Any, Any, Any]:
        part = slice(8 * index, 8 * index + 8)
        return X[part], Y[part], np.ones(8)


class ClassLabel:
    """A feature of Hugging Face."""

    names = ("ant", "bee", "cow")


class Dataset:
    """What a data set of Hugging Face shows of itself."""

    __module__ = "datasets.arrow_dataset"
    features = {"x": object(), "label": ClassLabel()}  # noqa: RUF012

    def __len__(self) -> int:
        return COUNT

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"x": X[index].tolist(), "label": int(Y[index])}


@pytest.mark.parametrize(
    "data",
    [
        DatasetV2([(X[i], Y[i]) for i in range(COUNT)]),
        MapDataset(BatchDataset([(X[i : i + 8], Y[i : i + 8]) for i in range(0, COUNT, 8)])),
        PyDataset(),
        Dataset(),
    ],
    ids=["tf.data", "tf.data in batches", "Keras", "Hugging Face"],
)
def test_data_sets_are_known_by_their_class(data: Any, tmp_path: Path) -> None:
    found = read(data, tmp_path, names=("x",))
    np.testing.assert_array_equal(found.inputs["x"], X)
    np.testing.assert_array_equal(found.targets[TARGET], Y)
    assert found.classes == (("ant", "bee", "cow") if isinstance(data, Dataset) else ())


def test_a_batch_without_labels_is_one_where_its_set_says_so(tmp_path: Path) -> None:
    assert read(BatchDataset([X[:8], X[8:]]), tmp_path).inputs["input"].shape == (COUNT, 4)
    assert read(iter([X[:8], X[8:16]]), tmp_path / "b").inputs["input"].shape == (2, 8, 4)


def test_one_hot_rows_of_a_generator_are_no_batch(tmp_path: Path) -> None:
    found = read(((np.full((3, 2), i), np.eye(3)[i % 3]) for i in range(6)), tmp_path)
    assert found.inputs["input"].shape == (6, 3, 2) and found.targets[TARGET].shape == (6, 3)


def test_what_does_not_end_is_cut_and_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def endless() -> Iterator[tuple[Any, int]]:
        while True:
            yield np.zeros(2), 0

    found = read(endless(), tmp_path, limit=300)
    assert len(found.inputs["input"]) == 300
    assert [note.text for note in found.notes] == [
        "the first 300 samples of the generator were taken; --samples (samples=) says another number"
    ]
    monkeypatch.setattr("roadworthy.build.data.live.sets.ENDLESS", 50)
    assert len(read(endless(), tmp_path / "b").inputs["input"]) == 50
    assert read(iter([(np.zeros(2), 0)] * 20), tmp_path / "c").notes == ()


def test_of_an_indexed_set_samples_are_drawn_evenly(tmp_path: Path) -> None:
    found = read(Dataset(), tmp_path, names=("x",), limit=10)
    rows = found.inputs["x"][:, 0] / 4
    assert len(rows) == 10 and rows.max() > 20 and sorted(rows) == rows.tolist()
    assert found.notes[0].text == "10 of the 40 samples of the Dataset were taken, evenly random"


def test_a_random_order_is_said(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from torch.utils.data import DataLoader, TensorDataset

    found = read(DataLoader(TensorDataset(torch.from_numpy(X)), shuffle=True, batch_size=8), tmp_path)
    assert "draws in random order" in found.notes[0].text
    assert sorted(found.inputs["input"][:, 0]) == X[:, 0].tolist()


def test_several_inputs_by_name_and_by_place(tmp_path: Path) -> None:
    for number, data in enumerate(
        [
            ({"ids": X, "mask": X + 1}, Y),
            {"ids": X, "mask": X + 1, "y": Y},
            ((X, X + 1), Y),
            (X, X + 1, Y),
            [((X[i], X[i] + 1), Y[i]) for i in range(COUNT)],
        ]
    ):
        found = read(data, tmp_path / str(number), names=("ids", "mask"))
        assert tuple(found.inputs) == ("ids", "mask") and set(found.targets) == {TARGET}
        np.testing.assert_array_equal(found.inputs["mask"], X + 1)


def test_an_optional_input_is_kept_and_other_columns_are_not(tmp_path: Path) -> None:
    found = read([{"ids": X[0], "mask": X[0], "file": None, "y": 1}] * 3, tmp_path, names=("ids",), optional=("mask", "label"))
    assert tuple(found.inputs) == ("ids", "mask")


def test_parts_of_an_item_are_told_apart_by_the_models_inputs(tmp_path: Path) -> None:
    items = [(X[i], X[i] + 1, Y[i]) for i in range(COUNT)]
    assert tuple(read(items, tmp_path, names=("ids", "mask")).inputs) == ("ids", "mask")
    with pytest.raises(DataError, match=r"the list, item 0 has 3 parts, and which are inputs cannot be known: give \(inputs, target\)"):
        read(items, tmp_path / "b")


def test_x_and_y_in_a_list(tmp_path: Path) -> None:
    np.testing.assert_array_equal(read([X, Y], tmp_path, names=("x",)).targets[TARGET], Y)
    with pytest.raises(DataError, match=r"a list of two arrays: give a tuple \(x, y\)"):
        read([X, Y], tmp_path / "b")
    assert read([X, X + 1], tmp_path / "c", names=("a", "b")).inputs["b"].shape == X.shape


@pytest.mark.parametrize(
    ("data", "wanted"),
    [
        ([b"a\0", "ä"], [b"a\0", "ä".encode()]),
        ([[b"a\0"], ["b"]], [[b"a\0"], [b"b"]]),
        (np.array([["a"], ["b"]]), [[b"a"], [b"b"]]),
        (np.array([b"a\0", "b"], object), [b"a\0", b"b"]),
    ],
)
def test_texts_and_byte_strings(data: Any, wanted: list[Any], tmp_path: Path) -> None:
    assert read(data, tmp_path).inputs["input"].tolist() == wanted


def test_pictures_of_any_size_travel_as_png(tmp_path: Path) -> None:
    pictures = [Image.new("RGB", (4, 5), (1, 2, 3)), Image.new("L", (6, 7), 9)]
    encoded = read(pictures, tmp_path).inputs["input"]
    assert all(string.startswith(b"\x89PNG") for string in encoded)
    arrays = [(np.full((4 + i, 5, 3), i, np.uint8), i) for i in range(3)]
    assert all(string.startswith(b"\x89PNG") for string in read(arrays, tmp_path / "b").inputs["input"])


def test_paths_stand_for_the_content_of_their_files(tmp_path: Path) -> None:
    files = [tmp_path / f"{name}.bin" for name in "ab"]
    for file in files:
        file.write_bytes(file.stem.encode() * 3)
    assert read(files, tmp_path / "p").inputs["input"].tolist() == [b"aaa", b"bbb"]
    assert read([str(file) for file in files], tmp_path / "s").inputs["input"].tolist() == [b"aaa", b"bbb"]
    with pytest.raises(DataError, match=r"row 1: .*gone.bin cannot be read"):
        read([str(files[0]), str(tmp_path / "gone.bin")], tmp_path / "g")


def test_a_table(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"age": [1, 2.5], "n": pandas.array([1, None], "Int64"), "city": pandas.Categorical(["u", "v"]), "y": [0, 1]})
    found = read(frame, tmp_path)
    assert {name: str(array.dtype) for name, array in found.inputs.items()} == {"age": "float64", "n": "float64", "city": "object"}
    assert np.isnan(found.inputs["n"][1]) and found.targets[TARGET].tolist() == [0, 1]
    beside = read((frame[["age"]], frame["y"]), tmp_path / "b")
    assert tuple(beside.inputs) == ("age",) and beside.targets[TARGET].tolist() == [0, 1]
    several = read(frame, tmp_path / "c", targets=("age", "y"))
    assert several.targets[TARGET].tolist() == [[1, 0], [2.5, 1]] and tuple(several.inputs) == ("n", "city")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (list, "the data holds no samples"),
        (lambda: iter(()), "holds no samples"),
        (lambda: 3, "the data is int; it must be arrays or tensors"),
        (lambda: (X, X, Y), r"the data has 3 parts, and which are inputs cannot be known: give \(inputs, target\)"),
        (lambda: iter([np.zeros(3), np.zeros(4)]), r"item 1 has the shape \[4\], and that of item 0 \[3\]"),
        (lambda: iter([(np.zeros(3), 1), np.zeros(3)]), "item 1 does not have the same parts as item 0"),
        (lambda: [[1, 2], [3]], "its rows have different lengths"),
        (lambda: np.array([b"a"]), "has lost the zeros at the ends"),
        (lambda: ["a", None], "row 1 has no text"),
        (lambda: ["a", 3], "row 1 is int, where others are texts"),
        (lambda: np.ma.masked_less([[1.0], [-999.0]], 0), "has masked values"),
        (lambda: BatchDataset([(X[:8], Y[:8]), (X[:8], Y[:7])]), "item 1: the parts of a batch have different numbers of samples"),
        (lambda: (i if i < 3 else 1 / 0 for i in map(np.float32, range(9))), "the generator raised ZeroDivisionError: .* at item 3"),
    ],
)
def test_what_cannot_be_read_is_named(data: Any, words: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=words):
        read(data(), tmp_path)
    assert not (tmp_path / "data").exists()


def test_a_stream_whose_type_changes_is_refused(tmp_path: Path) -> None:
    def changing() -> Iterator[np.ndarray]:
        yield from np.zeros((300, 2), np.int64)
        yield from np.zeros((300, 2), np.float64)

    with pytest.raises(DataError, match=r"from sample 256 on, is float64 \[2\], and before that int64 \[2\]"):
        read(changing(), tmp_path)
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("beside", [False, True])
def test_sparse_inputs_are_made_dense_and_it_is_said(beside: bool, tmp_path: Path) -> None:
    sparse = pytest.importorskip("scipy.sparse").csr_matrix(X)
    found = read((sparse, Y) if beside else {"x": sparse}, tmp_path)
    np.testing.assert_array_equal(next(iter(found.inputs.values())), X)
    assert [note.text for note in found.notes] == ["sparse inputs were made dense"]
    too_large = pytest.importorskip("scipy.sparse").csr_matrix((2**20, 2**25))
    with pytest.raises(DataError, match="does not fit into memory as an array of shape"):
        read(too_large, tmp_path / "b")


def test_splits_are_not_guessed(tmp_path: Path) -> None:
    splits = type("DatasetDict", (dict,), {"__module__": "datasets.dataset_dict"})(train=1, test=2)
    with pytest.raises(DataError, match="with the splits train, test; give one of them"):
        read(splits, tmp_path)

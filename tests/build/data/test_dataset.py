"""Evaluation data from every source, checked, evenly ordered, split; what is wrong with it is said in words."""

from __future__ import annotations

import errno
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from roadworthy.build.data import sample_writer
from roadworthy.build.data.dataset import Dataset, check_classes, check_inputs, split
from roadworthy.build.data.labels.labels_file import with_labels
from roadworthy.core.errors import DataError, OutOfSpace
from roadworthy.core.samples import TARGET, SampleSet
from roadworthy.core.types import Array, Signature, TensorSpec
from roadworthy.preprocess import spec
from roadworthy.preprocess.contract import Answer, Contract
from roadworthy.preprocess.spec import ImageTable, ResizeTable
from support.gathering import gather

IMAGES = Contract(ImageTable(scale=1, layout="HWC", dtype="uint8").steps())
TENSORS = Contract()


def folder(root: Path, classes: dict[str, int]) -> Path:
    """Images whose first pixel is (class, number, 0), so that each sample says where it came from."""
    for number, (name, count) in enumerate(classes.items()):
        (root / name).mkdir(parents=True)
        for index in range(count):
            Image.new("RGB", (4, 4), (number, index, 0)).save(root / name / f"{index:03}.png")
    return root


def first_pixels(samples: SampleSet) -> Array:
    return samples.open()[samples.inputs[0]][:, 0, 0]


def labels_of(samples: SampleSet) -> Array:
    labels = samples.labels()
    assert labels is not None and labels.dtype == np.int64
    return labels


def npz(path: Path, **arrays: Any) -> Path:
    np.savez(path, **arrays)
    return path


def test_a_folder_is_numbered_as_by_image_folder(tmp_path: Path) -> None:
    root = folder(tmp_path / "data", {"Zebra": 3, "ant": 2, "bee": 4})
    (root / "ant" / "notes.txt").write_text("not an image")
    (root / ".cache").mkdir()
    (root / "bee" / ".hidden.png").write_text("not an image")
    dataset = gather(root, ("x",), IMAGES, tmp_path / "out")
    assert (dataset.classes, dataset.kind, dataset.by_folder) == (("Zebra", "ant", "bee"), "labelled", True)
    assert dataset.samples == SampleSet(tmp_path / "out", ("x",), 9, (TARGET,))
    np.testing.assert_array_equal(first_pixels(dataset.samples)[:, 0], labels_of(dataset.samples))
    assert sorted(map(tuple, first_pixels(dataset.samples)[:, :2].tolist())) == [(c, i) for c, n in enumerate((3, 2, 4)) for i in range(n)]
    assert sorted(labels_of(dataset.samples)[:3].tolist()) == [0, 1, 2], "the beginning does not hold every class"


def test_labels_give_folders_their_class_index(tmp_path: Path) -> None:
    root = folder(tmp_path / "data", {"ant": 1, "bee": 1})
    contract = with_labels(IMAGES, ["wasp", "bee", "fly", "ant"])
    dataset = gather(str(root), ("x",), contract, tmp_path / "out")
    assert dataset.classes == ("wasp", "bee", "fly", "ant") and not dataset.by_folder
    assert {(pixel[0], label) for pixel, label in zip(first_pixels(dataset.samples), labels_of(dataset.samples), strict=True)} == {
        (0, 3),
        (1, 1),
    }


def test_labels_of_the_folders_count_are_names_in_their_order(tmp_path: Path) -> None:
    root = folder(tmp_path / "data", {"n01": 1, "n02": 1})
    dataset = gather(root, ("x",), with_labels(IMAGES, ["tench", "goldfish"]), tmp_path / "out")
    assert dataset.classes == ("tench", "goldfish") and dataset.by_folder


def places(root: Path, labels: list[str], out: Path, ids: tuple[str, ...] = ()) -> dict[str, int]:
    """Each folder's class index, and the notes are kept."""
    dataset = gather(root, ("x",), with_labels(IMAGES, labels), out, ids=ids)
    names = sorted(path.name for path in root.iterdir())
    return {
        names[int(first)]: int(label) for (first, *_), label in zip(first_pixels(dataset.samples), labels_of(dataset.samples), strict=True)
    }


def test_a_folder_is_found_however_its_labels_words_are_joined(tmp_path: Path) -> None:
    root = folder(tmp_path / "data", {"Ant": 1, "golden_retriever": 1})
    assert places(root, ["Golden Retriever", "ant"], tmp_path / "a") == {"Ant": 1, "golden_retriever": 0}
    with pytest.raises(DataError, match="'Ant' is not among the 2 labels"):
        gather(root, ("x",), with_labels(IMAGES, ["golden retriever", "cow"]), tmp_path / "b")


def test_a_folder_is_found_by_its_classs_other_name(tmp_path: Path) -> None:
    root = folder(tmp_path / "data", {"n01440764": 1, "n03888257": 1})
    ids = ("n03888257", "n02979186", "n01440764")
    assert places(root, ["parachute", "cassette player", "tench"], tmp_path / "a", ids) == {"n01440764": 2, "n03888257": 0}


def test_folders_named_by_labels_and_ids_mixed_are_refused(tmp_path: Path) -> None:
    root = folder(tmp_path / "data", {"tench": 1, "n03888257": 1})
    with pytest.raises(DataError, match="some class folders are named by labels and others by ids"):
        places(root, ["parachute", "tench"], tmp_path / "out", ("n03888257", "n01440764"))


def test_a_guess_about_the_order_of_classes_gives_a_note(tmp_path: Path) -> None:
    root = folder(tmp_path / "data", {"n01": 1, "n02": 1})
    (note,) = gather(root, ("x",), with_labels(IMAGES, ["tench", "goldfish"]), tmp_path / "a").notes
    assert note.text == "no class folder has a label's name: they were taken in sorted order, n01/ for 'tench' and so on"
    numbers = folder(tmp_path / "numbers", {str(number): 1 for number in (1, 10, 2)})
    dataset = gather(numbers, ("x",), IMAGES, tmp_path / "b")
    assert dataset.classes == ("1", "10", "2")
    assert "in the order of text, 10/ before 2/, as ImageFolder and Keras count them" in dataset.notes[0].text
    assert places(numbers, ["1", "2", "10"], tmp_path / "c") == {"1": 0, "2": 1, "10": 2}
    for names in (("01", "02", "10"), ("1", "2", "9"), ("ant", "bee")):
        assert gather(folder(tmp_path / names[0], dict.fromkeys(names, 1)), ("x",), IMAGES, tmp_path / f"{names[0]}-out").notes == ()


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (["ant", "cow"], "'bee' is not among the 2 labels"),
        (["tench", "cow", "fly"], "'ant' is not among the 3 labels"),
        (["ant", "bee", "bee"], "name 'bee' twice"),
    ],
)
def test_labels_that_do_not_match(tmp_path: Path, labels: list[str], words: str) -> None:
    root = folder(tmp_path / "data", {"ant": 1, "bee": 1})
    with pytest.raises(DataError, match=words):
        gather(root, ("x",), with_labels(IMAGES, labels), tmp_path / "out")


def test_a_flat_folder_is_unlabelled(tmp_path: Path) -> None:
    root = folder(tmp_path, {"data": 5}) / "data"
    dataset = gather(root, ("x",), IMAGES, tmp_path / "out")
    assert (dataset.kind, dataset.classes, dataset.samples.count, dataset.samples.labels()) == ("unlabelled", (), 5, None)


def test_folders_with_faults(tmp_path: Path) -> None:
    def refused(root: Path, words: str, contract: Contract = IMAGES, names: tuple[str, ...] = ("x",)) -> None:
        with pytest.raises(DataError, match=words):
            gather(root, names, contract, tmp_path / "out")
        assert not (tmp_path / "out").exists()

    root = folder(tmp_path / "data", {"ant": 2, "bee": 2})
    refused(root, "say how they become the model's input", TENSORS)
    refused(root, "the model has 2 inputs", names=("a", "b"))
    (root / "empty").mkdir()
    refused(root, "the class folder empty holds no images")
    (root / "empty" / "old.gif").write_bytes(b"GIF89a")
    refused(root, r"old\.gif is not a JPEG \(or MPO\), PNG, WebP, BMP, GIF or TIFF image")
    (root / "empty" / "old.gif").write_bytes((root / "ant" / "000.png").read_bytes()[:45])
    refused(root, r"old\.gif")
    Image.new("RGB", (5, 4)).save(root / "empty" / "old.gif", "PNG")
    refused(root, r"(old\.gif|00\d\.png): gives a sample of shape .* make all sizes one by resize or crop")
    (tmp_path / "nothing").mkdir()
    refused(tmp_path / "nothing", "holds no images")
    refused(tmp_path / "absent", "there is no data at")


def test_a_limit_takes_classes_evenly_and_always_the_same(tmp_path: Path) -> None:
    root = folder(tmp_path / "data", {"ant": 20, "bee": 3, "cow": 20})
    first = gather(root, ("x",), IMAGES, tmp_path / "a", limit=15)
    assert np.bincount(labels_of(first.samples)).tolist() == [6, 3, 6]
    second = gather(root, ("x",), IMAGES, tmp_path / "b", limit=15)
    np.testing.assert_array_equal(first_pixels(first.samples), first_pixels(second.samples))
    assert gather(root, ("x",), IMAGES, tmp_path / "c", limit=1000).samples.count == 43
    with pytest.raises(DataError, match="limit of 0"):
        gather(root, ("x",), IMAGES, tmp_path / "d", limit=0)


def pairs(samples: SampleSet) -> set[tuple[float, int]]:
    values = samples.open()[samples.inputs[0]].reshape(samples.count, -1)[:, 0]
    return set(zip(values.tolist(), labels_of(samples).tolist(), strict=True))


def test_npz_of_ready_samples(tmp_path: Path) -> None:
    x, y = np.arange(12, dtype=">f4").reshape(6, 2), np.arange(6)
    dataset = gather(npz(tmp_path / "d.npz", x=x, y=y), ("image",), TENSORS, tmp_path / "out")
    assert dataset.samples.inputs == ("image",) and dataset.kind == "labelled"
    assert dataset.samples.open()["image"].dtype == np.dtype(np.float32)
    assert pairs(dataset.samples) == {(2.0 * i, i) for i in range(6)}


def test_npz_with_arrays_named_like_the_inputs(tmp_path: Path) -> None:
    a, y = np.arange(4, dtype=np.int64), np.arange(8, dtype=np.float32).reshape(4, 2)
    dataset = gather(npz(tmp_path / "d.npz", a=a, y=y, spare=a), ("y", "a"), TENSORS, tmp_path / "out")
    arrays = dataset.samples.open()
    assert tuple(arrays) == ("y", "a") and dataset.kind == "unlabelled"
    np.testing.assert_array_equal(arrays["y"][:, 0], arrays["a"] * 2)


def test_images_in_npz_go_through_the_contract_and_tensors_do_not(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (7, 6, 6, 3), np.uint8)
    contract = Contract(ImageTable(resize=ResizeTable((4, 4))).steps())
    assert gather(npz(tmp_path / "a.npz", x=pixels), ("x",), contract, tmp_path / "a").samples.open()["x"].shape == (7, 3, 4, 4)
    ready = pixels.astype(np.float32)
    assert gather(npz(tmp_path / "b.npz", x=ready), ("x",), contract, tmp_path / "b").samples.open()["x"].shape == (7, 6, 6, 3)
    assert gather(npz(tmp_path / "c.npz", x=pixels), ("x",), TENSORS, tmp_path / "c").samples.open()["x"].dtype == np.uint8


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"z": np.zeros(3)}, "has no array 'x'; it needs x, and holds z"),
        ({}, "holds nothing"),
        ({"x": np.zeros((0, 2))}, "holds no samples"),
        ({"x": np.float32(1)}, "must be an array of numbers"),
        ({"x": np.array([np.datetime64("2020-01-01")])}, "must be an array of numbers"),
        ({"x": np.array([b"a\0", b"b"])}, "has lost the zeros at the ends .* or as a folder of files"),
        ({"x": np.array([{}, None])}, "would have to be unpickled: give byte strings as a folder"),
        ({"x": np.zeros((3, 2)), "y": np.zeros(4, int)}, "has 3 samples and 4 labels"),
    ],
)
def test_arrays_with_faults(tmp_path: Path, arrays: dict[str, Array], words: str) -> None:
    with pytest.raises(DataError, match=words) as caught:
        gather(npz(tmp_path / "d.npz", **arrays), ("x",), TENSORS, tmp_path / "out")
    assert "d.npz" in caught.value.message and not (tmp_path / "out").exists()


def test_inputs_of_different_length(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="different number of samples"):
        gather({"a": np.zeros(3), "b": np.zeros(4)}, ("a", "b"), TENSORS, tmp_path / "out")


def test_files_that_are_not_npz(tmp_path: Path) -> None:
    good = npz(tmp_path / "good.npz", x=np.zeros((50, 50))).read_bytes()
    flipped = bytearray(good)
    flipped[300] ^= 0xFF
    np.save(tmp_path / "cut.npy", np.zeros(300))
    os.truncate(tmp_path / "cut.npy", 500)
    with zipfile.ZipFile(tmp_path / "other.npz", "w") as archive:
        archive.writestr("x.npy", b"not an array")
    for name, data in {"text": b"1,2,3\n", "nothing": b"", "cut": good[:-30], "flipped": bytes(flipped)}.items():
        (tmp_path / name).write_bytes(data)
    for name in ("text", "nothing", "cut", "flipped", "cut.npy", "other.npz"):
        with pytest.raises(DataError, match=name):
            gather(tmp_path / name, ("x",), TENSORS, tmp_path / "out")


def test_a_callable_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "neighbour.py").write_text("SIZE = 4\n")
    code = tmp_path / "mydata.py"
    code.write_text(
        "import numpy as np\nfrom neighbour import SIZE\ndef load():\n    return np.ones((SIZE, 2), np.float32), [0, 1, 2, 3]\n"
    )
    dataset = gather(f"{code}:load", ("x",), TENSORS, tmp_path / "out")
    assert (dataset.samples.count, dataset.kind) == (4, "labelled")


def test_a_callable_in_a_module_of_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "rw_test_data_module.py").write_text("def load():\n    return {'a': [[1.0], [2.0]]}\n")
    monkeypatch.chdir(tmp_path)
    assert gather("rw_test_data_module:load", ("a",), TENSORS, tmp_path / "out").kind == "unlabelled"


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("def load(): raise KeyError('lost')", r"load raised KeyError: 'lost' \(faulty\.py, line 1\)"),
        ("import sys; sys.exit(3)", "raised SystemExit: 3"),
        ("def other(): pass", r"faulty\.py has no load; it has other"),
        ("def lead(): pass\ndef other(): pass", "has no load; it has lead"),
        ("def load(", "raised SyntaxError"),
        ("def load(): return object()", "load is object; it must be arrays or tensors"),
        ("def load(): return [[1], [2, 3]]", "cannot be read as an array"),
        ("def load(): return None", "load is NoneType; it must be arrays or tensors"),
        ("import numpy as np\ndef load(): return np.ma.masked_less([[1.0], [-999.0]], 0)", "has masked values"),
    ],
)
def test_callables_with_faults(tmp_path: Path, code: str, words: str) -> None:
    (tmp_path / "faulty.py").write_text(code)
    with pytest.raises(DataError, match=words):
        gather(f"{tmp_path}/faulty.py:load", ("x",), TENSORS, tmp_path / "out")


def test_a_callable_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"the file .*gone\.py.* does not exist"):
        gather(f"{tmp_path}/gone.py:load", ("x",), TENSORS, tmp_path / "out")
    with pytest.raises(DataError, match="the module rw_no_such_module, which should hold rw_no_such_module:load, does not exist"):
        gather("rw_no_such_module:load", ("x",), TENSORS, tmp_path / "out")


class Tensor:
    """What a framework's tensor shows of itself: no array until it has left the tape."""

    def __init__(self, values: Array, taped: bool = True) -> None:
        self.values, self.taped = values, taped

    def detach(self) -> Tensor:
        return Tensor(self.values, False)

    def __array__(self, dtype: Any = None, copy: Any = None) -> Array:
        if self.taped:
            raise RuntimeError("Can't call numpy() on Tensor that requires grad")
        return self.values


def test_arrays_in_memory(tmp_path: Path) -> None:
    x, y = np.arange(6, dtype=np.float32)[:, None], np.arange(6)
    for number, data in enumerate([(x, y), (Tensor(x), Tensor(y)), ({"x": x}, y.tolist()), (x.tolist(), y)]):
        assert pairs(gather(data, ("x",), TENSORS, tmp_path / str(number)).samples) == {(float(i), i) for i in range(6)}
    assert gather(x, ("x",), TENSORS, tmp_path / "bare").kind == "unlabelled"
    assert gather((x, None), ("x",), TENSORS, tmp_path / "none").kind == "unlabelled"


def test_torch_tensors_are_taken(tmp_path: Path) -> None:
    import torch

    x = torch.arange(6.0, requires_grad=True)[:, None].transpose(0, 1).contiguous().transpose(0, 1)
    assert pairs(gather((x, torch.arange(6)), ("x",), TENSORS, tmp_path / "a").samples) == {(float(i), i) for i in range(6)}
    narrow = gather((x.bfloat16(), torch.arange(6)), ("x",), TENSORS, tmp_path / "b").samples
    assert narrow.open()["x"].dtype == np.float32 and pairs(narrow) == {(float(i), i) for i in range(6)}


def test_lists_of_images_in_memory(tmp_path: Path) -> None:
    root = folder(tmp_path / "data", {"ant": 2})
    paths = sorted(root.rglob("*.png"))
    arrays = [np.zeros((4, 4, 3), np.uint8), np.ones((9, 4, 3), np.uint8)]
    contract = Contract(ImageTable(resize=ResizeTable((4, 4)), scale=1, layout="HWC", dtype="uint8").steps())
    for number, images in enumerate((paths, [str(path) for path in paths], [path.read_bytes() for path in paths], arrays)):
        dataset = gather((images, [0, 1]), ("x",), contract, tmp_path / str(number))
        assert dataset.samples.open()["x"].shape == (2, 4, 4, 3)
        np.testing.assert_array_equal(first_pixels(dataset.samples).max(axis=1), labels_of(dataset.samples))


def test_a_full_disk_is_said_and_nothing_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # /dev/full is a real device on which every write fails for want of space.
    monkeypatch.setattr(sample_writer, "file_of", lambda name: Path("/dev/full"))
    monkeypatch.setattr("roadworthy.build.data.raw_writer.file_of", lambda name: Path("/dev/full"))
    for data, contract in ((np.zeros((5, 100_000), np.float32), TENSORS), (folder(tmp_path / "data", {"ant": 3, "bee": 3}), IMAGES)):
        with pytest.raises(OutOfSpace, match="the disk filled up"):
            gather(data, ("x",), contract, tmp_path / "out")
        assert not (tmp_path / "out").exists()


def test_no_space_for_the_directory_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object, **options: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "mkdir", full)
    with pytest.raises(OutOfSpace):
        gather(np.zeros((5, 2)), ("x",), TENSORS, tmp_path / "out")


def test_an_output_that_exists_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "precious").touch()
    with pytest.raises(DataError, match="exists"):
        gather(np.zeros((5, 2)), ("x",), TENSORS, tmp_path / "out")
    assert (tmp_path / "out" / "precious").exists()


def dataset_of(path: Path, labels: list[int], classes: tuple[str, ...] = (), by_folder: bool = False) -> Dataset:
    data = gather((np.zeros((len(labels), 2), np.float32), labels), ("x",), Contract(answer=Answer(labels=classes)), path)
    return Dataset(data.samples, classes, "labelled", by_folder)


def test_classes_are_compared_with_the_models_outputs(tmp_path: Path) -> None:
    folders = dataset_of(tmp_path / "a", [0, 1, 2], ("ant", "bee", "cow"), by_folder=True)
    check_classes(folders, 3)
    for outputs in (2, 4, 1000):
        with pytest.raises(DataError, match=f"3 class folders, the model has {outputs} outputs"):
            check_classes(folders, outputs)
    check_classes(dataset_of(tmp_path / "b", [0, 1], ("no", "yes"), by_folder=True), 1)
    named = dataset_of(tmp_path / "c", [0, 1], ("ant", "bee", "cow"))
    check_classes(named, 3)
    for outputs in (1, 2, 4):
        with pytest.raises(DataError, match=r"there are 3 class names \(first 'ant', last 'cow'\)"):
            check_classes(named, outputs)


def test_inputs_are_compared_with_the_signature(tmp_path: Path) -> None:
    def signature(name: str, dtype: str, *shape: int | str) -> Signature:
        return Signature((TensorSpec(name, dtype, shape),), ())

    samples = gather(np.zeros((5, 3, 8), np.float32), ("x",), TENSORS, tmp_path / "out").samples
    check_inputs(samples, signature("x", "float32", "batch", 3, 8))
    check_inputs(samples, signature("x", "float32", 1, 3, "width"))
    for wrong, words in (
        (signature("z", "float32", "batch", 3, 8), "no input 'z'"),
        (signature("x", "float64", "batch", 3, 8), "is float32; the model takes float64"),
        (signature("x", "float32", "batch", 8, 3), r"shape \[3, 8\]; the model takes x:float32\[batch,8,3\]"),
        (signature("x", "float32", "batch", 3), "shape"),
        (signature("x", "float32", "batch", 3, 8, 1), "shape"),
    ):
        with pytest.raises(DataError, match=words):
            check_inputs(samples, wrong)


@given(st.lists(st.integers(0, 4), min_size=1, max_size=80))
def test_every_beginning_is_as_even_as_it_can_be(labels: list[int]) -> None:
    order = sample_writer.balanced_order(len(labels), {TARGET: np.array(labels)})
    assert sorted(order.tolist()) == list(range(len(labels)))
    total = np.bincount(labels, minlength=5)
    for stop in range(1, len(labels) + 1):
        counts = np.bincount(np.array(labels)[order[:stop]], minlength=5)
        unspent = counts[counts < total]
        assert unspent.size == 0 or counts.max() - unspent.min() <= 1


@pytest.mark.parametrize(("count", "asked", "given"), [(100, 10, 10), (100, 300, 20), (20, 9, 4), (19, 5, 0), (100, 0, 0)])
def test_the_split_is_disjoint_even_and_repeatable(tmp_path: Path, count: int, asked: int, given: int) -> None:
    x = np.arange(count, dtype=np.float32)[:, None]
    samples = gather((x, np.arange(count) % 4), ("x",), TENSORS, tmp_path / "all").samples
    evaluation, calibration = split(samples, asked, tmp_path / "split")
    if given == 0:
        assert calibration is None and evaluation == samples
        return
    assert calibration is not None and (evaluation.count, calibration.count) == (count - given, given)
    assert pairs(evaluation) | pairs(calibration) == pairs(samples)
    assert not pairs(evaluation) & pairs(calibration)
    counts = np.bincount(labels_of(calibration), minlength=4)
    assert counts.max() - counts.min() <= 1
    again = split(samples, asked, tmp_path / "again")
    np.testing.assert_array_equal(evaluation.open()["x"], again[0].open()["x"])


def test_each_beginning_of_the_evaluation_is_a_sample_of_the_whole(tmp_path: Path) -> None:
    """A balanced order has the rare class in its beginning: what is found there does not hold for the whole."""
    labels = np.repeat([0, 1], [2700, 300])
    samples = gather((np.arange(3000, dtype=np.float32), labels), ("x",), TENSORS, tmp_path / "all").samples
    evaluation, calibration = split(samples, 100, tmp_path / "split")
    assert calibration is not None and labels_of(evaluation).sum() == 250
    for count in (290, 580, 1450):
        rare = labels_of(evaluation)[:count].sum()
        assert abs(rare - 250 * count / 2900) < 4 * np.sqrt(250 * count / 2900)


def test_an_unlabelled_set_is_split_too(tmp_path: Path) -> None:
    samples = gather(np.arange(40, dtype=np.float32), ("x",), TENSORS, tmp_path / "all").samples
    evaluation, calibration = split(samples, 5, tmp_path / "split")
    assert calibration is not None and not (evaluation.labelled or calibration.labelled)
    assert sorted([*evaluation.open()["x"], *calibration.open()["x"]]) == list(range(40))


def test_large_arrays_are_written_in_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample_writer, "CHUNK_BYTES", 40)
    x = np.arange(50, dtype=np.float32).reshape(10, 5)
    order = np.array([9, 0, 3])
    assert [len(chunk) for chunk in sample_writer.rows(x, order)] == [2, 1]
    np.testing.assert_array_equal(sample_writer.write(tmp_path / "out", {"x": x}, {}, order).open()["x"], x[order])


def test_real_cifar_images_keep_their_classes(real: Path, tmp_path: Path) -> None:
    dataset = gather(real / "cifar10", ("x",), spec.read("cifar10"), tmp_path / "out", limit=200)
    assert dataset.classes[0] == "airplane" and len(dataset.classes) == 10
    assert dataset.samples.open()["x"].shape == (200, 3, 32, 32)
    assert np.bincount(labels_of(dataset.samples)).tolist() == [20] * 10
    values = dataset.samples.open()["x"]
    assert np.abs(values.mean(axis=(0, 2, 3))).max() < 0.3 and np.abs(values.std(axis=(0, 2, 3)) - 1).max() < 0.2


def test_real_imagenet_folders_find_their_place_by_labels(real: Path, tmp_path: Path) -> None:
    indices = dict(
        zip(sorted(path.name for path in (real / "imagenette").iterdir()), (0, 217, 482, 491, 497, 566, 569, 571, 574, 701), strict=True)
    )
    names = [str(index) for index in range(1000)]
    for name, index in indices.items():
        names[index] = name
    dataset = gather(real / "imagenette", ("x",), with_labels(spec.read("imagenet"), names), tmp_path / "out", limit=20)
    check_classes(dataset, 1000)
    assert sorted(set(labels_of(dataset.samples).tolist())) == sorted(indices.values())


def files(root: Path, classes: dict[str, int]) -> Path:
    """Files of different lengths that begin with their class and number, zeros at their ends."""
    for number, (name, count) in enumerate(classes.items()):
        (root / name).mkdir(parents=True)
        for index in range(count):
            (root / name / f"{index:02}.wav").write_bytes(bytes([number, index]) + b"x" * index + b"\0\0")
    return root


def test_a_folder_of_other_files_is_byte_strings(tmp_path: Path) -> None:
    root = files(tmp_path / "data", {"yes": 3, "no": 4})
    (root / "no" / ".hidden").write_bytes(b"no sample")
    dataset = gather(root, ("wav",), with_labels(TENSORS, ["silence", "yes", "no"]), tmp_path / "out")
    assert (dataset.samples, dataset.kind) == (SampleSet(tmp_path / "out", ("wav",), 7, (TARGET,)), "labelled")
    strings = dataset.samples.open()["wav"]
    assert strings.dtype == object and strings.shape == (7,)
    for string, label in zip(strings, labels_of(dataset.samples), strict=True):
        assert string == bytes([label - 1, string[1]]) + b"x" * string[1] + b"\0\0"
    assert len(set(strings)) == 7
    assert dataset.samples.feeds(2, 5)["wav"].tolist() == strings[2:5].tolist()
    assert [len(dataset.samples.feeds(start, start + 3)["wav"]) for start in (0, 3, 6)] == [3, 3, 1]
    check_inputs(dataset.samples, Signature((TensorSpec("wav", "object", ("batch",)),), ()))
    with pytest.raises(DataError, match="is object; the model takes float32"):
        check_inputs(dataset.samples, Signature((TensorSpec("wav", "float32", ("batch", 2)),), ()))


def test_files_alone_are_unlabelled_and_limited(tmp_path: Path) -> None:
    root = files(tmp_path / "data", {"all": 5}) / "all"
    dataset = gather(root, ("wav",), TENSORS, tmp_path / "out", limit=2)
    assert (dataset.kind, dataset.samples.count) == ("unlabelled", 2)


def test_byte_strings_split_without_a_loss(tmp_path: Path) -> None:
    samples = gather(files(tmp_path / "data", {"a": 20, "b": 20}), ("wav",), TENSORS, tmp_path / "out").samples
    evaluation, calibration = split(samples, 8, tmp_path / "split")
    assert calibration is not None and (evaluation.count, calibration.count) == (32, 8)
    parts = [*evaluation.open()["wav"], *calibration.open()["wav"]]
    assert sorted(parts) == sorted(samples.open()["wav"])
    assert sorted(labels_of(calibration).tolist()) == [0] * 4 + [1] * 4


@pytest.mark.parametrize("code", ["[b'a\\0', b'', b'bc']", "np.array([b'a\\0', b'', b'bc'], object)"])
def test_a_callable_gives_byte_strings(tmp_path: Path, code: str) -> None:
    (tmp_path / "mine.py").write_text(f"import numpy as np\ndef load(): return {code}, [0, 1, 2]\n")
    samples = gather(f"{tmp_path}/mine.py:load", ("x",), TENSORS, tmp_path / "out").samples
    assert sorted(samples.open()["x"].tolist()) == [b"", b"a\0", b"bc"]


def test_text_is_utf8(tmp_path: Path) -> None:
    samples = gather(npz(tmp_path / "text.npz", x=np.array(["grün", "x"])), ("x",), TENSORS, tmp_path / "out").samples
    assert sorted(samples.open()["x"].tolist()) == ["grün".encode(), b"x"]


def test_a_folder_with_images_still_asks_for_the_preprocessing(tmp_path: Path) -> None:
    root = folder(tmp_path / "data", {"a": 2, "b": 2})
    (root / "a" / "notes.txt").write_text("beside images, no sample")
    with pytest.raises(DataError, match="by a preprocessing preset or file; to a model that decodes them itself give their bytes"):
        gather(root, ("x",), TENSORS, tmp_path / "out")


def test_a_disk_that_fills_up_with_byte_strings_leaves_nothing(tmp_path: Path, small_disk: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "large.wav").write_bytes(bytes(3_000_000))
    with pytest.raises(OutOfSpace):
        gather(tmp_path / "data", ("x",), TENSORS, small_disk / "out")
    assert not (small_disk / "out").exists()


def test_arrays_name_the_inputs_where_no_signature_does(tmp_path: Path) -> None:
    left, right = np.zeros((6, 2), np.float32), np.ones((6, 3), np.float32)
    np.savez(tmp_path / "two.npz", left=left, right=right, y=np.arange(6))
    two = gather(tmp_path / "two.npz", (), TENSORS, tmp_path / "a")
    assert (two.samples.inputs, two.kind) == (("left", "right"), "labelled")
    np.savez(tmp_path / "one.npz", x=left)
    assert gather(tmp_path / "one.npz", (), TENSORS, tmp_path / "b").samples.inputs == ("input",)
    images = folder(tmp_path / "images", {"ant": 2, "bee": 2})
    assert gather(images, (), IMAGES, tmp_path / "c").samples.inputs == ("input",)


def test_texts_of_several_columns_and_complex_numbers_are_samples(tmp_path: Path) -> None:
    texts, numbers = np.array([["a", "bå"], ["", "c"]]), np.array([[1j], [2 + 1j]], np.complex64)
    np.savez(tmp_path / "d.npz", words=texts, waves=numbers)
    held = gather(tmp_path / "d.npz", ("words", "waves"), Contract(), tmp_path / "out").samples.open()
    assert sorted(held["words"].tolist()) == [[b"", b"c"], [b"a", "bå".encode()]]
    assert held["waves"].dtype == np.complex64 and sorted(held["waves"].imag.ravel().tolist()) == [1, 1]

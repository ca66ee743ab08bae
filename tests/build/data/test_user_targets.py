"""Targets of every form from the user to disk and back, in the order of their samples, and through a split."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from roadworthy.build.data.dataset import split
from roadworthy.build.data.live import forms, spool
from roadworthy.build.data.live.wanted import Wanted
from roadworthy.build.data.sample_writer import balanced_order
from roadworthy.core.errors import DataError
from roadworthy.core.samples import TARGET, SampleSet, as_given, renamed
from roadworthy.preprocess.contract import Contract
from support.gathering import gather

COUNT = 24


def gathered(folder: Path, y: Any, x: Any = None) -> SampleSet:
    """Samples whose only number is their place in ``y``."""
    x = np.arange(float(COUNT))[:, None] if x is None else x
    return gather((x, y), ("x",), Contract(), folder / "all").samples


def by_place(samples: SampleSet) -> dict[int, Any]:
    """The targets of each sample as the user's metric gets them, by the sample's place in the data."""
    given = as_given(samples.open_targets())
    places = samples.open()["x"][:, 0].astype(int).tolist()
    if isinstance(given, dict):
        return {place: {name: array[row] for name, array in given.items()} for row, place in enumerate(places)}
    assert given is not None
    return {place: given[row] for row, place in enumerate(places)}


DENSE = {
    "class indexes": np.arange(COUNT) % 3,
    "one-hot rows": np.eye(3, dtype=np.float32)[np.arange(COUNT) % 3],
    "numbers": np.linspace(0, 1, COUNT),
    "several numbers": np.random.default_rng(0).random((COUNT, 2), np.float32),
    "multi-hot rows": np.random.default_rng(0).integers(0, 2, (COUNT, 4)),
    "masks": np.random.default_rng(0).integers(0, 3, (COUNT, 5, 6), np.uint8),
    "booleans": np.arange(COUNT) % 2 == 0,
    "texts": np.array([f"text {'é' * (place % 4)}" for place in range(COUNT)]),
}


@pytest.mark.parametrize("form", DENSE)
def test_an_array_of_any_dtype_keeps_dtype_shape_and_order(tmp_path: Path, form: str) -> None:
    y = DENSE[form]
    samples = gathered(tmp_path, y)
    assert samples.targets == (TARGET,) and samples.labelled
    evaluation, calibration = split(samples, 4, tmp_path / "split")
    assert calibration is not None
    for part in (samples, renamed(evaluation, ("x",)), calibration):
        (found,) = part.open_targets().values()
        assert (found.dtype, found.shape[1:]) == (y.dtype, y.shape[1:])
        for place, target in by_place(part).items():
            np.testing.assert_array_equal(target, y[place])
    assert set(by_place(evaluation)) | set(by_place(calibration)) == set(range(COUNT))


def boxes(place: int) -> np.ndarray:
    return np.full((place % 3, 4), place, np.float32)


@pytest.mark.parametrize("form", ["a dict of lists", "a list of dicts", "tensors", "a file", "handed over"])
def test_boxes_of_any_number_keep_to_their_samples(tmp_path: Path, form: str) -> None:
    several = {"boxes": [boxes(place) for place in range(COUNT)], "labels": [np.full(place % 3, place) for place in range(COUNT)]}
    each = [{name: values[place] for name, values in several.items()} for place in range(COUNT)]
    y: Any = several if form == "a dict of lists" else each
    if form == "tensors":
        torch = pytest.importorskip("torch")
        y = [{name: torch.from_numpy(value).requires_grad_(name == "boxes") for name, value in one.items()} for one in each]
    x, data = np.arange(float(COUNT))[:, None], tmp_path / "data"
    if form == "a file":
        joined = {f"y.{name}": np.concatenate(values) for name, values in several.items()}
        ends = {f"{name}.ends": np.cumsum([place % 3 for place in range(COUNT)]) for name in joined}
        np.savez(data.with_suffix(".npz"), x=x, **joined, **ends)
        samples = gather(data.with_suffix(".npz"), ("x",), Contract(), tmp_path / "all").samples
    elif form == "handed over":
        spool.hand_over(forms.read((x, y), Wanted(("x",)), "the data"), data)
        samples = gather(data, ("x",), Contract(), tmp_path / "all").samples
    else:
        samples = gathered(tmp_path, y)
    evaluation, calibration = split(samples, 4, tmp_path / "split")
    assert calibration is not None and samples.targets == ("boxes", "labels")
    for part in (samples, evaluation, calibration):
        for place, target in by_place(part).items():
            np.testing.assert_array_equal(target["boxes"], boxes(place))
            np.testing.assert_array_equal(target["labels"], np.full(place % 3, place))


def test_several_arrays_have_their_names_in_a_file(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", x=np.arange(3.0)[:, None], **{"y.age": np.array([30.5, 20, 1]), "y.mask": np.zeros((3, 2, 2), np.uint8)})
    samples = gather(tmp_path / "d.npz", ("x",), Contract(), tmp_path / "out").samples
    assert samples.targets == ("age", "mask")
    assert {place: target["age"] for place, target in by_place(samples).items()} == {0: 30.5, 1: 20, 2: 1}


def test_names_of_several_labels_are_rows_of_text(tmp_path: Path) -> None:
    names = [["sky"] * (place % 2) + ["cat"] for place in range(COUNT)]
    for place, target in by_place(gathered(tmp_path, names)).items():
        assert target.tolist() == names[place]


def test_byte_strings_are_read_as_text(tmp_path: Path) -> None:
    words = np.array([b"yes", "né".encode()] * 12, object)
    assert {place: str(text) for place, text in by_place(gathered(tmp_path, words)).items()} == {
        place: "né" if place % 2 else "yes" for place in range(COUNT)
    }


@pytest.mark.parametrize("y", [np.eye(3)[np.arange(24) % 3], (np.arange(24) % 3).astype(str), (np.arange(24.0) % 3)[:, None]])
def test_every_form_of_classes_is_ordered_evenly(y: np.ndarray) -> None:
    first = balanced_order(24, {TARGET: y})[:3]
    assert sorted(first % 3) == [0, 1, 2]


@pytest.mark.parametrize(
    ("y", "words"),
    [
        (np.zeros(5), "has 24 samples and 5 labels"),
        ({"a": np.zeros(24), "b": np.zeros(2)}, r"has 24 samples and 2 of y\['b'\]"),
        ([{"a": 1}] * 23 + [{"b": 1}], r"y\[23\] has the keys b, and y\[0\] has a"),
        ([None] * 24, "holds a NoneType"),
        ([[1, 2], [3], 4] * 8, "holds single values and arrays"),
        ([np.zeros((2, 4)), np.zeros((1, 5))] * 12, "differ in more than their first axis"),
        ([b"\xff"] * 24, "is not UTF-8 text"),
        (np.datetime64("2020-01-01") + np.arange(24), "targets are arrays of numbers or texts"),
        (np.float32(1), "targets are arrays of numbers or texts"),
        (np.ma.masked_less(np.arange(24), 3), "has masked values"),
    ],
)
def test_targets_that_cannot_be_read(tmp_path: Path, y: Any, words: str) -> None:
    with pytest.raises(DataError, match=words):
        gathered(tmp_path, y)
    assert not (tmp_path / "all").exists()


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"y": np.zeros(3), "y.boxes": np.zeros((3, 4))}, "holds 'y' and 'y.boxes'"),
        ({"y.boxes.ends": np.array([0, 1, 2])}, "holds 'y.boxes.ends' and no 'y.boxes'"),
        ({"y.boxes": np.zeros((4, 4)), "y.boxes.ends": np.array([0, 1, 2])}, "does not say where those of each sample end"),
    ],
)
def test_files_whose_targets_contradict_each_other(tmp_path: Path, arrays: dict[str, np.ndarray], words: str) -> None:
    np.savez(tmp_path / "d.npz", x=np.arange(3.0)[:, None], **arrays)
    with pytest.raises(DataError, match=words):
        gather(tmp_path / "d.npz", ("x",), Contract(), tmp_path / "out")

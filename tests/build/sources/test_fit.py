"""Samples become what the model takes without a change of any value, or are refused with their row; each change is a note."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from roadworthy.build.sources.samples.fit import Taker, fitted
from roadworthy.core.errors import DataError
from roadworthy.core.samples import TARGET, SampleSet, write, write_source_rows
from roadworthy.core.types import Array, TensorSpec

COUNT = 300
"""More samples than are cast at once."""


def samples(folder: Path, **arrays: Array) -> SampleSet:
    """A sample set whose row i is row i + 1000 of the user's data."""
    made = write(folder / "given", arrays, np.arange(len(next(iter(arrays.values())))))
    write_source_rows(made.path, np.arange(made.count) + 1000)
    return made


def stated(*specs: TensorSpec) -> Taker:
    return Taker(specs, (), lambda feeds: pytest.fail("a model that states its inputs is not called"))


def linear(feeds: Mapping[str, Array]) -> Any:
    """A layer of float32 weights [4, 2], as strict as those of PyTorch."""
    (x,) = feeds.values()
    if x.dtype != np.float32 or x.shape[1:] != (4,):
        raise RuntimeError("mat1 and mat2 must have the same dtype and fitting shapes")


def unknown(call: Any, *names: str) -> Taker:
    return Taker((), names, call)


@pytest.mark.parametrize("dtype", [np.float64, np.float16, np.uint8, np.int64, bool])
def test_numbers_are_cast_to_what_the_model_states(dtype: Any, tmp_path: Path) -> None:
    x = np.arange(COUNT * 4).reshape(COUNT, 4).astype(dtype)
    found, notes = fitted(samples(tmp_path, x=x), stated(TensorSpec("x", "float32", ("batch", 4))), tmp_path / "out")
    assert notes == (f"the samples of 'x' were cast from {x.dtype} to float32, which the model takes",)
    array = found.open()["x"]
    assert array.dtype == np.float32
    np.testing.assert_array_equal(array, x.astype(np.float32))
    np.testing.assert_array_equal(found.open_targets()[TARGET], np.arange(COUNT))


@pytest.mark.parametrize("given", [np.float64, np.float16, np.int32, np.uint8])
def test_a_model_that_states_nothing_is_tried(given: Any, tmp_path: Path) -> None:
    x = np.ones((6, 4), given)
    found, notes = fitted(samples(tmp_path, x=x), unknown(linear, "x"), tmp_path / "out")
    assert found.open()["x"].dtype == np.float32 and len(notes) == 1


def test_samples_that_fit_are_left_where_they_are(tmp_path: Path) -> None:
    given = samples(tmp_path, x=np.ones((6, 4), np.float32))
    assert fitted(given, unknown(linear, "x"), tmp_path / "out") == (given, ())
    assert fitted(given, stated(TensorSpec("x", "float32", ("batch", 4))), tmp_path / "b") == (given, ())
    assert not (tmp_path / "out").exists() and not (tmp_path / "b").exists()


def test_a_model_that_takes_anything_gets_the_type_of_its_weights(tmp_path: Path) -> None:
    found, _ = fitted(samples(tmp_path, x=np.ones((6, 4))), unknown(lambda feeds: None, "x"), tmp_path / "out")
    assert found.open()["x"].dtype == np.float32


def test_whole_numbers_stay_where_the_model_takes_them(tmp_path: Path) -> None:
    def embedding(feeds: Mapping[str, Array]) -> None:
        if feeds["ids"].dtype not in (np.int32, np.int64):
            raise RuntimeError("Expected tensor for argument 'indices' to have scalar types Long, Int")

    ids = samples(tmp_path, ids=np.ones((6, 4), np.int64))
    assert fitted(ids, unknown(embedding, "ids"), tmp_path / "out") == (ids, ())
    floats, notes = fitted(samples(tmp_path / "b", ids=np.array([[1.0], [7.0]])), unknown(embedding, "ids"), tmp_path / "c")
    assert floats.open()["ids"].tolist() == [[1], [7]] and "from float64 to int64" in notes[0]


@pytest.mark.parametrize(
    ("values", "dtype", "words"),
    [
        (np.array([[1.0], [2.5]]), "int64", "row 1001: a value of input 'x' is 2.5; the model takes whole numbers"),
        (np.array([[1.0], [np.nan]]), "int64", r"row 1001: a value of input 'x' is missing \(NaN\), and whole numbers have no value"),
        (np.array([[0.0], [1e300]]), "float32", "row 1001: input 'x' holds 1e[+]300"),
        (np.array([[1], [300]]), "uint8", "row 1001: input 'x' holds 300"),
        (np.array([[1], [2**24 + 1]]), "float32", "row 1001: input 'x' holds 16777217 .* only rounded"),
        (np.array([[1.0], [300.0]]), "uint8", "row 1001: input 'x' holds 300"),
        (np.array([[1], [2]]), "object", "holds int64, and the model takes texts"),
    ],
)
def test_what_would_change_is_refused_with_its_row(values: Array, dtype: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=words):
        fitted(samples(tmp_path, x=values), stated(TensorSpec("x", dtype, ("batch", 1))), tmp_path / "out")


def test_a_row_beyond_the_first_chunk_is_named(tmp_path: Path) -> None:
    x = np.zeros((COUNT, 1), np.int64)
    x[290] = 2**31
    with pytest.raises(DataError, match="row 1290"):
        fitted(samples(tmp_path, x=x), stated(TensorSpec("x", "int32", ("batch", 1))), tmp_path / "out")


def test_missing_floats_stay_missing(tmp_path: Path) -> None:
    given = samples(tmp_path, x=np.array([[1.0], [np.nan]]))
    found, _ = fitted(given, stated(TensorSpec("x", "float32", ("batch", 1))), tmp_path / "out")
    np.testing.assert_array_equal(found.open()["x"], np.float32([[1], [np.nan]]))


def test_texts_for_a_column_of_texts(tmp_path: Path) -> None:
    texts = np.array([b"good", b"bad"], object)
    column = stated(TensorSpec("text", "object", ("batch", 1)))
    found, notes = fitted(samples(tmp_path, input=texts), column, tmp_path / "out")
    assert found.open()["text"].tolist() == [[b"good"], [b"bad"]]
    assert notes == ("each sample of 'text' was given the shape [1] in place of []",)
    flat, _ = fitted(samples(tmp_path / "b", input=texts[:, None]), stated(TensorSpec("text", "object", ("batch",))), tmp_path / "c")
    assert flat.open()["text"].tolist() == [b"good", b"bad"]


def test_grey_pictures_get_the_axis_that_the_model_wants(tmp_path: Path) -> None:
    pictures = np.random.default_rng(0).random((3, 5, 6), np.float32)
    last, _ = fitted(samples(tmp_path, x=pictures), stated(TensorSpec("x", "float32", ("batch", 5, 6, 1))), tmp_path / "out")
    np.testing.assert_array_equal(last.open()["x"][..., 0], pictures)

    def convolution(feeds: Mapping[str, Array]) -> None:
        if feeds["x"].ndim != 4 or feeds["x"].shape[1] != 1:
            raise RuntimeError("expected input to have 1 channel")

    first, _ = fitted(samples(tmp_path / "b", x=pictures), unknown(convolution, "x"), tmp_path / "c")
    np.testing.assert_array_equal(first.open()["x"][:, 0], pictures)


def test_shapes_that_differ_otherwise_are_not_changed(tmp_path: Path) -> None:
    given = samples(tmp_path, x=np.zeros((2, 3, 8), np.float32))
    assert fitted(given, stated(TensorSpec("x", "float32", ("batch", 8, 3))), tmp_path / "out") == (given, ())


def test_columns_become_one_input_in_their_order(tmp_path: Path) -> None:
    columns = {"age": np.array([30, 41]), "weight": np.array([70.5, np.nan]), "smoker": np.array([True, False])}
    found, notes = fitted(samples(tmp_path, **columns), stated(TensorSpec("x", "float32", ("batch", 3))), tmp_path / "out")
    np.testing.assert_array_equal(found.open()["x"], np.float32([[30, 70.5, 1], [41, np.nan, 0]]))
    assert notes[0] == "the input 'x' was made of the columns age, weight, smoker, in this order"


def test_a_column_of_text_is_no_number(tmp_path: Path) -> None:
    columns = {"age": np.array([30, 41]), "city": np.array([b"Bonn", b"Kiel"], object)}
    with pytest.raises(DataError, match=r"the column 'city' of the data holds text \('Bonn' in row 1000\)"):
        fitted(samples(tmp_path, **columns), stated(TensorSpec("x", "float32", ("batch", 2))), tmp_path / "out")


def test_columns_go_to_inputs_of_their_names(tmp_path: Path) -> None:
    columns = {"id": np.arange(3), "age": np.array([30, 41, 5]), "city": np.array([b"Bonn", b"Kiel", b"Ulm"], object)}
    taker = stated(TensorSpec("city", "object", ("batch", 1)), TensorSpec("age", "float32", ("batch", 1)))
    found, notes = fitted(samples(tmp_path, **columns), taker, tmp_path / "out")
    arrays = found.open()
    assert arrays["city"].tolist() == [[b"Bonn"], [b"Kiel"], [b"Ulm"]] and arrays["age"].tolist() == [[30.0], [41.0], [5.0]]
    assert notes[0] == "'id' of the data were left out: the model has no input of that name"


def test_columns_of_a_model_that_states_nothing(tmp_path: Path) -> None:
    def joined(feeds: Mapping[str, Array]) -> None:
        if any(array.ndim != 2 or array.dtype != np.float32 for array in feeds.values()):
            raise RuntimeError("Dimension out of range")

    columns = {"f0": np.arange(3), "f1": np.array([0.5, 1, 2])}
    found, _ = fitted(samples(tmp_path, **columns), unknown(joined, "f0", "f1"), tmp_path / "out")
    assert {name: (str(array.dtype), array.shape) for name, array in found.open().items()} == {
        "f0": ("float32", (3, 1)),
        "f1": ("float32", (3, 1)),
    }


def test_a_model_that_takes_none_of_the_forms_gets_the_likeliest(tmp_path: Path) -> None:
    def broken(feeds: Mapping[str, Array]) -> None:
        raise ValueError("too few features")

    found, _ = fitted(samples(tmp_path, x=np.ones((2, 3))), unknown(broken, "x"), tmp_path / "out")
    assert (found.open()["x"].dtype, found.open()["x"].shape) == (np.float32, (2, 3))

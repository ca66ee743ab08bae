"""Golden samples come back from their file as they went, byte strings of any content and shape included, and never as a pickle."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadworthy.bundle import golden
from roadworthy.bundle.golden import Golden
from roadworthy.core.errors import BundleError
from roadworthy.core.types import BYTES, Array, Signature, TensorSpec

SIGNATURE = Signature(
    (TensorSpec("wav/data", BYTES, ("batch",)), TensorSpec("x", "float32", ("batch", 2))), (TensorSpec("words", BYTES, ("batch", 3)),)
)


def strings(values: list[bytes], *shape: int) -> Array:
    array = np.empty(len(values), BYTES)
    array[:] = values
    return array.reshape(shape or (len(values),))


@given(st.integers(1, 4).flatmap(lambda n: st.tuples(*(st.lists(st.binary(max_size=8), min_size=k * n, max_size=k * n) for k in (1, 3)))))
def test_golden_samples_come_back(tmp_path_factory: pytest.TempPathFactory, lists: tuple[list[bytes], list[bytes]]) -> None:
    path = tmp_path_factory.getbasetemp() / "golden.npz"
    given_, words = lists
    count = len(given_)
    x = np.arange(2 * count, dtype=np.float32).reshape(count, 2)
    golden.write(path, Golden({"wav/data": strings(given_), "x": x}, {"words": strings(words, count, 3)}))
    found = golden.read(path, SIGNATURE)
    assert found.inputs["wav/data"].tolist() == given_
    assert found.outputs["words"].tolist() == strings(words, count, 3).tolist()
    np.testing.assert_array_equal(found.inputs["x"], x)
    with np.load(path, allow_pickle=False) as file:
        assert all(file[name].dtype != object for name in file.files)


@pytest.mark.parametrize(
    ("ends", "flat"),
    [
        (np.array([3, 2]), np.zeros(4, np.uint8)),
        (np.array([2, 9]), np.zeros(4, np.uint8)),
        (np.array([-1, 2]), np.zeros(4, np.uint8)),
        (np.array([1.0, 2.0]), np.zeros(4, np.uint8)),
        (np.array([1, 2]), np.zeros(4, np.float32)),
        (np.array([1, 2]), np.zeros((2, 2), np.uint8)),
        (np.array([2**62, -(2**62)]), np.zeros(4, np.uint8)),
    ],
)
def test_wrong_ends_are_refused(tmp_path: Path, ends: Array, flat: Array) -> None:
    signature = Signature(SIGNATURE.inputs[:1], ())
    np.savez(tmp_path / "golden.npz", **{"in.wav/data": flat, "ends.in.wav/data": ends})
    with pytest.raises(BundleError, match=r"golden\.npz holds no golden samples"):
        golden.read(tmp_path / "golden.npz", signature)


def test_ends_that_are_missing_and_pickles(tmp_path: Path) -> None:
    signature = Signature(SIGNATURE.inputs[:1], ())
    for arrays in ({"in.wav/data": np.zeros(4, np.uint8)}, {"in.wav/data": strings([b"a"]), "ends.in.wav/data": np.array([1])}):
        np.savez(tmp_path / "golden.npz", **arrays)
        with pytest.raises(BundleError, match="no golden samples"):
            golden.read(tmp_path / "golden.npz", signature)

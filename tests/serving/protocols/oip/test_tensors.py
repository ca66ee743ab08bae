"""Tensors survive their JSON and their binary form; what is not a tensor is refused in one sentence."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from roadworthy.core.errors import InvalidRequest
from roadworthy.serving.protocols.oip import tensors

DTYPES = st.sampled_from([np.dtype(name) for name in tensors.DTYPES.values()])
SHAPES = arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)
FINITE = DTYPES.flatmap(lambda dtype: arrays.arrays(dtype, SHAPES, elements=_finite(dtype)))


def _finite(dtype: np.dtype[Any]) -> st.SearchStrategy[Any] | None:
    return arrays.from_dtype(dtype, allow_nan=False, allow_infinity=False) if dtype.kind == "f" else None


@given(FINITE, st.booleans())
def test_json_and_back(array: np.ndarray, nested: bool) -> None:
    if array.dtype == np.float16:
        with pytest.raises(InvalidRequest, match="FP16, which has no JSON form"):
            tensors.to_json("x", array)
        return
    written = orjson.loads(orjson.dumps(tensors.to_json("x", array), option=orjson.OPT_SERIALIZE_NUMPY))
    data = array.tolist() if nested and array.ndim else written
    datatype = tensors.datatype_of("x", array)
    again = tensors.from_json("x", datatype, array.shape, data)
    assert again.dtype == array.dtype and np.array_equal(again, array)


@given(DTYPES.flatmap(lambda dtype: arrays.arrays(dtype, SHAPES)), st.integers(0, 7))
def test_binary_and_back_wherever_it_lies_in_the_body(array: np.ndarray, offset: int) -> None:
    data = memoryview(bytes(offset) + tensors.to_binary(array))[offset:]
    again = tensors.from_binary("x", tensors.datatype_of("x", array), array.shape, data)
    assert again.dtype == array.dtype and again.tobytes() == np.ascontiguousarray(array).tobytes()
    assert again.flags.aligned and again.flags.c_contiguous


def test_what_lies_aligned_in_the_body_is_used_where_it_lies() -> None:
    body = np.arange(100, dtype=np.float32).tobytes()
    where = np.frombuffer(body, np.uint8)
    aligned = tensors.from_binary("x", "FP32", (2, 4), memoryview(body)[4:36])
    assert np.shares_memory(aligned, where) and not aligned.flags.writeable
    assert not np.shares_memory(tensors.from_binary("x", "FP32", (2, 4), memoryview(body)[5:37]), where)
    output = np.ones((2, 3), np.float32)
    assert np.shares_memory(np.frombuffer(tensors.to_binary(output), np.uint8), output)


@pytest.mark.parametrize("data", [[1.5, True], [0.5, None], ["a", 1.0], [1, 2.0, False]])
def test_one_foreign_value_among_many_is_found(data: list[object]) -> None:
    with pytest.raises(InvalidRequest, match="its data holds"):
        tensors.from_json("x", "FP64", (100 + len(data),), [0.5] * 100 + data)


def test_a_strided_output_is_written_row_major() -> None:
    array = np.arange(12, dtype=np.int32).reshape(3, 4).T[::-1]
    assert tensors.to_binary(array) == np.ascontiguousarray(array).tobytes()
    assert list(tensors.to_json("x", array)) == array.ravel().tolist()


def test_big_endian_arrays_go_little_endian() -> None:
    assert tensors.to_binary(np.array([1], ">i4")) == b"\1\0\0\0"


def test_numbers_that_json_lacks_become_null() -> None:
    data = orjson.dumps(tensors.to_json("x", np.array([np.nan, np.inf, 1], np.float32)), option=orjson.OPT_SERIALIZE_NUMPY)
    assert json.loads(data) == [None, None, 1.0]


@given(st.lists(st.binary(max_size=9), max_size=5))
def test_bytes_elements(elements: list[bytes]) -> None:
    data = b"".join(len(element).to_bytes(4, "little") + element for element in elements)
    assert tensors.split_bytes("x", len(elements), memoryview(data)) == tuple(elements)


@given(st.binary(max_size=40), st.integers(0, 4))
def test_bytes_elements_cut_otherwise(data: bytes, count: int) -> None:
    try:
        elements = tensors.split_bytes("x", count, memoryview(data))
    except InvalidRequest:
        return
    assert len(elements) == count and sum(map(len, elements)) + 4 * count == len(data)


def test_texts_in_both_forms() -> None:
    labels = np.array([["a", "grün"]], dtype=object)
    assert tensors.to_json("label", labels) == ["a", "grün"]
    assert tensors.to_binary(labels) == b"\1\0\0\0a\5\0\0\0gr\xc3\xbcn"


@pytest.mark.parametrize(
    ("datatype", "shape", "data", "says"),
    [
        ("FP32", [2], [1.0], "2 elements; its data has 1"),
        ("FP32", [2, 2], [[1, 2], [3]], "nested in another way"),
        ("FP32", [2, 2], [[1, 2], 3], "nested in another way"),
        ("FP32", [2, 2], [1, 2, [3], 4], "nested lists"),
        ("FP32", [3], [[1, 2, 3]], "nested in another way"),
        ("FP32", [], [[1]], "nested in another way"),
        ("FP32", [1], ["1"], "is FP32, but its data holds text"),
        ("FP32", [1], [None], "null"),
        ("FP32", [1], [True], "booleans"),
        ("FP32", [1], [1e300], "outside float32"),
        ("FP32", [2, 1], [[0.5], [16777217]], r"16777217 at \[1, 0\], which float32 has only rounded"),
        ("FP64", [1], [2**53 + 1], "float64 has only rounded"),
        ("INT32", [2], [1, 2**32 + 3], r"4294967299 at \[1\], which is outside int32"),
        ("FP32", [1], {"a": 1}, "needs data: a list"),
        ("FP32", [1], None, "needs data: a list"),
        ("INT64", [1], [1.5], "fractions"),
        ("INT64", [1], [2**63], "outside int64"),
        ("UINT8", [1], [256], "outside uint8"),
        ("UINT8", [1], [-1], "outside uint8"),
        ("BOOL", [1], [1], "whole numbers"),
        ("FP16", [1], [1.0], "no JSON form"),
        ("BF16", [1], [1.0], "datatype 'BF16'"),
        ("float32", [1], [1.0], "known datatypes"),
        (None, [1], [1.0], "datatype None"),
        (["FP32"], [1], [1.0], "known datatypes"),
    ],
)
def test_json_that_is_no_tensor(datatype: object, shape: list[int], data: object, says: str) -> None:
    with pytest.raises(InvalidRequest, match=says):
        tensors.from_json("x", datatype, tuple(shape), data)


@pytest.mark.parametrize("shape", [None, 3, "3", [-1], [1.0], [True], [2**63], [1] * 33, [[1]]])
def test_shapes_that_are_none(shape: object) -> None:
    with pytest.raises(InvalidRequest, match="needs a shape"):
        tensors.shape_of("x", shape)


@pytest.mark.parametrize(
    ("datatype", "shape", "data", "says"),
    [
        ("FP32", (2,), bytes(7), "8 bytes; 7 came"),
        ("FP32", (2**40, 2**40), b"", "bytes; 0 came"),
        ("BOOL", (1,), b"\2", "other than 0 and 1"),
        ("BF16", (1,), bytes(2), "datatype 'BF16'"),
    ],
)
def test_bytes_that_are_no_tensor(datatype: str, shape: tuple[int, ...], data: bytes, says: str) -> None:
    with pytest.raises(InvalidRequest, match=says):
        tensors.from_binary("x", datatype, shape, memoryview(data))

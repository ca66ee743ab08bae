"""A value that changes its dtype stays the same number, or is refused by name, value, position and range."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadworthy.core.errors import InvalidRequest
from roadworthy.core.exact import as_array, cast_exactly, pack_exactly

WHOLE = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64")
FRACTIONS = ("float16", "float32", "float64")


@pytest.mark.parametrize(
    ("array", "dtype", "says"),
    [
        (np.array([[0, 1, 2**32 + 3]]), "int32", r"'ids' holds 4294967299 at \[0, 2\].* outside int32 \(-2147483648 to 2147483647\)"),
        (np.array([2**32 + 3]), "int8", r"4294967299 at \[0\].* int8 \(-128 to 127\)"),
        (np.array([7, 200], np.uint8), "int8", r"holds 200 at \[1\]"),
        (np.array([-1]), "uint64", r"holds -1 at \[0\].* \(0 to 18446744073709551615\)"),
        (np.array([2**63], np.uint64), "int64", "holds 9223372036854775808"),
        (np.array([0, 1, 2]), "bool", r"holds 2 at \[2\].* bool \(0 to 1\)"),
        (np.array(300), "uint8", "holds 300, which"),
        (np.array([1.0, 1e300]), "float32", r"holds 1e\+300 at \[1\].* float32 \(-3.4028235e\+38 to 3.4028235e\+38\)"),
        (np.array([70000.0], np.float32), "float16", r"float16 \(-65504 to 65504\)"),
        (np.array([70000]), "float16", r"70000 at \[0\].* outside float16"),
        (np.array([65536]), "float16", "outside float16"),
        (np.array([2**24, 2**24 + 1]), "float32", r"16777217 at \[1\], which float32 has only rounded, as 16777216"),
        (np.array([-(2**24) - 1]), "float32", "holds -16777217"),
        (np.array([2**53 + 1]), "float64", "9007199254740993"),
        (np.array([2**64 - 1], np.uint64), "float64", "18446744073709551615"),
        (np.array([2**63 - 1]), "float32", "9223372036854775807"),
        (np.array([1.5]), "int64", "dtype float64 and the model takes int64; fractions are not cut"),
        (np.array([2.0]), "int64", "fractions are not cut"),
        (np.array([np.nan]), "int32", "fractions are not cut"),
        (np.array([np.inf]), "bool", "fractions are not cut"),
        (np.array([1j]), "float32", "dtype complex128"),
        (np.array(["1"]), "float32", "dtype <U1"),
        (np.array([b"1"]), "int8", "dtype [|]S1"),
        (np.array(["2026-01-01"], "M8[D]"), "int64", "dtype datetime64"),
        (np.array([5], "m8[s]"), "int64", "dtype timedelta64"),
        (np.array([None]), "float32", "dtype object"),
        (np.array([1, 2**70]), "int64", r"holds 1180591620717411303424 at \[1\]"),
        (np.array([10**5000]), "int64", r"holds a whole number of 16610 bits at \[0\]"),
    ],
)  # fmt: skip
def test_what_would_be_another_number_is_refused(array: np.ndarray, dtype: str, says: str) -> None:
    with pytest.raises(InvalidRequest, match=says):
        cast_exactly("ids", array, dtype)


@pytest.mark.parametrize(
    ("array", "dtype"),
    [
        (np.array([-(2**31), 2**31 - 1]), "int32"),
        (np.array([2**24, 2**25, -(2**40), 0]), "float32"),
        (np.array([-(2**63)]), "float32"),
        (np.array([2**63], np.uint64), "float64"),
        (np.array([65504]), "float16"),
        (np.array([0, 1]), "bool"),
        (np.array([True, False]), "uint8"),
        (np.array([True, False]), "float16"),
        (np.array([3, 4], ">i4"), "int32"),
        (np.array([0.1, np.nan, np.inf, -np.inf, 1e-300]), "float32"),
        (np.array([], np.int64), "int8"),
    ],
)
def test_what_stays_the_same_number_is_cast(array: np.ndarray, dtype: str) -> None:
    cast = cast_exactly("x", array, dtype)
    assert cast.dtype == dtype and cast.dtype.isnative
    assert np.allclose(cast.astype(np.float64), array.astype(np.float64), equal_nan=True)


@given(st.sampled_from(WHOLE), st.sampled_from((*WHOLE, *FRACTIONS)), st.data())
def test_a_whole_number_is_itself_or_refused(one: str, other: str, data: Any) -> None:
    bounds = np.iinfo(one)
    value = data.draw(st.integers(int(bounds.min), int(bounds.max)))
    held = np.dtype(other).type
    with np.errstate(all="ignore"):
        rounded = held(value) if other in FRACTIONS else None
    if rounded is None:
        same = np.iinfo(other).min <= value <= np.iinfo(other).max
    else:
        same = bool(np.isfinite(rounded)) and Fraction(float(rounded)) == value
    for cast in (lambda: cast_exactly("x", np.array([value], one), other), lambda: pack_exactly("x", [value], other, (1,))):
        if same:
            assert int(cast()[0]) == value
        else:
            with pytest.raises(InvalidRequest, match=f"holds {value} at"):
                cast()


def test_the_same_dtype_is_no_copy_and_another_is_one_laid_out_in_order() -> None:
    strided = np.arange(6).reshape(2, 3).T
    assert cast_exactly("x", strided, "int64") is strided
    assert cast_exactly("x", strided, "int32").flags.c_contiguous


@pytest.mark.parametrize(
    ("flat", "dtype", "says"),
    [
        ([0, 2**32 + 3], "int32", r"4294967299 at \[1, 0\]"),
        ([0.0, 2**24 + 1], "float32", r"16777217 at \[1, 0\], which float32 has only rounded"),
        ([2**53 + 1, 0.5], "float64", "9007199254740993"),
        ([1e39, 0], "float32", r"1e\+39 at \[0, 0\], which is outside float32"),
        ([0, 10**400], "float64", r"a whole number of 1329 bits at \[1, 0\], which is outside float64"),
    ],
)
def test_python_s_own_numbers_follow_the_same_rule(flat: list[Any], dtype: str, says: str) -> None:
    with pytest.raises(InvalidRequest, match=says):
        pack_exactly("x", flat, dtype, (2, 1))


def test_python_s_own_numbers_that_fit() -> None:
    found = pack_exactly("x", [2**24 + 2, 1e10, float("nan"), float("inf")], "float32", (2, 2))
    assert found.shape == (2, 2) and np.array_equal(found.ravel(), np.array([2**24 + 2, 1e10, np.nan, np.inf], np.float32), equal_nan=True)


def test_what_is_no_array_is_said() -> None:
    with pytest.raises(InvalidRequest, match="'x' is not an array"):
        as_array("x", [[1, 2], [3]])
    masked = np.ma.MaskedArray([1.0, -999.0], [False, True])
    with pytest.raises(InvalidRequest, match="masked values"):
        as_array("x", masked)
    assert as_array("x", np.ma.MaskedArray([1.0, 2.0])).tolist() == [1.0, 2.0]

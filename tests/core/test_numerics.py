"""One rule for how far an output is from another: what is not a number counts by its place, and the scale is the output's own."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from roadworthy.core.numerics import output_error, scale_of

NAN, INF = np.nan, np.inf
ANY = arrays(np.float32, array_shapes(max_dims=3, max_side=5), elements=st.floats(width=32))


@pytest.mark.parametrize(
    ("got", "want", "error"),
    [
        ([1.0, 2.0], [1.0, 4.0], 0.5),
        ([NAN, 1.0], [NAN, 1.0], 0.0),
        ([-INF, 1.0], [-INF, 1.0], 0.0),
        ([INF, 1.0], [-INF, 1.0], INF),
        ([0.0, 1.0], [-INF, 1.0], INF),
        ([NAN, 1.0], [0.0, 1.0], INF),
        ([0.0, 1.0], [NAN, 1.0], INF),
        ([1e-9, 0.0], [0.0, 0.0], 1e-9),
    ],
)
def test_floats(got: list[float], want: list[float], error: float) -> None:
    wanted = np.array(want)
    assert output_error(np.array(got), wanted, scale_of(wanted)) == pytest.approx(error)


def test_whole_numbers_beyond_float64_still_differ() -> None:
    large = np.array([2**62], np.int64)
    assert output_error(large, large + 1, scale_of(large)) > 0
    assert output_error(large, large, scale_of(large)) == 0


def test_byte_strings_are_equal_or_not() -> None:
    strings = np.array([b"a", b"b"], object)
    assert output_error(strings, strings.copy(), 1.0) == 0
    assert output_error(strings, strings[::-1].copy(), 1.0) == INF


def test_other_shapes_are_infinitely_far() -> None:
    assert output_error(np.zeros((1, 2)), np.zeros((2, 1)), 1.0) == INF


@given(ANY)
def test_an_output_is_no_distance_from_itself(array: np.ndarray) -> None:
    assert output_error(array, array.copy(), scale_of(array)) == 0
    assert np.isfinite(scale_of(array)) and scale_of(array) > 0


@given(ANY, st.data())
def test_a_number_in_place_of_one_that_is_not_finite_is_never_overlooked(array: np.ndarray, data: st.DataObject) -> None:
    place = tuple(data.draw(st.integers(0, size - 1)) for size in array.shape)
    changed = array.copy()
    changed[place] = 0.0 if not np.isfinite(array[place]) else NAN
    assert output_error(changed, array, scale_of(array)) == INF
    assert output_error(array, changed, scale_of(array)) == INF

"""One rule for how far an output is from another: what is not a number counts by its place, and the scale is the output's own."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from roadworthy.core.numerics import differences, output_error, sample_errors, scale_of, sigmoid, softmax
from roadworthy.core.types import Quantization

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


def test_a_quantised_output_is_compared_by_what_it_stands_for() -> None:
    """A zero point far from zero must not make the scale larger, nor the error smaller."""
    half = Quantization(0.5, 200)
    want, got = np.array([200, 204], np.uint8), np.array([200, 205], np.uint8)
    assert scale_of(want, half) == 2.0
    assert output_error(got, want, quantization=half) == 0.25
    assert sample_errors(got, want, 2.0, half).tolist() == [0.0, 0.25]


def test_whole_numbers_that_are_no_quantities_have_no_scale() -> None:
    """The 1,000,001st class is not nearly the millionth."""
    assert scale_of(np.array([10**6])) == 1.0
    assert output_error(np.array([10**6 + 1]), np.array([10**6])) == 1.0
    assert output_error(np.array([True]), np.array([False])) == 1.0


def test_complex_numbers_have_a_scale() -> None:
    want = np.array([3 + 4j, 1])
    assert scale_of(want) == 5.0
    assert output_error(want + np.array([0, 1j]), want) == pytest.approx(0.2)


@given(ANY, st.data())
def test_the_output_error_is_the_largest_of_its_samples(array: np.ndarray, data: st.DataObject) -> None:
    other = data.draw(arrays(np.float32, array.shape, elements=st.floats(width=32)))
    scale = scale_of(array)
    errors = sample_errors(other, array, scale)
    assert errors.shape == (len(array),)
    assert output_error(other, array) == errors.max()
    assert differences(other, array).shape == array.shape


def test_softmax_and_sigmoid_do_not_overflow() -> None:
    assert softmax(np.array([[1e4, 0.0], [0.0, 0.0]])).tolist() == [[1.0, 0.0], [0.5, 0.5]]
    assert sigmoid(np.array([-1e4, 0.0, 1e4])).tolist() == [0.0, 0.5, 1.0]

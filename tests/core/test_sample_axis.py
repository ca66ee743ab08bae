"""The axis that counts the samples: what a tensor's spec and a signature say of it, and sessions that keep to it."""

from __future__ import annotations

import numpy as np
import pytest

from roadworthy.core import codec
from roadworthy.core.errors import BundleError
from roadworthy.core.types import BATCH, Signature, TensorSpec
from roadworthy.runtimes import CheckedSession
from support.models.sample_axis import FEATURES, GAIN, SIGNATURE, TIME, TOTAL, WITH_GAIN, TimeFirst, X, Y, answers, rows


def test_a_spec_says_what_counts_the_samples_and_what_is_open() -> None:
    spec = TensorSpec("x", "float32", ("time", BATCH, 3), sample_axis=1)
    assert (spec.samples, spec.batched, spec.sample_shape) == (BATCH, True, ("time", 3))
    assert spec.symbols == {0: "time", 1: BATCH}
    assert spec.open_sizes == ("time",)
    assert (GAIN.samples, GAIN.batched, GAIN.sample_shape) == (None, False, (1,))
    assert TensorSpec("single", "float32", ()).samples is None
    assert spec.fixed(5).samples == 5


def test_a_spec_without_a_word_on_it_has_its_samples_first() -> None:
    """As every bundle of FORMAT 1 does, whose JSON says nothing of an axis."""
    old = b'{"name": "x", "dtype": "float32", "shape": ["batch", 3], "quantization": null}'
    spec = codec.from_json(TensorSpec, old)
    assert spec == TensorSpec("x", "float32", (BATCH, 3), sample_axis=0)
    for known in (X, GAIN, spec):
        assert codec.from_json(TensorSpec, codec.to_json(known)) == known


@pytest.mark.parametrize("axis", [-1, 2])
def test_an_axis_that_the_shape_does_not_have_is_refused(axis: int) -> None:
    with pytest.raises(ValueError, match=f"no axis {axis} to count samples"):
        TensorSpec("x", "float32", (BATCH, 3), sample_axis=axis)
    with pytest.raises(BundleError, match="no axis"):
        text = b'{"name": "x", "dtype": "float32", "shape": [2, 3], "sample_axis": %d}' % axis
        codec.from_json(TensorSpec, text, error=BundleError, what="manifest.json")


def test_rows_become_calls_and_calls_rows() -> None:
    samples = rows(5)
    call = X.to_call(samples)
    assert call.shape == (TIME, 5, FEATURES)
    assert X.count(call) == 5
    np.testing.assert_array_equal(X.to_rows(call, 5), samples)
    np.testing.assert_array_equal(X.take(call, slice(1, 3)), X.to_call(samples[1:3]))
    np.testing.assert_array_equal(X.take(call, np.array([4, 0])), X.to_call(samples[[4, 0]]))
    np.testing.assert_array_equal(X.joined([X.take(call, slice(2)), X.take(call, slice(2, None))]), call)
    np.testing.assert_array_equal(X.with_sample_axis(samples[0]), X.to_call(samples[:1]))
    assert X.shape_of_one(call) == (TIME, FEATURES)


def test_what_holds_for_the_whole_call_is_neither_cut_nor_joined() -> None:
    gain = np.array([2], np.float32)
    assert GAIN.count(gain) is None
    assert GAIN.take(gain, slice(1, 2)) is gain
    assert GAIN.joined([gain, gain]) is gain
    assert GAIN.with_sample_axis(gain) is gain
    assert GAIN.to_call(np.stack([gain] * 3)).tolist() == [2]
    assert GAIN.to_rows(gain, 3).tolist() == [[2], [2], [2]]
    assert TOTAL.to_rows(np.float32(7), 2).tolist() == [7, 7]


def test_a_signature_counts_the_samples_of_a_call() -> None:
    feeds = WITH_GAIN.to_call({"x": rows(5), "gain": np.ones((5, 1), np.float32)})
    assert {name: array.shape for name, array in feeds.items()} == {"x": (TIME, 5, FEATURES), "gain": (1,)}
    assert WITH_GAIN.count(feeds) == 5
    assert WITH_GAIN.dynamic and not WITH_GAIN.batched
    assert SIGNATURE.batched
    assert SIGNATURE.fixed(4).call_size(9) == 4
    outputs = {"y": answers(rows(5)).T, "total": np.float32(1)}
    np.testing.assert_array_equal(WITH_GAIN.to_rows(outputs, 5)["y"], answers(rows(5)))
    with pytest.raises(ValueError, match=r"output 'y' has shape \[3, 5\] for 4 samples: its axis 1 must count the samples"):
        WITH_GAIN.to_rows(outputs, 4)


def test_a_session_cuts_and_fills_calls_along_the_axis() -> None:
    limited, fixed = TimeFirst(), TimeFirst()
    feeds = SIGNATURE.to_call({"x": rows(5)})
    session = CheckedSession(limited, Signature((X,), (Y,), max_batch=2), None)
    np.testing.assert_allclose(session.run(feeds)["y"], answers(rows(5)).T, rtol=1e-6)
    assert limited.sizes == [2, 2, 1]
    session = CheckedSession(fixed, SIGNATURE, 4)
    np.testing.assert_allclose(session.run(feeds)["y"], answers(rows(5)).T, rtol=1e-6)
    assert fixed.sizes == [4, 4]

"""Outputs become ranked answers, and what is no set of classes becomes none."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from roadworthy.core.contract import Answer
from roadworthy.preprocess.answer import Ranked, read_out, scores


def test_the_best_classes_come_first_with_their_names() -> None:
    logits = np.log(np.array([[0.1, 0.7, 0.2], [0.5, 0.3, 0.2]], np.float32))
    first, second = read_out(Answer(top_k=2, labels=("ant", "bee")), {"logits": logits, "other": np.zeros(3)})
    assert [(one.index, one.label, round(one.score, 6)) for one in first] == [(1, "bee", 0.7), (2, "2", 0.2)]
    assert [one.label for one in second] == ["ant", "bee"]
    assert type(first[0].index) is int and type(first[0].score) is float


def test_activations() -> None:
    values = np.array([[-1000.0, 0.0, 1000.0]], np.float32)
    np.testing.assert_allclose(scores(Answer("softmax"), {"y": values}), [[0, 0, 1]])
    np.testing.assert_allclose(scores(Answer("sigmoid"), {"y": values}), [[0, 0.5, 1]])
    np.testing.assert_allclose(scores(Answer("none"), {"y": values}), values)


def test_equal_scores_keep_the_order_of_classes() -> None:
    (ranked,) = read_out(Answer("none", top_k=5), {"y": np.array([[2, 3, 3, 1]], np.int64)})
    assert [one.index for one in ranked] == [1, 2, 0, 3]


@pytest.mark.parametrize("shape", [(2,), (2, 3, 4), (2, 0), (2, 1)])
def test_outputs_without_classes_rank_nothing(shape: tuple[int, ...]) -> None:
    assert read_out(Answer(), {"y": np.zeros(shape, np.float32)}) == ((), ())


def test_scalars_strings_and_nothing() -> None:
    assert read_out(Answer(), {"y": np.zeros((), np.float32)}) == ()
    assert read_out(Answer(), {}) == ()
    assert read_out(Answer(), {"y": np.array([["a", "b"]])}) == ((),)
    assert read_out(Answer(), {"y": np.zeros((0, 4), np.float32)}) == ()


def test_one_column_is_a_probability_by_sigmoid() -> None:
    assert read_out(Answer("sigmoid"), {"y": np.zeros((1, 1), np.float32)}) == ((Ranked(0, "0", 0.5),),)


def test_non_finite_outputs_stay_visible_and_warn_nobody() -> None:
    (ranked,) = read_out(Answer(), {"y": np.array([[np.nan, 1.0]], np.float32)})
    assert all(np.isnan(one.score) for one in ranked)


@given(arrays(np.float32, st.tuples(st.integers(1, 4), st.integers(2, 9)), elements=st.floats(-(2.0**100), 2.0**100, width=32)))
def test_softmax_is_a_distribution_in_the_order_of_the_logits(values: np.ndarray) -> None:
    for row, ranked in zip(values, read_out(Answer(top_k=99), {"y": values}), strict=True):
        assert sum(one.score for one in ranked) == pytest.approx(1)
        assert all(0 <= one.score <= 1 for one in ranked)
        assert [one.score for one in ranked] == sorted((one.score for one in ranked), reverse=True)
        assert row[ranked[0].index] == pytest.approx(row.max(), rel=1e-6)

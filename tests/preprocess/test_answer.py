"""Outputs become ranked answers, and what is no set of classes becomes none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from roadworthy.core.types import Quantization, TensorSpec
from roadworthy.preprocess.answer import ranks, read_out, scores, with_activation
from roadworthy.preprocess.contract import Activation, Answer


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


TWO = ("cat", "dog")


@pytest.mark.parametrize("shape", [(3, 1), (3,)])
@pytest.mark.parametrize(("activation", "numbers"), [("applied", [0.02, 0.998, 0.5]), ("sigmoid", [-4.0, 6.0, 0.0])])
def test_one_number_and_two_names_rank_both_classes(shape: tuple[int, ...], activation: Activation, numbers: list[float]) -> None:
    low, high, even = read_out(Answer(activation, labels=TWO), {"y": np.array(numbers, np.float32).reshape(shape)})
    assert [one.label for one in low] == ["cat", "dog"] and [one.label for one in high] == ["dog", "cat"]
    assert [one.score for one in high] == pytest.approx([0.998, 0.002], abs=1e-3)
    assert [(one.label, one.score) for one in even] == [("cat", 0.5), ("dog", 0.5)]


@pytest.mark.parametrize("activation", ["auto", "none", "softmax", "applied", "sigmoid"])
@pytest.mark.parametrize("labels", [(), ("dog",), ("cat", "dog", "bird"), TWO])
def test_one_number_ranks_nothing_unless_it_tells_two_named_classes_apart(activation: Activation, labels: tuple[str, ...]) -> None:
    ranked = labels == TWO and activation in ("applied", "sigmoid")
    answer = Answer(activation, labels=labels)
    for shape, spec in (((2, 1), ("batch", 1)), ((2,), ("batch",)), ((1, 1), (1, 1)), ((1,), (1,))):
        found = read_out(answer, {"y": np.full(shape, 0.9, np.float32)})
        assert all(map(bool, found)) == ranked and len(found) == shape[0]
        assert ranks(answer, TensorSpec("y", "float32", spec)) == ranked


@pytest.mark.parametrize(
    ("dtype", "shape", "expected"),
    [
        ("float32", ("batch", 3), True),
        ("int64", ("batch", 3), True),
        ("float32", ("batch", "n"), True),
        ("float32", (5,), False),
        ("int64", ("batch",), False),
        ("int64", ("batch", 1), False),
        ("bool", ("batch", 3), False),
        ("object", ("batch", 3), False),
        ("float32", ("batch", 3, 3), False),
    ],
)
def test_which_outputs_rank(dtype: str, shape: tuple[int | str, ...], expected: bool) -> None:
    assert ranks(Answer("applied", labels=TWO), TensorSpec("y", dtype, shape)) == expected


def test_whole_numbers_of_one_column_rank_only_where_they_stand_for_others() -> None:
    raw, quantization = np.array([[230], [20]], np.uint8), Quantization(1 / 256, 0)
    answer = with_activation(Answer(labels=TWO), {"y": raw}, quantization)
    assert answer.activation == "applied"
    assert [row[0].label for row in read_out(answer, {"y": raw}, quantization)] == ["dog", "cat"]
    assert ranks(answer, TensorSpec("y", "uint8", ("batch", 1), quantization))
    assert read_out(answer, {"y": raw}) == ((), ())
    logits = Quantization(0.1, 128)
    answer = with_activation(Answer(labels=TWO), {"y": raw}, logits)
    assert answer.activation == "sigmoid"
    assert [row[0].label for row in read_out(answer, {"y": raw}, logits)] == ["dog", "cat"]


@pytest.mark.parametrize("shape", [(4, 1), (4,)])
def test_what_auto_becomes_for_one_number(shape: tuple[int, ...]) -> None:
    def found(numbers: list[float], **answer: Any) -> str:
        return with_activation(
            Answer(labels=answer.pop("labels", TWO)), {"y": np.array(numbers, np.float32).reshape(shape)}, **answer
        ).activation

    assert found([0.1, 0.9, 1.0, 0.0]) == "applied"
    assert found([0.1, 0.9, 1.01, 0.0]) == found([0.1, -0.9, 0.2, 0.0]) == found([0.1, np.inf, 0.2, 0.0]) == "sigmoid"
    assert found([0.1, 0.9, np.nan, 0.0]) == "applied", "one answer that is no number turns probabilities into logits"
    assert found([0.1, 0.9, 1.0, 0.0], labels=()) == found([3.0, -2.0, 0.0, 1.0], labels=("a", "b", "c")) == "none"
    assert found([3.0, -2.0, 0.0, 1.0], labels=(), two=True) == "sigmoid"


def test_non_finite_outputs_stay_visible_without_a_warning() -> None:
    (ranked,) = read_out(Answer(), {"y": np.array([[np.nan, 1.0]], np.float32)})
    assert all(np.isnan(one.score) for one in ranked)


@given(arrays(np.float32, st.tuples(st.integers(1, 4), st.integers(2, 9)), elements=st.floats(-(2.0**100), 2.0**100, width=32)))
def test_softmax_is_a_distribution_in_the_order_of_the_logits(values: np.ndarray) -> None:
    for row, ranked in zip(values, read_out(Answer(top_k=99), {"y": values}), strict=True):
        assert sum(one.score for one in ranked) == pytest.approx(1)
        assert all(0 <= one.score <= 1 for one in ranked)
        assert [one.score for one in ranked] == sorted((one.score for one in ranked), reverse=True)
        assert row[ranked[0].index] == pytest.approx(row.max(), rel=1e-6)


SHARES = np.array([[0.1, 0.7, 0.2], [0.5, 0.3, 0.2]], np.float32)


def test_a_second_softmax_is_not_applied_to_probabilities() -> None:
    answer = with_activation(Answer(), {"y": SHARES})
    assert answer.activation == "applied"
    assert [one.score for one in read_out(answer, {"y": SHARES})[0]] == pytest.approx([0.7, 0.2, 0.1])


@pytest.mark.parametrize(
    ("values", "activation"),
    [
        (SHARES, "applied"),
        (SHARES > 0.4, "softmax"),
        (np.array([[0.9, 0.8], [0.1, 0.0]]), "applied"),
        (SHARES - 0.11, "softmax"),
        (SHARES * 9, "softmax"),
        (np.array([[np.nan, 0.2]]), "softmax"),
        (np.zeros((0, 3)), "softmax"),
        (np.zeros((2, 3, 3)), "softmax"),
        (np.array(["a"]), "softmax"),
    ],
)
def test_what_auto_becomes(values: np.ndarray, activation: str) -> None:
    assert with_activation(Answer(), {"y": values}).activation == activation
    assert with_activation(Answer("sigmoid"), {"y": values}).activation == "sigmoid", "what a person said is changed"


def test_a_quantised_output_is_read_as_what_it_stands_for() -> None:
    """uint8 with scale 1/256, as TFLite writes every softmax: a softmax over the raw numbers would be certain of anything."""
    raw, quantization = np.array([[230, 20, 6]], np.uint8), Quantization(1 / 256, 0)
    answer = with_activation(Answer(), {"y": raw}, quantization)
    assert answer.activation == "applied"
    assert scores(answer, {"y": raw}, quantization) == pytest.approx(np.array([[230, 20, 6]]) / 256)
    signed = np.array([[102, -108, -122]], np.int8)
    assert scores(answer, {"y": signed}, Quantization(1 / 256, -128)) == pytest.approx(np.array([[230, 20, 6]]) / 256)


def test_a_softmax_over_quantised_logits_is_over_what_they_stand_for() -> None:
    raw, quantization = np.array([[200, 100]], np.uint8), Quantization(0.02, 128)
    assert with_activation(Answer(), {"y": raw}, quantization).activation == "softmax"
    np.testing.assert_allclose(scores(Answer("softmax"), {"y": raw}, quantization), [[1 / (1 + np.exp(-2)), 1 / (1 + np.exp(2))]])

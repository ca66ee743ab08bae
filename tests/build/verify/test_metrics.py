"""Scores with known answers, and clear sentences for what cannot be scored."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from roadworthy.build.verify import metrics
from roadworthy.core.errors import DataError, UsageError
from roadworthy.core.types import Array
from roadworthy.preprocess.contract import Activation

LOGITS = np.array([[0.1, 0.9, 0.0, 0, 0, 0, 0], [0.5, 0.4, 0.3, 0.2, 0.1, 0.05, 0.0], [0, 0, 0, 0, 0, 0, 1.0]])


def score(name: str, mine: Array, truth: Array, labels: list[int] | None = None) -> list[float]:
    return list(metrics.find(name).score({"y": mine}, {"y": truth}, None if labels is None else np.array(labels), {"y": 1.0}))


def test_top_classes() -> None:
    assert score("top1", LOGITS, LOGITS, [1, 1, 6]) == [1, 0, 1]
    assert score("top5", LOGITS, LOGITS, [1, 4, 5]) == [1, 1, 0]
    assert score("top5", LOGITS, LOGITS, [1, 5, 6]) == [1, 0, 1]


def test_a_model_that_answers_the_same_for_every_class_earns_nothing_by_it() -> None:
    assert score("top5", np.zeros((3, 7)), LOGITS, [6, 6, 0]) == [0, 0, 1]


def test_agreement_and_error_need_no_labels() -> None:
    mine = LOGITS.copy()
    mine[0] = mine[0, ::-1]
    assert score("agreement", mine, LOGITS) == [0, 1, 1]
    off = LOGITS * 1.05
    assert score("error", off, LOGITS) == pytest.approx([0.05, 0.05, 0.05])
    assert metrics.find("error").relative


def test_an_original_of_zeros_does_not_divide() -> None:
    assert np.all(np.isfinite(score("error", LOGITS, np.zeros_like(LOGITS))))


def test_a_label_that_the_model_does_not_have_is_named() -> None:
    with pytest.raises(DataError, match="label is 7, but the model has 7 classes"):
        score("top1", LOGITS, LOGITS, [1, 7, 2])


def test_an_output_without_classes_has_no_top_class() -> None:
    with pytest.raises(UsageError, match="--metric error"):
        score("agreement", np.zeros((3, 1)), np.zeros((3, 1)))


def test_a_metric_of_the_user(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("def margin(outputs, labels):\n    (y,) = outputs.values()\n    return y.max(axis=1)\n")
    assert score(f"{file}:margin", LOGITS, LOGITS) == [0.9, 0.5, 1.0]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("return outputs['nowhere']", "raised KeyError"),
        ("return 1.0", "one score a sample"),
        ("return [float('nan')] * 3", "not finite"),
    ],
)
def test_a_metric_of_the_user_that_does_not_work_says_how(tmp_path: Path, body: str, says: str) -> None:
    file = tmp_path / "mine.py"
    file.write_text(f"def metric(outputs, labels):\n    {body}\n")
    with pytest.raises(UsageError, match=says):
        score(f"{file}:metric", LOGITS, LOGITS)


@pytest.mark.parametrize("name", ["top3000", "nowhere:metric", "nowhere.py:metric", "math:pi"])
def test_a_metric_that_is_not_there(name: str) -> None:
    with pytest.raises(UsageError):
        metrics.find(name)


@pytest.mark.parametrize("shape", [(4, 1), (4,)])
@pytest.mark.parametrize(("binary", "numbers"), [("applied", [0.1, 0.9, 0.6, 0.4]), ("sigmoid", [-3, 5, 0.1, -0.1])])
def test_one_number_tells_two_classes_apart(shape: tuple[int, ...], binary: Activation, numbers: list[float]) -> None:
    truth = np.array(numbers, np.float32).reshape(shape)
    scales, labels = {"y": 1.0}, np.array([0, 1, 0, 0])
    assert list(metrics.find("top1", binary).score({"y": truth}, {"y": truth}, labels, scales)) == [1, 1, 0, 1]
    mine = truth[[1, 1, 2, 2]]
    assert list(metrics.find("agreement", binary).score({"y": mine}, {"y": truth}, None, scales)) == [0, 1, 1, 0]
    with pytest.raises(UsageError, match="one number a sample and the names of two classes"):
        metrics.find("agreement").score({"y": mine}, {"y": truth}, None, scales)


def test_the_number_of_the_first_output_decides_and_no_wider_one_behind_it() -> None:
    truth = {"p": np.array([[0.9], [0.1]]), "features": np.array([[5.0, 0.0], [5.0, 0.0]])}
    assert list(metrics.find("top1", "applied").score(truth, truth, np.array([1, 0]), {})) == [1, 1]


def test_the_error_of_an_original_that_is_not_finite_is_that_of_its_numbers() -> None:
    truth = {"y": np.array([[3.0, 4.0, np.nan], [np.inf, 1.0, 0.0]])}
    mine = {"y": np.array([[3.0, 4.5, np.nan], [np.inf, 1.0, 0.0]])}
    assert list(metrics.find("error").score(mine, truth, None, {"y": 4.0})) == [0.1, 0.0]

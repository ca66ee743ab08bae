"""What an output is taught by, from the original's answers and the labels, and how good answers are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from roadworthy.build.compress.outputs import NO_CLASS, check_student, judged, output_losses, prepared, score
from roadworthy.core import samples
from roadworthy.core.errors import DataError, SourceError
from roadworthy.core.numerics import softmax
from roadworthy.core.types import Array

SCORES = np.random.default_rng(0).standard_normal((20, 4)).astype(np.float32) * 3
CLASSES = np.arange(20) % 4
MASKS = np.random.default_rng(1).standard_normal((20, 4, 5, 6)).astype(np.float32)


def _losses(folder: Path, answers: Array | dict[str, Array], targets: Array | dict[str, Array] | None = None, *, labels: bool = False):
    held = samples.write(folder / "s", {"x": np.zeros((20, 2), np.float32)}, targets)
    return output_losses(answers if isinstance(answers, dict) else {"y": answers}, held, labels=labels)


@pytest.mark.parametrize(
    ("answers", "form", "axis", "applied"),
    [
        (SCORES, "classes", 1, False),
        (softmax(SCORES).astype(np.float32), "classes", 1, True),
        (softmax(MASKS.transpose(0, 2, 3, 1)).astype(np.float32), "classes", 3, True),
        (1 / (1 + np.exp(-SCORES)), "shares", 1, True),
        (1 / (1 + np.exp(-SCORES[:, :1])), "shares", 1, True),
        (SCORES[:, :1], "values", 1, False),
        (SCORES[:, 0], "values", 1, False),
        (SCORES / np.linalg.norm(SCORES, axis=1, keepdims=True), "values", 1, False),
        (MASKS, "values", 1, False),
    ],
)
def test_without_labels_the_answers_decide(tmp_path: Path, answers: Array, form: str, axis: int, applied: bool) -> None:
    (loss,) = _losses(tmp_path, answers)
    assert (loss.form, loss.axis if form == "classes" else 1, loss.applied) == (form, axis, applied)
    assert loss.target is None


@pytest.mark.parametrize(
    ("answers", "targets", "form", "axis", "written"),
    [
        (SCORES, CLASSES, "classes", 1, "indexes"),
        (SCORES, CLASSES[:, None].astype(np.float32), "classes", 1, "indexes"),
        (SCORES, np.eye(4)[CLASSES], "classes", 1, "one-hot"),
        (SCORES, (SCORES > 0).astype(int), "shares", 1, "numbers"),
        (SCORES, SCORES * 2, "values", 1, "numbers"),
        (SCORES[:, :1], CLASSES % 2, "shares", 1, "numbers"),
        (SCORES[:, 0], np.linspace(0, 9, 20), "values", 1, "numbers"),
        (MASKS, MASKS.argmax(axis=1), "classes", 1, "masks"),
        (MASKS.transpose(0, 2, 3, 1), MASKS.argmax(axis=1)[..., None], "classes", 3, "masks"),
        (MASKS[:, :1], (MASKS[:, :1] > 0).astype(np.uint8), "shares", 1, "numbers"),
    ],
)
def test_labels_decide(tmp_path: Path, answers: Array, targets: Array, form: str, axis: int, written: str) -> None:
    (loss,) = _losses(tmp_path, answers, targets, labels=True)
    assert (loss.form, loss.axis, loss.written, loss.target) == (form, axis, written, samples.TARGET)


def test_labels_of_one_array_teach_one_output(tmp_path: Path) -> None:
    losses = _losses(tmp_path, {"features": SCORES[:, :1], "y": SCORES, "z": SCORES, "index": CLASSES}, CLASSES + 0.0)
    assert [(loss.output, loss.target) for loss in losses] == [("features", samples.TARGET), ("y", None), ("z", None)]


def test_labels_by_name_teach_the_output_of_that_name(tmp_path: Path) -> None:
    losses = _losses(tmp_path, {"a": SCORES, "b": SCORES}, {"b": CLASSES, "other": CLASSES})
    assert [loss.target for loss in losses] == [None, "b"]
    assert judged(losses).output == "b"


@pytest.mark.parametrize(("targets", "words"), [(CLASSES + 1, "class 4"), (np.zeros((20, 7)), "fit no output"), (None, "no labels")])
def test_labels_that_cannot_be_used_are_refused(tmp_path: Path, targets: Array | None, words: str) -> None:
    with pytest.raises(DataError, match=words):
        _losses(tmp_path, SCORES, targets, labels=True)


def test_answers_that_are_not_numbers_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not a number"):
        _losses(tmp_path, np.where(SCORES > 3, np.nan, SCORES))


def test_whole_numbers_alone_cannot_be_taught(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="whole numbers alone"):
        _losses(tmp_path, CLASSES)


def test_pixels_that_do_not_count(tmp_path: Path) -> None:
    masks = MASKS.argmax(axis=1)
    wrong = masks.copy()
    wrong[:, 0] = 255
    (loss,) = _losses(tmp_path, MASKS, wrong)
    labels = prepared(loss, wrong)
    assert (labels[:, 0] == NO_CLASS).all()
    assert score(loss, MASKS, MASKS, labels) == 1.0
    assert score(loss, -MASKS, MASKS, labels) < 0.5


def test_a_student_must_answer_in_the_same_form(tmp_path: Path) -> None:
    probabilities = softmax(SCORES).astype(np.float32)
    with pytest.raises(SourceError, match="end it in a softmax"):
        check_student(_losses(tmp_path, probabilities), {"y": SCORES})
    with pytest.raises(SourceError, match="leave its softmax out"):
        check_student(_losses(tmp_path / "other", SCORES), {"y": probabilities})


def test_scores_of_answers(tmp_path: Path) -> None:
    (loss,) = _losses(tmp_path, SCORES)
    other = np.roll(SCORES, 1, axis=1)
    assert score(loss, SCORES, SCORES, None) == 1.0
    assert score(loss, other, SCORES, None) == 0.0
    assert score(loss, SCORES, other, SCORES.argmax(axis=1)) == 1.0
    (values,) = _losses(tmp_path / "v", MASKS)
    assert score(values, MASKS, MASKS, None) == 0.0
    # The mean answer explains nothing: its error is that of the scale, 1.
    assert score(values, np.broadcast_to(MASKS.mean(axis=0), MASKS.shape), MASKS, None) == pytest.approx(-1.0)
    (two,) = _losses(tmp_path / "t", SCORES[:, :1], CLASSES % 2)
    assert score(two, np.where(CLASSES % 2, 5.0, -5.0)[:, None], SCORES[:, :1], (CLASSES % 2).astype(np.float32)) == 1.0

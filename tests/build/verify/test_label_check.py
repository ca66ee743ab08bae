"""An original that is no better than chance on its labels is warned of, with the order that would be right; few samples prove nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from roadworthy.build.verify import Reference, label_warnings
from roadworthy.core.evidence import Tolerance
from roadworthy.core.samples import file_of
from roadworthy.core.types import Array
from roadworthy.preprocess.contract import Activation

RANDOM = np.random.default_rng(0)


def warned(path: Path, found: Array, labels: Array, count: int, classes: tuple[str, ...] = ()) -> str:
    """What is said where the original answers ``found`` of ``count`` classes; empty where nothing is."""
    return said(path, np.eye(count, dtype=np.float32)[found], labels, classes)


def said(path: Path, outputs: Array, labels: Array, classes: tuple[str, ...] = (), binary: Activation | None = None) -> str:
    path.mkdir(exist_ok=True)
    np.save(path / file_of("y"), outputs)
    reference = Reference(path, ("y",), (1.0,), len(outputs), 32, Tolerance(None, 0.0, 0.0))
    notes = label_warnings(reference, labels, classes, binary)
    assert all(note.warning for note in notes) and len(notes) <= 1
    return notes[0].text if notes else ""


@pytest.mark.parametrize(("count", "n"), [(1000, 500), (10, 200), (2, 300)])
def test_answers_that_have_nothing_to_do_with_the_labels(tmp_path: Path, count: int, n: int) -> None:
    labels = RANDOM.integers(0, count, n)
    text = warned(tmp_path, RANDOM.permutation(labels), labels, count)
    assert f"top-1 on your {n} labels, where chance is" in text and "the order of the labels, the preprocessing or the weights" in text


@pytest.mark.parametrize("share", [0.3, 0.6, 0.99])
@pytest.mark.parametrize(("count", "n"), [(1000, 500), (10, 200), (3, 12), (10, 10)])
def test_an_original_that_is_right_sometimes_is_not_warned_of(tmp_path: Path, count: int, n: int, share: float) -> None:
    labels = np.arange(n) % count
    right = np.arange(n) < share * n
    assert not warned(tmp_path, np.where(right, labels, RANDOM.permutation(labels)), labels, count)


def test_few_samples_prove_nothing(tmp_path: Path) -> None:
    labels = np.arange(10) * 100
    assert not warned(tmp_path, labels[::-1] + 7, labels, 1000), "10 misses of 1000 classes may happen to a fair model"
    two = np.arange(10) % 2
    for hits in range(2, 11):
        assert not warned(tmp_path, np.where(np.arange(10) < hits, two, 1 - two), two, 2), hits


def test_a_model_that_answers_the_commonest_class_alone_is_at_chance_however_common_that_is(tmp_path: Path) -> None:
    labels = (np.arange(4000) % 20 == 0).astype(np.int64)
    for n in (4000, 200):
        text = warned(tmp_path, np.zeros(n, np.int64), labels[:n], 2, ("healthy", "ill"))
        assert f"gets 95.00% top-1 on your {n:,} labels, where chance is 95.0%; it answers 'healthy' for every sample" in text
    assert not warned(tmp_path, np.zeros(100, np.int64), labels[:100], 2), "5 of the rare class may all be missed"
    useful = np.where(np.arange(4000) % 40 == 0, 1, 0)
    assert not warned(tmp_path, useful, labels, 2), "half of the rare class is found"


@pytest.mark.parametrize(
    ("shift", "words"),
    [
        (1, "with every label one higher, as behind a background class, it would be"),
        (-1, "with every label one lower, as when they are counted"),
    ],
)
@pytest.mark.parametrize("n", [20, 400])
def test_labels_that_are_one_off(tmp_path: Path, n: int, shift: int, words: str) -> None:
    labels = RANDOM.integers(1, 1000, n)
    found = np.where(np.arange(n) % 10 == 0, 500, labels + shift)
    text = warned(tmp_path, found, labels, 1001)
    assert words in text and "90.00%, so check the order of the labels" in text


def test_numbers_that_were_sorted_as_text(tmp_path: Path) -> None:
    classes = tuple(sorted(map(str, range(12))))
    numbers = RANDOM.integers(0, 12, 120)
    labels = np.array([classes.index(str(number)) for number in numbers])
    assert "with the names counted as numbers it would be 100.00%" in warned(tmp_path, numbers, labels, 12, classes)
    assert not warned(tmp_path, labels, labels, 12, classes)


def test_names_in_another_order_than_the_models(tmp_path: Path) -> None:
    classes = ("zebra", "ant", "cow", "bee")
    labels = RANDOM.integers(0, 4, 80)
    found = np.array([sorted(classes).index(classes[label]) for label in labels])
    assert "with the names in sorted order it would be 100.00%" in warned(tmp_path, found, labels, 4, classes)


@pytest.mark.parametrize(("activation", "low", "high"), [("applied", 0.1, 0.9), ("sigmoid", -2.0, 2.0)])
def test_one_number_the_wrong_way_round(tmp_path: Path, activation: Activation, low: float, high: float) -> None:
    labels = np.arange(30) % 2
    right = np.where(labels == 1, high, low).astype(np.float32)[:, None]
    assert not said(tmp_path, right, labels, (), activation)
    text = said(tmp_path, right, 1 - labels, ("dog", "cat"), activation)
    assert "gets 0.00% top-1" in text and "with the two classes the other way round it would be 100.00%" in text


def test_an_output_without_classes_says_nothing(tmp_path: Path) -> None:
    assert not said(tmp_path, np.zeros((30, 4, 4), np.float32), np.zeros(30, np.int64))

"""Targets of every form find their output and a metric by shapes and values; a wrong pair is refused in one sentence."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from roadworthy.build.verify.metrics.pairing import TargetPairing, pair
from roadworthy.core.errors import DataError, UsageError
from roadworthy.core.samples import TARGET, one_each
from roadworthy.core.types import Quantization, TensorSpec

N = 12
THREE = np.arange(N) % 3
TWO = np.arange(N) % 2
MASK = np.arange(N * 20, dtype=np.uint8).reshape(N, 4, 5) % 3


def spec(*sample: int | str, dtype: str = "float32", name: str = "y") -> TensorSpec:
    return TensorSpec(name, dtype, ("batch", *sample))


def paired(y: Any, *outputs: TensorSpec, names: tuple[str, ...] = (), asked: str | None = None) -> TargetPairing:
    return pair(y if isinstance(y, dict) else {TARGET: y}, outputs, names, asked)


FITTING: dict[str, tuple[Any, TensorSpec, str, str, Any]] = {
    "class indexes": (THREE, spec(3), "top1", "classes", THREE),
    "a column of them": (THREE[:, None].astype(np.uint8), spec(3), "top1", "classes", THREE),
    "whole floats": (THREE.astype(float), spec(3), "top1", "classes", THREE),
    "one-hot floats": (np.eye(3, dtype=np.float32)[THREE], spec(3), "top1", "classes", THREE),
    "booleans and two columns": (TWO == 1, spec(2), "top1", "classes", TWO),
    "two classes and one number": (TWO, spec(1), "accuracy", "binary", TWO),
    "two classes and a number without an axis": (TWO.astype(np.float32)[:, None], spec(), "accuracy", "binary", TWO),
    "one-hot rows of two and one number": (np.eye(2)[TWO], spec(1), "accuracy", "binary", TWO),
    "an index as output": (THREE, spec(dtype="int64"), "accuracy", "ids", THREE),
    "several labels": ((np.arange(N * 4).reshape(N, 4) % 3 > 0).astype(np.uint8), spec(4), "f1-macro", "multilabel", None),
    "numbers": (np.linspace(0, 9, N), spec(1), "mae", "values", None),
    "whole numbers that are no two classes": (np.arange(N) * 7, spec(1), "mae", "values", None),
    "several numbers": (np.random.default_rng(0).random((N, 3)), spec(3), "mae", "values", None),
    "masks, channels first": (MASK, spec(3, 4, 5), "miou", "masks", None),
    "masks, channels last": (MASK.astype(np.int64), spec(4, 5, 3), "miou", "masks", None),
    "masks with an axis of one": (MASK[..., None], spec(3, 4, 5), "miou", "masks", MASK),
    "masks of open sizes": (MASK, spec(3, "height", "width"), "miou", "masks", None),
    "one-hot masks": (np.eye(3)[MASK], spec(4, 5, 3), "miou", "masks", MASK),
    "masks and one number a pixel": (MASK % 2, spec(1, 4, 5), "miou", "masks", None),
    "masks of two classes and their shape": (MASK % 2, spec(4, 5), "miou", "masks", None),
    "masks and indices": (MASK, spec(4, 5, dtype="int64"), "miou", "masks", None),
    "depths": (MASK * 1.5, spec(1, 4, 5), "mae", "values", None),
    "tags of a sequence": (np.arange(N * 6).reshape(N, 6) % 4, spec(6, 4), "miou", "masks", None),
    "a quantised output": (
        THREE, TensorSpec("y", "uint8", ("batch", 3), Quantization(1 / 256, 0)), "top1", "classes", THREE,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", FITTING)
def test_the_metric_follows_labels_and_output(case: str) -> None:
    y, output, metric, form, targets = FITTING[case]
    found = paired(y, output)
    assert (found.metric, found.reading.form, found.reading.output) == (metric, form, "y")
    if targets is not None:
        assert found.targets is not None
        np.testing.assert_array_equal(found.targets, targets)


@pytest.mark.parametrize(
    ("y", "output", "axis", "classes"),
    [(MASK, spec(3, 4, 5), 1, 3), (MASK, spec(4, 5, 3), 3, 3), (MASK % 2, spec(4, 5), 0, 2), (MASK, spec(4, 5, dtype="int32"), 0, 3)],
)
def test_the_axis_of_the_classes_is_the_one_that_the_masks_lack(y: Any, output: TensorSpec, axis: int, classes: int) -> None:
    reading = paired(y, output).reading
    assert (reading.axis, reading.classes) == (axis, classes)


def test_pixels_that_do_not_count_are_no_class() -> None:
    y = np.where(MASK == 2, 255, MASK)
    assert paired(y, spec(2, 4, 5)).reading.classes == 2
    with pytest.raises(DataError, match="the masks hold 0 to 2, and the output 'y' has 2 classes"):
        paired(MASK, spec(2, 4, 5))


def test_scores_come_before_indices_and_the_output_that_fits_before_the_first() -> None:
    both = spec(dtype="int64", name="label"), spec(3, name="probabilities")
    assert paired(THREE, *both).reading.output == "probabilities"
    assert paired(MASK, spec(3, name="score"), spec(3, 4, 5, name="mask")).reading.output == "mask"
    constant = TensorSpec("scale", "float32", (), sample_axis=None)
    assert paired(TWO, constant, spec(1, name="logit")).reading.output == "logit"


def test_an_asked_metric_reads_the_labels_in_its_own_way() -> None:
    rows = np.eye(3)[THREE]
    for asked, form in (("top1", "classes"), ("roc-auc", "classes"), ("mae", "values"), ("miou", None)):
        if form is None:
            with pytest.raises(UsageError, match="miou needs the class of each pixel"):
                paired(rows, spec(3), asked=asked)
        else:
            assert paired(rows, spec(3), asked=asked).reading.form == form
    assert paired(TWO, spec(1), asked="rmse").reading.form == "values"
    assert paired(TWO + 1, spec(1), asked="mae").reading.form == "values"
    assert paired(TWO, spec(1), asked="agreement").reading.form == "binary"
    assert paired(np.linspace(0, 1, N), spec(3), asked="error").metric == "error"


def test_the_users_own_metric_gets_the_labels_as_they_are() -> None:
    for y in (np.linspace(0, 1, N), {"a": TWO, "b": THREE}, one_each([np.zeros(place) for place in range(N)])):
        found = paired(y, spec(3), asked="FILE.py:score")
        assert (found.metric, found.reading.form, found.targets) == ("FILE.py:score", "own", None)


def test_texts_are_classes_by_their_names() -> None:
    texts = np.array(["dog", "cat"] * 6)
    found = paired(texts, spec(2))
    assert found.classes == ("cat", "dog") and found.targets is not None and found.targets.tolist() == [1, 0] * 6
    named = paired(texts, spec(3), names=("bird", "dog", "cat"))
    assert named.targets is not None and named.targets.tolist() == [1, 2] * 6
    several = one_each([np.array(["cat", "sky"]), np.array(["sky"])] * 6)
    rows = paired(several, spec(3), names=("sky", "cat", "dog"))
    assert rows.metric == "f1-macro" and rows.targets is not None and rows.targets[:2].tolist() == [[1, 1, 0], [1, 0, 0]]


@pytest.mark.parametrize(
    ("y", "outputs", "names", "asked", "words"),
    [
        (np.linspace(0, 1, N), [spec(3)], (), None, r"labels are 0 to 1, one number a sample, and the output 'y' is y:float32\[batch,3\]"),
        (np.arange(N), [spec(3)], (), None, "a sample of class 11; a model with 3 outputs knows classes 0 to 2"),
        (-np.arange(N), [spec(3)], (), None, "a sample of class -11"),
        (np.eye(4)[THREE], [spec(3)], (), None, r"labels, y float64 \[12, 4\], fit no output of the model \(y:float32\[batch,3\]\)"),
        (THREE, [spec(1)], ("no", "yes"), None, "labels are 0 to 2; the output 'y' is one number a sample and tells the classes 0 and 1"),
        ({"a": TWO, "b": THREE}, [spec(3)], (), None, r"several arrays \(a, b\), and only you know what they mean.*FILE.py:callable"),
        ({"boxes": TWO, "labels": TWO}, [spec(3)], (), None, "map@FILE.py:decoder"),
        (one_each([np.zeros(2), np.zeros(3)] * 6), [spec(3)], (), None, "arrays of different lengths"),
        (np.array(["a", "b"] * 6), [spec(3)], (), None, r"texts, 2 different ones \('a' first\), which are not as many"),
        (np.array(["a", "b"] * 6), [spec(2)], ("a", "c"), None, "label 'b' is not among the 2 class names"),
        (np.full(N, np.nan), [spec(1)], (), None, "not finite"),
        (np.linspace(0, 1, N), [spec(1)], (), "f1", "f1 needs one class a sample or .* use --metric mae, rmse, r2, psnr"),
        (THREE, [spec(3)], (), "mae", "mae needs numbers of the output's shape, and the labels, .* one class a sample for the output"),
        (TWO + 1, [spec(1)], (), None, "labels are 1 and 2, and the output 'y' is one number a sample: two classes are 0 and 1"),
        (TWO * 2 - 1, [spec()], (), None, "labels are -1 and 1"),
        (THREE, [spec(3)], (), "top3", "top3 of 3 classes is always right"),
        ({}, [spec(3)], (), "f1", "f1 needs labels and the data has none; use --metric agreement"),
        (THREE, [spec(3)], (), "map@never_imported.py:decode", "boxes are targets by name"),
        (THREE, [spec(dtype="int64")], (), "log-loss", "use --metric top1, accuracy, balanced-accuracy, f1"),
    ],
)  # fmt: skip
def test_a_wrong_pair_is_refused(y: Any, outputs: list[TensorSpec], names: tuple[str, ...], asked: str | None, words: str) -> None:
    with pytest.raises((DataError, UsageError), match=words):
        paired(y, *outputs, names=names, asked=asked)

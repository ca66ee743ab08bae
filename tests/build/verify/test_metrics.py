"""Scores with known answers, and clear sentences for what cannot be scored."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn import metrics as sk

from roadworthy.build.verify import metrics
from roadworthy.build.verify.metrics import Reading, own
from roadworthy.core.errors import DataError, UsageError
from roadworthy.core.samples import one_each
from roadworthy.core.types import Array
from roadworthy.preprocess.contract import Activation

LOGITS = np.array([[0.1, 0.9, 0.0, 0, 0, 0, 0], [0.5, 0.4, 0.3, 0.2, 0.1, 0.05, 0.0], [0, 0, 0, 0, 0, 0, 1.0]])


def score(name: str, mine: Array, truth: Array, labels: list[int] | None = None) -> list[float]:
    return list(metrics.find(name).rows({"y": mine}, {"y": truth}, None if labels is None else np.array(labels), {"y": 1.0}))


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


@pytest.mark.parametrize("name", ["top30000", "nowhere:metric", "nowhere.py:metric", "math:pi", "map", "f1@math:sin", "map@math:pi"])
def test_a_metric_that_is_not_there(name: str) -> None:
    with pytest.raises(UsageError):
        metrics.find(name)


@pytest.mark.parametrize(
    ("name", "meant"), [("Top1", "top1"), ("acuracy", "accuracy"), ("f1_macro", "f1-macro"), ("auc", "roc-auc"), ("mean_iou", "miou")]
)
def test_a_close_name_is_told_the_right_one(name: str, meant: str) -> None:
    with pytest.raises(UsageError, match=f"there is no metric '{name}', did you mean {meant}\\?"):
        metrics.find(name)


@pytest.mark.parametrize("shape", [(4, 1), (4,)])
@pytest.mark.parametrize(("activation", "numbers"), [("applied", [0.1, 0.9, 0.6, 0.4]), ("sigmoid", [-3, 5, 0.1, -0.1])])
def test_one_number_tells_two_classes_apart(shape: tuple[int, ...], activation: Activation, numbers: list[float]) -> None:
    truth = np.array(numbers, np.float32).reshape(shape)
    scales, labels, reading = {"y": 1.0}, np.array([0, 1, 0, 0]), Reading("binary", "y", activation)
    for name in ("top1", "accuracy"):
        assert list(metrics.find(name, reading).rows({"y": truth}, {"y": truth}, labels, scales)) == [1, 1, 0, 1]
    mine = truth[[1, 1, 2, 2]]
    assert list(metrics.find("agreement", reading).rows({"y": mine}, {"y": truth}, None, scales)) == [0, 1, 1, 0]
    with pytest.raises(UsageError, match="one number a sample and the names of two classes"):
        metrics.find("agreement").rows({"y": mine}, {"y": truth}, None, scales)


def test_the_number_of_the_first_output_decides_and_no_wider_one_behind_it() -> None:
    truth = {"p": np.array([[0.9], [0.1]]), "features": np.array([[5.0, 0.0], [5.0, 0.0]])}
    assert list(metrics.find("top1", Reading("binary", "p", "applied")).rows(truth, truth, np.array([1, 0]), {})) == [1, 1]


def test_the_error_of_an_original_that_is_not_finite_is_that_of_its_numbers() -> None:
    truth = {"y": np.array([[3.0, 4.0, np.nan], [np.inf, 1.0, 0.0]])}
    mine = {"y": np.array([[3.0, 4.5, np.nan], [np.inf, 1.0, 0.0]])}
    assert list(metrics.find("error").rows(mine, truth, None, {"y": 4.0})) == [0.1, 0.0]


RANDOM = np.random.default_rng(3)
CLASSES = RANDOM.integers(0, 4, 60)
SCORES = RANDOM.standard_normal((60, 4)) + 2 * np.eye(4)[CLASSES]
SOFTMAX = np.exp(SCORES) / np.exp(SCORES).sum(axis=1, keepdims=True)
SEVERAL = RANDOM.integers(0, 2, (60, 3))
LOGIT = RANDOM.standard_normal(60) + 2 * (CLASSES % 2) - 1
SHARE = 1 / (1 + np.exp(-LOGIT))
NUMBERS = RANDOM.standard_normal((60, 2))
NEAR = NUMBERS + 0.1 * RANDOM.standard_normal((60, 2))
OF_CLASSES, OF_SHARES = Reading("classes", "y", "softmax", classes=4), Reading("classes", "y", "applied", classes=4)
OF_LOGIT, OF_SHARE = Reading("binary", "y", "sigmoid", classes=2), Reading("binary", "y", "applied", classes=2)
OF_SEVERAL, OF_NUMBERS = Reading("multilabel", "y", "sigmoid", classes=3), Reading("values", "y")
SAID = RANDOM.standard_normal((60, 3)) + SEVERAL
SETS: dict[str, tuple[str, Reading, Array, Array, float]] = {
    "f1 of four classes": ("f1", OF_CLASSES, SCORES, CLASSES, sk.f1_score(CLASSES, SCORES.argmax(1), average="macro")),
    "f1-micro": ("f1-micro", OF_CLASSES, SCORES, CLASSES, sk.f1_score(CLASSES, SCORES.argmax(1), average="micro")),
    "f1 of two": ("f1", OF_LOGIT, LOGIT, CLASSES % 2, sk.f1_score(CLASSES % 2, LOGIT > 0)),
    "f1 of two probabilities": ("f1", OF_SHARE, SHARE[:, None], CLASSES % 2, sk.f1_score(CLASSES % 2, LOGIT > 0)),
    "f1 of labels": ("f1", OF_SEVERAL, SAID, SEVERAL, sk.f1_score(SEVERAL, SAID > 0, average="macro")),
    "balanced": ("balanced-accuracy", OF_CLASSES, SCORES, CLASSES, sk.balanced_accuracy_score(CLASSES, SCORES.argmax(1))),
    "auc of four": ("roc-auc", OF_CLASSES, SCORES, CLASSES, sk.roc_auc_score(CLASSES, SOFTMAX, multi_class="ovr")),
    "auc of two columns": (
        "roc-auc", Reading("classes", "y", "softmax", classes=2), np.stack([-LOGIT, LOGIT], 1), CLASSES % 2,
        sk.roc_auc_score(CLASSES % 2, LOGIT),
    ),
    "auc of one number": ("roc-auc", OF_SHARE, SHARE, CLASSES % 2, sk.roc_auc_score(CLASSES % 2, LOGIT)),
    "auc of labels": ("roc-auc", OF_SEVERAL, SAID, SEVERAL, sk.roc_auc_score(SEVERAL, SAID)),
    "ap of labels": ("average-precision", OF_SEVERAL, SAID, SEVERAL, sk.average_precision_score(SEVERAL, SAID)),
    "rmse": ("rmse", OF_NUMBERS, NEAR, NUMBERS, sk.root_mean_squared_error(NUMBERS.ravel(), NEAR.ravel())),
    "r2": ("r2", OF_NUMBERS, NEAR, NUMBERS, sk.r2_score(NUMBERS, NEAR)),
}  # fmt: skip
MEANS: dict[str, tuple[str, Reading, Array, Array, float]] = {
    "log loss of logits": ("log-loss", OF_CLASSES, SCORES, CLASSES, sk.log_loss(CLASSES, SOFTMAX)),
    "log loss of probabilities": ("log-loss", OF_SHARES, SOFTMAX, CLASSES, sk.log_loss(CLASSES, SOFTMAX)),
    "log loss of one logit": ("log-loss", OF_LOGIT, LOGIT[:, None], CLASSES % 2, sk.log_loss(CLASSES % 2, SHARE)),
    "log loss of one probability": ("log-loss", OF_SHARE, SHARE, CLASSES % 2, sk.log_loss(CLASSES % 2, SHARE)),
    "mae": ("mae", OF_NUMBERS, NEAR, NUMBERS, sk.mean_absolute_error(NUMBERS, NEAR)),
    "top3": ("top3", OF_CLASSES, SCORES, CLASSES, sk.top_k_accuracy_score(CLASSES, SCORES, k=3)),
    "ids": ("accuracy", Reading("ids", "y"), SCORES.argmax(1)[:, None], CLASSES, sk.accuracy_score(CLASSES, SCORES.argmax(1))),
}  # fmt: skip


@pytest.mark.parametrize("case", SETS)
def test_a_figure_of_the_set_is_scikit_learns(case: str) -> None:
    name, reading, values, targets, wanted = SETS[case]
    metric = metrics.find(name, reading)
    assert metric.combine is not None
    # Rows come batch by batch, and a figure of the set is of all of them.
    rows = [metric.rows({"y": values[part]}, {"y": values[part]}, targets[part], {}) for part in (slice(0, 25), slice(25, 60))]
    assert metric.combine(np.concatenate(rows)) == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize("case", MEANS)
def test_the_mean_of_the_scores_is_scikit_learns(case: str) -> None:
    name, reading, values, targets, wanted = MEANS[case]
    metric = metrics.find(name, reading)
    assert metric.combine is None
    assert np.mean(metric.rows({"y": values}, {"y": values}, targets, {})) == pytest.approx(wanted, abs=1e-9)


def test_answers_that_are_no_numbers_have_no_figure() -> None:
    metric, gap = metrics.find("r2", OF_NUMBERS), np.where(np.arange(60) == 5, np.nan, NEAR.T).T
    assert metric.combine is not None
    with pytest.raises(DataError, match="r2_score cannot be computed from these answers: Input contains NaN"):
        metric.combine(metric.rows({"y": gap}, {"y": gap}, NUMBERS, {}))


MASK = np.array([[[0, 1], [2, 255]], [[0, 0], [1, 2]]], np.uint8)
SAYS = np.array([[[0, 1], [1, 0]], [[0, 2], [1, 2]]])


@pytest.mark.parametrize("axis", [0, 1, 3])
def test_masks_are_judged_by_the_class_of_each_pixel(axis: int) -> None:
    values = SAYS if axis == 0 else np.moveaxis(np.eye(3, dtype=np.float32)[SAYS], -1, axis)
    reading = Reading("masks", "y", axis=axis, classes=3)
    accuracy, iou = metrics.find("pixel-accuracy", reading), metrics.find("miou", reading)
    assert list(accuracy.rows({"y": values}, {"y": values}, MASK, {})) == [pytest.approx(2 / 3), 0.75]
    rows = iou.rows({"y": values}, {"y": values}, MASK, {})
    truth, said = MASK[MASK != 255], SAYS[MASK != 255]
    assert iou.combine is not None and iou.combine(rows) == pytest.approx(sk.jaccard_score(truth, said, average="macro"))


@pytest.mark.parametrize(("activation", "low"), [("applied", 0.4), ("sigmoid", -0.1)])
def test_a_mask_of_one_number_a_pixel_has_the_threshold_of_its_activation(activation: Activation, low: float) -> None:
    values = np.where(SAYS > 0, 0.6, low).astype(np.float32)[:, None]
    found = metrics.find("pixel-accuracy", Reading("masks", "y", activation, classes=2))
    assert list(found.rows({"y": values}, {"y": values}, (SAYS > 0)[:, None], {})) == [1, 1]


def test_the_ratio_of_a_picture_to_its_noise() -> None:
    clean = np.full((2, 4, 4), 100, np.uint8)
    noisy = clean.astype(np.float32) + np.array([10.0, 0.0])[:, None, None]
    (first, second) = metrics.find("psnr", Reading("values", "y", peak=255.0)).rows({"y": noisy}, {"y": noisy}, clean, {})
    assert first == pytest.approx(20 * np.log10(255 / 10)) and second == 100


def test_a_metric_of_the_users_for_the_whole_set(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "def spread(outputs, targets):\n    return float((outputs['y'][:, 0] - targets['a'] + targets['b'][0].sum()).std())\n"
        "spread.per, spread.better = 'set', 'lower'\n"
    )
    metric = metrics.find(f"{file}:spread")
    assert (metric.better, metric.share, metric.resamples) == ("lower", False, 200) and metric.combine is not None
    boxes = one_each([np.zeros((place % 2, 4)) for place in range(60)])
    rows = metric.rows({"y": SCORES}, {"y": SCORES}, {"a": LOGIT, "b": boxes}, {})
    assert metric.combine(rows) == pytest.approx((SCORES[:, 0] - LOGIT).std())
    other = tmp_path / "other.py"
    other.write_text("def metric(outputs, targets): return [1.0]\nmetric.per = 'all'\n")
    with pytest.raises(UsageError, match="per = 'all'; it may be 'sample' or 'set'"):
        metrics.find(f"{other}:metric")


def test_a_function_in_memory_is_found_in_another_process(tmp_path: Path) -> None:
    wanted = 0.25

    def constant(outputs: dict[str, Array], targets: Array) -> Array:
        return np.full(len(targets), wanted)

    name = own.keep(constant, tmp_path)
    code = (
        "from roadworthy.build.verify import metrics\n"
        f"found, y = metrics.find({name!r}), {{'y': [0, 0]}}\n"
        "print(found.name, found.rows(y, y, [1, 2], {}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout.strip() == "constant [0.25 0.25]"


DECODER = """
def decode(outputs):
    return [{"boxes": row[:, :4], "labels": row[:, 4].astype(int), "scores": row[:, 5]} for row in outputs["y"]]
"""


def test_the_precision_of_boxes_is_cocos(tmp_path: Path) -> None:
    (tmp_path / "det.py").write_text(DECODER)
    metric = metrics.find(f"map@{tmp_path / 'det.py'}:decode")
    assert metric.combine is not None
    box, far = [0, 0, 10, 10], [50, 50, 60, 60]
    truth = {"boxes": one_each([np.array([box]), np.array([box, far]), np.zeros((0, 4))]), "labels": one_each([[1], [1, 2], []])}
    right = np.array([[[*box, 1, 0.9], [*far, 2, 0.1]], [[*box, 1, 0.8], [*far, 2, 0.7]], [[*far, 2, 0.05], [*box, 1, 0.01]]], np.float32)
    assert metric.combine(metric.rows({"y": right}, {"y": right}, truth, {})) == pytest.approx(1.0)
    shifted = right.copy()
    # Half of one box: the intersection over the union is 1/3, below every threshold.
    shifted[0, 0, 0:4:2] += 5
    assert metric.combine(metric.rows({"y": shifted}, {"y": shifted}, truth, {})) == pytest.approx((1 + 0.2525) / 2, abs=0.02)
    padded = {
        "boxes": np.array([[box, far], [box, far], [far, far]]),
        "labels": np.array([[1, 2], [1, 2], [2, 2]]),
        "count": np.array([1, 2, 0]),
    }
    assert metric.combine(metric.rows({"y": right}, {"y": right}, padded, {})) == pytest.approx(1.0)
    (tmp_path / "bad.py").write_text("def wrong(outputs): return 3\n")
    with pytest.raises(UsageError, match="must give a list of 3 dicts with boxes, labels and scores"):
        metrics.find(f"map@{tmp_path / 'bad.py'}:wrong").rows({"y": right}, {"y": right}, truth, {})

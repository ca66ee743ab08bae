"""The metric of a deployment: chosen by the labels, stated by the user, or the user's own; what does not fit is refused before capture."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import roadworthy as rw
from roadworthy.build import classes, deploy
from roadworthy.build.data.dataset import Dataset
from roadworthy.build.data.user_targets import read_targets
from roadworthy.build.job import Job, read_budget
from roadworthy.build.verify import metrics
from roadworthy.build.verify.metrics import Reading, TargetForm
from roadworthy.build.verify.metrics.pairing import pair
from roadworthy.build.verify.scoring import BudgetRequest, check_budget
from roadworthy.build.workspace import Progress
from roadworthy.bundle import store
from roadworthy.core.errors import DataError, UsageError
from roadworthy.core.evidence import Budget
from roadworthy.core.samples import TARGET, write
from roadworthy.core.types import Array, Signature, TensorSpec
from roadworthy.preprocess.contract import Activation, Answer, Contract
from roadworthy.serving.engine.local import LocalEngine

pytestmark = pytest.mark.usefixtures("warm_steps")
RANDOM = np.random.default_rng(0)
X = RANDOM.standard_normal((60, 4)).astype(np.float32)
WEIGHT = RANDOM.standard_normal((4, 3)).astype(np.float32)
DOCUMENTED = Path(__file__).parents[2] / "docs" / "metrics.md"


@pytest.fixture
def net(tmp_path: Path) -> Path:
    np.savez(tmp_path / "net.npz", weight=WEIGHT, bias=np.zeros(3, np.float32))
    return tmp_path / "net.npz"


def job(net: Path, y: Any, **options: Any) -> Job:
    np.savez(net.parent / "data.npz", x=X, y=y)
    return Job(net, net.parent / "bundle", data=str(net.parent / "data.npz"), seconds=120, runtimes=("null",), **options)


def refused(net: Path, y: Any, **options: Any) -> str:
    """The sentence that ends the deployment, which ends before anything is captured."""
    seen: list[Progress] = []
    with pytest.raises((DataError, UsageError)) as caught:
        deploy.deploy(job(net, y, **options), seen.append)
    assert not {"capture", "original"} & {progress.stage for progress in seen}
    return caught.value.message


def test_labels_that_fit_no_output_are_told_before_the_model_is_captured(net: Path) -> None:
    said = refused(net, np.linspace(0, 1, 60))
    assert said.startswith("the labels are 0 to 1, one number a sample, and the output 'output' is") and "--metric FILE.py:callable" in said


def test_a_metric_that_the_labels_do_not_fit_is_told_what_fits(net: Path) -> None:
    said = refused(net, np.arange(60) % 3, metric="miou")
    assert said.startswith("miou needs the class of each pixel") and "use --metric top1, accuracy" in said


def test_data_without_labels_for_a_metric_that_needs_them(net: Path) -> None:
    np.savez(net.parent / "x.npz", x=X)
    with pytest.raises(DataError, match="f1 needs labels and the data has none"):
        deploy.deploy(Job(net, net.parent / "bundle", data=str(net.parent / "x.npz"), metric="f1", seconds=120))


@pytest.mark.parametrize(
    ("values", "stated", "activation"),
    [
        (np.array([[-1.0, 2.0]]), "auto", "sigmoid"), (np.array([[0.1, np.nan]]), "auto", "applied"),
        (np.array([[0.1, 0.9]]), "sigmoid", "sigmoid"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("form", ["multilabel", "masks"])
def test_a_number_for_each_label_or_pixel_is_a_probability_where_all_lie_in_0_to_1(
    form: TargetForm, values: Array, stated: Activation, activation: Activation
) -> None:
    assert classes._activation(Reading(form, "y"), stated, values) == activation


def test_a_comparison_needs_no_labels_that_fit(tmp_path: Path) -> None:
    samples = write(tmp_path / "s", {"x": X}, {"boxes": np.zeros((60, 4)), "labels": np.zeros(60)})
    signature = Signature((TensorSpec("x", "float32", ("batch", 4)),), (TensorSpec("y", "float32", ("batch", 3)),))
    given, asked = Dataset(samples, (), "labelled"), Job(Path("a"), Path("b"))
    assert classes.paired(asked, Contract(), given, signature, scored=False) is None
    with pytest.raises(DataError, match="only you know what they mean"):
        classes.paired(asked, Contract(), given, signature)


def test_the_order_of_texts_is_a_guess_that_is_said() -> None:
    found = pair({TARGET: np.array(["dog", "cat"] * 5)}, [TensorSpec("y", "float32", ("batch", 2))], (), None)
    (note,) = classes.notes_on_texts(Contract(), found)
    assert note.text.startswith("the labels are texts, whose classes were taken in sorted order, 'cat' first")
    assert not classes.notes_on_texts(Contract(answer=Answer(labels=("dog", "cat"))), found) and not classes.notes_on_texts(
        Contract(), None
    )


@pytest.mark.parametrize(
    ("y", "places"),
    [
        (["great_white", "TENCH"] * 5, [1, 0] * 5),
        (["n01491361", "n01440764"] * 5, [1, 0] * 5),
        ([["tench"], ["tench", "great white"]] * 5, [[1, 0], [1, 1]] * 5),
    ],
)
def test_texts_name_classes_in_every_spelling_of_the_labels_file(tmp_path: Path, y: Any, places: Any) -> None:
    (tmp_path / "labels.txt").write_text("n01440764 tench\nn01491361 great white\n")
    asked = Job(Path("a"), Path("b"), labels=tmp_path / "labels.txt")
    samples = write(tmp_path / "s", {"x": X[:10]}, read_targets(y, "y"))
    signature = Signature((TensorSpec("x", "float32", ("batch", 4)),), (TensorSpec("y", "float32", ("batch", 2)),))
    contract = Contract(answer=Answer(labels=("tench", "great white")))
    found = classes.paired(asked, contract, Dataset(samples, (), "labelled"), signature)
    assert found is not None and found.targets is not None and found.targets.tolist() == places


def test_a_decoders_file_is_code_of_the_users() -> None:
    job = Job(Path("net.npz"), Path("bundle"), metric="map@det.py:decode")
    assert job.code_files == (Path("det.py"),)


def test_a_metric_or_budget_that_is_wrong_is_told_before_the_model_is_read(net: Path) -> None:
    net.write_bytes(b"not read")
    labels = np.arange(60) % 3
    assert "did you mean top1" in refused(net, labels, metric="top_1")
    (net.parent / "mine.py").write_text("def score(outputs, targets): return [1.0] * len(targets)\nscore.better = 'lower'\n")
    own = f"{net.parent / 'mine.py'}:score"
    assert "so say how much it may rise: --max-rise 0.1" in refused(net, labels, metric=own, budget=Budget(0.1, False, "drop"))
    assert "so say how much it may drop: --max-drop 5%" in refused(net, labels, metric="top1", budget=Budget(0.05, True, "rise"))


@pytest.mark.parametrize(
    ("drop", "rise", "budget"),
    [
        (None, None, Budget(0.01, True)), ("1%", None, Budget(0.01, True, "drop")), ("0.02", None, Budget(0.02, False, "drop")),
        (0.02, None, Budget(0.02, False, "drop")), (None, "5 %", Budget(0.05, True, "rise")), (None, 3, Budget(3, False, "rise")),
    ],
)  # fmt: skip
def test_a_budget_is_a_part_of_the_score_or_in_its_units(drop: Any, rise: Any, budget: Budget) -> None:
    assert read_budget(drop, rise) == budget


@pytest.mark.parametrize(
    ("drop", "rise"), [("lots", None), ("-1%", None), ("101%", None), ("nan", None), (None, "inf"), ("1%", "1%"), ("", None)]
)
def test_a_budget_that_is_none(drop: Any, rise: Any) -> None:
    with pytest.raises(UsageError, match="--max-"):
        read_budget(drop, rise)


def test_the_budget_fits_the_direction_and_the_units_of_the_metric() -> None:
    with pytest.raises(UsageError, match=r"--max-drop 0\.1: lower is better for mae, so say how much it may rise: --max-rise 0.1"):
        check_budget(BudgetRequest("mae", Budget(0.1, False, "drop")))
    with pytest.raises(UsageError, match="accuracy lies between 0 and 1; for a part of it write 5%"):
        check_budget(BudgetRequest("accuracy", Budget(5, False, "drop")))
    with pytest.raises(DataError, match="mae needs labels: give --data"):
        check_budget(BudgetRequest("mae", Budget(), labels=False))
    for metric, budget in (("error", Budget(0.1, True, "drop")), ("error", Budget(0.1, False, "rise")), ("psnr", Budget(3, False, "drop"))):
        check_budget(BudgetRequest(metric, budget))


def test_a_budget_is_held_against_the_metric_that_the_labels_choose(net: Path) -> None:
    """Without --metric too: a budget of 5 on an accuracy would let every candidate pass."""
    assert "top1 lies between 0 and 1" in refused(net, np.arange(60) % 3, budget=Budget(5, False, "drop"))
    assert "--max-rise 0.05" in refused(net, X @ WEIGHT, budget=Budget(0.05, False, "drop"))


def test_a_relative_budget_is_a_part_of_the_originals_score(net: Path) -> None:
    y = X @ WEIGHT + np.float32(0.5)
    certificate = deploy.deploy(job(net, y, metric="rmse", budget=Budget(0.2, True, "rise"))).certificate
    score = certificate.original
    assert score is not None and (score.better, score.interval, score.percent) == ("lower", "resampled", False)
    assert score.value.value == pytest.approx(0.5, rel=1e-4)
    assert certificate.baseline.verified.parity.agreement is None and not any("top class" in note.text for note in certificate.notes)
    assert certificate.goal.max_drop == pytest.approx(0.1, rel=1e-4) and certificate.goal.budget == "20 %"
    page, card = ((net.parent / "bundle" / name).read_text() for name in ("report.html", "MODEL_CARD.md"))
    assert "lower is better; 95 % intervals from resampling the samples" in page and "lower is better" in card


def test_names_of_several_labels_are_read_as_logits_of_each(net: Path) -> None:
    names = ["sky", "cat", "dog"]
    y = [[name for name, yes in zip(names, row > 0, strict=True) if yes] for row in X @ WEIGHT]
    seen = rw.deploy(net, net.parent / "bundle", data=(X, y), labels=names, seconds=120, runtimes=["null"])
    certificate = seen.certificate
    assert certificate.original is not None and (certificate.goal.metric, certificate.original.value.value) == ("f1-macro", 1.0)
    assert "the output 'output' is read as logits: above 0 is yes" in [note.text for note in certificate.notes]
    answer = store.read(seen.bundle).contract.answer
    assert (answer.activation, answer.labels) == ("sigmoid", tuple(names))
    with LocalEngine(seen.bundle) as model:
        (ranked,) = model.infer({"input": X[:1]}).ranked
    logits = (X[:1] @ WEIGHT)[0]
    assert {one.label: one.score for one in ranked} == pytest.approx(dict(zip(names, 1 / (1 + np.exp(-logits)), strict=True)), abs=1e-5)


def test_the_metrics_of_the_page_run_as_they_are_written(net: Path) -> None:
    examples = re.findall(r"```python\n(.*?)```", DOCUMENTED.read_text(), re.S)
    file = net.parent / "metrics.py"
    file.write_text(next(code for code in examples if "per_class" in code))
    names = [node.name for node in ast.parse(file.read_text()).body if isinstance(node, ast.FunctionDef)]
    assert names == ["margin", "per_class"]
    labels = np.argmax(X @ WEIGHT, axis=1)
    truth = {"output": X @ WEIGHT}
    margins = metrics.find(f"{file}:margin").rows(truth, truth, labels, {})
    assert margins.shape == (60,) and (margins > 0).all()
    score = deploy.deploy(job(net, labels, metric=f"{file}:per_class")).certificate.original
    assert score is not None and (score.metric, score.better, score.interval) == (f"{file}:per_class", "lower", "resampled")
    assert score.value.value == 0


def test_a_function_in_memory_is_a_metric(net: Path) -> None:
    scale = 2.0

    def close(outputs: dict[str, Array], targets: dict[str, Array]) -> Array:
        return -scale * np.abs(outputs["output"] - targets["wanted"]).mean(axis=1) + 0 * targets["weight"]

    y = {"wanted": X @ WEIGHT + 1, "weight": np.ones(60)}
    seen = rw.deploy(net, net.parent / "bundle", data=(X, y), metric=close, max_drop="5%", seconds=120, runtimes=["null"])
    score = seen.certificate.original
    assert score is not None and (score.metric, score.value.value) == ("close", pytest.approx(-2.0, rel=1e-4))
    assert seen.certificate.goal.max_drop == pytest.approx(0.1, rel=1e-4)
    with pytest.raises(UsageError, match="a metric of two parts is"):
        rw.deploy(net, net.parent / "b", data=(X, y), metric=("f1", close))


def test_boxes_are_judged_by_the_users_decoder(tmp_path: Path) -> None:
    np.savez(tmp_path / "net.npz", weight=np.eye(6, dtype=np.float32), bias=np.zeros(6, np.float32))
    places = np.arange(40) % 20
    boxes = np.stack([places, places, places + 10, places + 8], axis=1).astype(np.float32)
    kinds, sure = np.arange(40) % 2 + 1, np.linspace(0.5, 0.9, 40)
    x = np.column_stack([boxes, kinds, sure]).astype(np.float32)
    # Every fifth picture shows nothing, and the model says a box there too.
    there = [place % 5 > 0 for place in range(40)]
    y = [{"boxes": boxes[[place]][: int(yes)], "labels": kinds[[place]][: int(yes)]} for place, yes in enumerate(there)]

    def decode(outputs: dict[str, Array]) -> list[dict[str, Array]]:
        return [{"boxes": row[None, :4], "labels": row[None, 4].round().astype(int), "scores": row[None, 5]} for row in outputs["output"]]

    seen = rw.deploy(tmp_path / "net.npz", tmp_path / "bundle", data=(x, y), metric=("map", decode), seconds=120, runtimes=["null"])
    score = seen.certificate.original
    assert score is not None and (score.metric, score.interval) == ("map@decode", "resampled")
    assert 0.5 < score.value.low < score.value.value < score.value.high < 1

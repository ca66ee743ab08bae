"""Classes from the file to the bundle, on the runtime that needs nothing: one output, labels that do not fit, folders that are none."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import roadworthy as rw
from roadworthy.build import deploy
from roadworthy.build.job import Job
from roadworthy.bundle import store
from roadworthy.bundle.certificate import Certificate
from roadworthy.core.errors import DataError
from roadworthy.serving.engine.local import LocalEngine
from roadworthy.serving.engine.predict import predict_file

pytestmark = pytest.mark.usefixtures("warm_steps")

SIDE = 4
PIXELS = 3 * SIDE * SIDE


def pictures(root: Path, classes: dict[str, int], count: int = 12) -> Path:
    """A folder for each class, of images about as bright as its number says."""
    random = np.random.default_rng(0)
    for name, base in classes.items():
        (root / name).mkdir(parents=True)
        for index in range(count):
            Image.fromarray((base + random.integers(-30, 31, (SIDE, SIDE, 3))).astype(np.uint8)).save(root / name / f"{index}.png")
    return root


def net(path: Path, weight: float, bias: float) -> Path:
    """A map of the mean pixel (0..1) to one number."""
    np.savez(path, weight=np.full((PIXELS, 1), weight / PIXELS, np.float32), bias=np.array([bias], np.float32))
    return path


def job(source: Path, **options: object) -> Job:
    return Job(source, source.parent / "bundle", seconds=120, runtimes=("null",), **options)  # type: ignore[arg-type]


def texts(certificate: Certificate, *, warnings: bool = False) -> list[str]:
    return [note.text for note in certificate.notes if note.warning >= warnings]


@pytest.mark.parametrize(
    ("weight", "bias", "activation", "what"),
    [
        (1.0, 0.0, "applied", "read as the probability of 'dog' (above 0.5)"),
        (10.0, -5.0, "sigmoid", "read as the logit of 'dog' (above 0)"),
    ],
)
def test_one_output_and_a_folder_of_two_classes(tmp_path: Path, weight: float, bias: float, activation: str, what: str) -> None:
    data = pictures(tmp_path / "data", {"cat": 60, "dog": 190})
    deployment = deploy.deploy(job(net(tmp_path / "net.npz", weight, bias), data=str(data), preprocess="unit"))
    certificate = deployment.certificate
    assert certificate.goal.metric == "accuracy" and certificate.original is not None and certificate.original.value.value == 1
    assert certificate.baseline.verified.parity.agreement == 1
    assert [note for note in texts(certificate) if what in note] and not texts(certificate, warnings=True)
    answer = store.read(deployment.bundle).contract.answer
    assert (answer.activation, answer.labels) == (activation, ("cat", "dog"))
    with LocalEngine(deployment.bundle) as model:
        for name in ("cat", "dog"):
            assert predict_file(model, data / name / "0.png").prediction.ranked[0][0].label == name
    card, report = ((deployment.bundle / file).read_text() for file in ("MODEL_CARD.md", "report.html"))
    kind = "probability" if activation == "applied" else "logit"
    assert f"its one number a sample is the {kind} of `dog`" in card and f"the {kind} of dog" in report


def test_what_a_person_says_of_one_number_stands(tmp_path: Path) -> None:
    data = pictures(tmp_path / "data", {"cat": 60, "dog": 190})
    (tmp_path / "says.toml").write_text('[image]\n[answer]\nactivation = "sigmoid"\n')
    asked = job(net(tmp_path / "net.npz", 0.5, 0.1), data=str(data), preprocess=str(tmp_path / "says.toml"))
    deployment = deploy.deploy(asked)
    assert store.read(deployment.bundle).contract.answer.activation == "sigmoid"
    chance, one_class = texts(deployment.certificate, warnings=True)
    assert "gets 50.00% top-1 on your 20 labels" in chance and "'dog' for every sample" in chance
    assert "proves nothing and is not claimed" in one_class


@pytest.mark.parametrize(
    "y", [np.array([0, 1], np.int64), np.array([[0.0], [1.0]], np.float32), np.eye(2)], ids=["int", "float", "one-hot"]
)
def test_one_output_and_labels_without_names(tmp_path: Path, y: np.ndarray) -> None:
    x = np.tile(np.array([[0.2], [0.9]], np.float32), (20, 3 * SIDE * SIDE))
    np.savez(tmp_path / "data.npz", x=x, y=np.tile(y, (20, *[1] * (y.ndim - 1))))
    deployment = deploy.deploy(job(net(tmp_path / "net.npz", 1.0, 0.0), data=str(tmp_path / "data.npz")))
    assert deployment.certificate.original is not None and deployment.certificate.original.value.value == 1
    assert store.read(deployment.bundle).contract.answer.activation == "applied"
    with rw.load(deployment) as model:
        assert not model.ranks and model(x[:1]).ranked == ((),), "without names no class can be named"


def test_one_output_of_no_class_is_a_number(tmp_path: Path) -> None:
    source = net(tmp_path / "net.npz", 1000.0, 0.0)
    deployment = deploy.deploy(job(source))
    assert deployment.certificate.goal.metric == "error"
    assert deployment.certificate.baseline.verified.parity.agreement is None
    assert store.read(deployment.bundle).contract.answer.activation == "none"
    assert not [note for note in texts(deployment.certificate) if "one number" in note]


def test_two_names_without_data_are_a_guess_that_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "labels.json").write_text('{"dog": 1, "cat": 0}')
    deployment = deploy.deploy(job(net(tmp_path / "net.npz", 1.0, 0.0), labels=tmp_path / "labels.json"))
    assert deployment.certificate.goal.metric == "agreement"
    (warning,) = [text for text in texts(deployment.certificate, warnings=True) if "one number" in text]
    assert "in 0..1 on generated samples; activation = " in warning and "under [answer] in --preprocess says otherwise" in warning
    with rw.load(deployment) as model:
        ranked = model(np.full((1, PIXELS), 3, np.float32)).ranked[0]
    assert [one.label for one in ranked] == ["dog", "cat"]


@pytest.mark.parametrize(
    ("classes", "names", "says"),
    [
        (
            3,
            ["background", "cat", "dog", "bird"],
            "there are 4 class names .* \\(first 'background', last 'bird'\\).* has 3: this model has no class 'background': leave",
        ),
        (3, ["cat", "dog"], "if the first output is a background class"),
        (1, ["dog"], "name both"),
        (1, ["cat", "dog", "bird"], "one number a sample"),
    ],
)
def test_labels_that_are_not_as_many_as_the_outputs_are_refused_before_the_work(
    tmp_path: Path, classes: int, names: list[str], says: str
) -> None:
    np.savez(tmp_path / "net.npz", weight=np.ones((6, classes), np.float32), bias=np.zeros(classes, np.float32))
    (tmp_path / "labels.json").write_text(json.dumps(names))
    stages: list[str] = []
    with pytest.raises(DataError, match=says):
        deploy.deploy(job(tmp_path / "net.npz", labels=tmp_path / "labels.json"), lambda progress: stages.append(progress.stage))
    assert set(stages) <= {"data", "load"} and not (tmp_path / "bundle").exists()


def test_one_class_folder_too_few_is_asked_about_before_the_work(tmp_path: Path) -> None:
    pictures(tmp_path / "my data", {"cat": 60, "dog": 190})
    np.savez(tmp_path / "net.npz", weight=np.ones((PIXELS, 3), np.float32), bias=np.zeros(3, np.float32))
    stages: list[str] = []
    with pytest.raises(
        DataError, match=r"has 3: one output more than folders; .* say so by \{ echo background; LC_ALL=C ls '.*my data'; \} > "
    ) as e:
        asked = job(tmp_path / "net.npz", data=str(tmp_path / "my data"), preprocess="unit")
        deploy.deploy(asked, lambda progress: stages.append(progress.stage))
    assert "the data has 2 class folders" in e.value.message and set(stages) <= {"data", "load"}


def test_splits_are_not_taken_for_the_classes_of_a_model_with_two_outputs(tmp_path: Path) -> None:
    for split in ("train", "test"):
        pictures(tmp_path / "root" / split, {"cat": 60, "dog": 190})
    weight = np.array([[-1.0, 1.0]], np.float32).repeat(PIXELS, 0) / PIXELS
    np.savez(tmp_path / "net.npz", weight=weight, bias=np.array([0.5, -0.5], np.float32))
    asked = job(tmp_path / "net.npz", data=str(tmp_path / "root"), preprocess="unit")
    with pytest.raises(
        DataError, match=f"are splits of a data set, and no classes: give one of them, --data {tmp_path / 'root' / 'test'}$"
    ):
        deploy.deploy(asked)
    deployment = deploy.deploy(replace(asked, data=str(tmp_path / "root" / "test")))
    assert deployment.certificate.samples.classes == ("cat", "dog") and not texts(deployment.certificate, warnings=True)


def test_folders_are_found_by_the_ids_of_a_class_index(tmp_path: Path) -> None:
    data = pictures(tmp_path / "data", {"n00000002": 60, "n00000007": 190})
    (tmp_path / "index.json").write_text('{"0": ["n00000007", "dog"], "1": ["n00000002", "cat"], "2": ["n00000003", "cow"]}')
    weight = np.array([[1.0, -1.0, 0.0]], np.float32).repeat(PIXELS, 0) / PIXELS
    np.savez(tmp_path / "net.npz", weight=weight, bias=np.array([-0.5, 0.5, -9], np.float32))
    asked = job(tmp_path / "net.npz", data=str(data), preprocess="unit", labels=tmp_path / "index.json")
    certificate = deploy.deploy(asked).certificate
    assert certificate.original is not None and certificate.original.value.value == 1 and not certificate.notes
    swapped = json.dumps({"0": ["n00000002", "cat"], "1": ["n00000007", "dog"], "2": ["n00000003", "cow"]})
    (tmp_path / "index.json").write_text(swapped)
    (warning,) = texts(deploy.deploy(asked).certificate, warnings=True)
    assert "the original itself gets 0.00% top-1 on your 20 labels" in warning


def test_a_live_models_names_by_index_are_names_and_not_indices(tmp_path: Path) -> None:
    source = net(tmp_path / "net.npz", 1.0, 0.0)
    bundle = rw.deploy(source, tmp_path / "bundle", labels={1: "dog", 0: "cat"}, runtimes=("null",), seconds=120).bundle
    assert store.read(bundle).contract.answer.labels == ("cat", "dog")


def test_names_that_were_given_in_python_are_asked_about_without_a_file(tmp_path: Path) -> None:
    np.savez(tmp_path / "net.npz", weight=np.ones((PIXELS, 3), np.float32), bias=np.zeros(3, np.float32))
    with pytest.raises(
        DataError, match=r"there are 2 class names \(first 'cat', last 'dog'\).*put 'background' in front of the names; if it"
    ) as caught:
        rw.deploy(tmp_path / "net.npz", tmp_path / "bundle", labels=["cat", "dog"], inputs=[f"x:float32[batch,{PIXELS}]"])
    assert "scratch" not in caught.value.message and " by " not in caught.value.message

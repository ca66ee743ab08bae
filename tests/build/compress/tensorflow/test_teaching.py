"""A damaged digits network taught by the one it was made from, in Keras; each training runs in a process of its own, as in the product."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from roadworthy.build.compress import Taught, TeachRequest, teach
from roadworthy.build.compress.stages import TeachingRecipe
from roadworthy.core import samples
from roadworthy.core.errors import SourceError, UsageError
from roadworthy.core.isolation import isolate
from roadworthy.core.isolation.worker import Worker
from roadworthy.core.samples import SampleSet
from roadworthy.core.stages import Graph
from roadworthy.core.types import Signature, TensorSpec
from support.models.keras_pupils import Asked, Made, Making, digits, look_at, make

pytestmark = pytest.mark.slow

SIGNATURE = Signature((TensorSpec("image", "float32", ("batch", 8, 8, 1)),), (TensorSpec("scores", "float32", ("batch", 10)),))
EPOCHS = TeachingRecipe(0.0, epochs=6, batch=64)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> tuple[SampleSet, SampleSet]:
    images, classes = digits()
    folder = tmp_path_factory.mktemp("digits")
    training = samples.write(folder / "t", {"image": images[:960]}, classes[:960])
    return training, samples.write(folder / "v", {"image": images[-360:]}, classes[-360:])


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return isolate.call(make, Making(tmp_path_factory.mktemp("models"), "keras"))


@pytest.fixture(scope="module")
def child() -> Iterator[Worker]:
    """One process for all: it imports TensorFlow once."""
    with Worker() as worker:
        yield worker


def request(made: Made, data: tuple[SampleSet, SampleSet], folder: Path, recipe: TeachingRecipe = EPOCHS) -> TeachRequest:
    student = Graph("keras", made.damaged, SIGNATURE, "cut", derived_from="keras", compression="pruned50")
    return TeachRequest(student, Graph("keras", made.original, SIGNATURE, "the original"), *data, recipe, folder / "c", folder / "o")


def test_a_damaged_student_learns_without_labels(child: Worker, made: Made, data: tuple[SampleSet, SampleSet], tmp_path: Path) -> None:
    unlabelled = tuple(replace(one, targets=()) for one in data)
    taught = child.ask(teach, request(made, unlabelled, tmp_path))
    assert taught.lessons[0].metric < 0.7
    assert taught.lessons[taught.best].metric > 0.95
    assert (taught.graph.format, taught.graph.derived_from, taught.graph.compression) == ("keras", "keras", "pruned50")
    before, after, original = (child.ask(look_at, Asked(path, data[1])) for path in (made.damaged, taught.graph.path, made.original))
    agreement = np.mean(np.array(after.classes) == np.array(original.classes))
    assert agreement == pytest.approx(taught.lessons[taught.best].metric)
    # The first layer, which was frozen, learned, and is frozen again.
    assert before.trainable == after.trainable
    assert not before.trainable[0]
    assert before.momentum == after.momentum == 0.8
    assert before.weight != after.weight


@pytest.mark.soak
def test_a_model_of_keras_2_learns(child: Worker, data: tuple[SampleSet, SampleSet], tmp_path: Path) -> None:
    if importlib.util.find_spec("tf_keras") is None:
        pytest.skip("tf-keras is not installed")
    made = isolate.call(make, Making(tmp_path, "tf_keras"))
    taught = isolate.call(teach, request(made, data, tmp_path, replace(EPOCHS, soft=0.5)))
    assert taught.lessons[taught.best].metric > taught.lessons[0].metric + 0.2
    assert len(isolate.call(look_at, Asked(taught.graph.path, data[1])).classes) == 360


@pytest.mark.soak
def test_equal_requests_give_equal_models_and_a_stopped_one_goes_on(
    child: Worker, made: Made, data: tuple[SampleSet, SampleSet], tmp_path: Path
) -> None:
    recipe = replace(EPOCHS, epochs=2, soft=0.5, flip=True, crop=1)

    def weight(folder: str, seed: int = 0) -> tuple[Taught, float]:
        taught = child.ask(teach, request(made, data, tmp_path / folder, replace(recipe, seed=seed)))
        return taught, child.ask(look_at, Asked(taught.graph.path, data[1])).weight

    first, second, other = weight("a"), weight("b"), weight("c", seed=1)
    # Several threads sum in an order of their own.
    assert first[1] == pytest.approx(second[1], abs=1e-4)
    assert abs(first[1] - other[1]) > 1e-4
    # What has ended is read from its checkpoint.
    again = child.ask(teach, replace(request(made, data, tmp_path / "a", recipe), out=tmp_path / "again"))
    assert again.lessons == first[0].lessons
    assert child.ask(look_at, Asked(again.graph.path, data[1])).weight == first[1]


@pytest.mark.soak
def test_features_of_equal_layers_teach(child: Worker, made: Made, data: tuple[SampleSet, SampleSet], tmp_path: Path) -> None:
    taught = child.ask(teach, request(made, data, tmp_path, replace(EPOCHS, features=True)))
    assert taught.lessons[taught.best].metric > 0.9


def test_scores_where_the_original_gives_probabilities_are_refused(
    child: Worker, made: Made, data: tuple[SampleSet, SampleSet], tmp_path: Path
) -> None:
    asked = request(made, data, tmp_path)
    with pytest.raises(SourceError, match="end it in a softmax"):
        child.ask(teach, replace(asked, student=replace(asked.student, path=made.other)))


def test_the_rounding_of_int8_is_refused(child: Worker, made: Made, data: tuple[SampleSet, SampleSet], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="leave quantised out"):
        child.ask(teach, request(made, data, tmp_path, replace(EPOCHS, quantised=True)))

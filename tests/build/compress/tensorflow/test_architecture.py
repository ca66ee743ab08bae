"""The file of a compressed Keras model opens with plain Keras as its usage says, and answers the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from roadworthy.build.compress import CutRequest, WriteRequest, cut, write
from roadworthy.core.errors import StepFailed
from roadworthy.frameworks.tensorflow import keras_model
from roadworthy.frameworks.tensorflow.keras_model import Reader
from support.models import keras_graphs, keras_zoo
from support.models import keras_models as side

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("reader", "form", "file"), [("keras", "zip", "model.keras"), ("keras", "hdf5", "model.keras"), ("tf_keras", "hdf5", "model.h5")]
)
def test_plain_keras_opens_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reader: Reader, form: str, file: str) -> None:
    keras = keras_model.package(reader)
    graph = keras_graphs.graph(keras_zoo.shaken(keras_zoo.dense(keras)), reader, tmp_path / "model", form=form)
    samples = keras_graphs.samples(graph.signature, tmp_path / "samples")
    smaller = cut(CutRequest(graph, {"dense1": 5}, "l1", samples, tmp_path / "cut")).graph
    out = tmp_path / "out"
    written = write(WriteRequest(smaller, None, samples, out))
    assert written.files == (out / file,) and [path.name for path in out.iterdir()] == [file]
    monkeypatch.chdir(out)
    here: dict[str, Any] = {}
    with keras_model._quiet():
        exec(written.usage, here)
    feeds = samples.feeds(0, 4)
    answer = np.asarray(here["model"](feeds["features"], training=False))
    np.testing.assert_allclose(answer, keras_model.load(smaller.path).answer(feeds)["out0"], rtol=1e-5, atol=1e-6)
    assert here["model"].get_layer("dense1").units == 5


def test_classes_of_the_users_own_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    k = side.keras()

    class Twice(k.layers.Layer):  # type: ignore[name-defined, misc]
        def call(self, x: Any) -> Any:
            return x * 2

    features = k.Input((5,), name="features")
    model = k.Model(features, Twice(name="twice")(k.layers.Dense(6, name="before")(features)))
    graph = keras_graphs.graph(model, "keras", tmp_path / "model", objects={"Twice": Twice})
    samples = keras_graphs.samples(graph.signature, tmp_path / "samples")
    written = write(WriteRequest(graph, None, samples, tmp_path / "out"))
    monkeypatch.chdir(tmp_path / "out")
    here: dict[str, Any] = {"Twice": Twice}
    exec(written.usage, here)
    np.testing.assert_allclose(here["model"](np.ones((1, 5))), model(np.ones((1, 5))))


def test_a_file_that_answers_otherwise_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keras = side.keras()
    graph = keras_graphs.graph(keras_zoo.shaken(keras_zoo.dense(keras)), "keras", tmp_path / "model")
    samples = keras_graphs.samples(graph.signature, tmp_path / "samples")
    read = keras_model.read

    def wrong(path: Path, *arguments: Any, **options: Any) -> Any:
        model = read(path, *arguments, **options)
        if path.parent == tmp_path / "out":
            scores = model.get_layer("scores")
            scores.bias.assign(scores.bias + 1)
        return model

    monkeypatch.setattr(keras_model, "read", wrong)
    with pytest.raises(StepFailed, match="does not give the model's answers when Keras reads it"):
        write(WriteRequest(graph, None, samples, tmp_path / "out"))

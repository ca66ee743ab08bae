"""The file of a compressed Keras model opens with plain Keras, and answers the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from roadworthy.build.compress import CutRequest, cut
from roadworthy.build.compress.tensorflow import architecture
from roadworthy.frameworks.tensorflow import keras_model
from roadworthy.frameworks.tensorflow.keras_model import Reader
from support.models import keras_graphs, keras_zoo

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("reader", "form", "file"), [("keras", "zip", "model.keras"), ("keras", "hdf5", "model.keras"), ("tf_keras", "hdf5", "model.h5")]
)
def test_plain_keras_opens_the_file(tmp_path: Path, reader: Reader, form: str, file: str) -> None:
    keras = keras_model.package(reader)
    graph = keras_graphs.graph(keras_zoo.shaken(keras_zoo.dense(keras)), reader, tmp_path / "model", form=form)
    samples = keras_graphs.samples(graph.signature, tmp_path / "samples")
    smaller = cut(CutRequest(graph, {"dense1": 5}, "l1", samples, tmp_path / "cut")).graph
    (tmp_path / "out").mkdir()
    assert architecture.write(smaller, "", tmp_path / "out") == (tmp_path / "out" / file,)
    assert [path.name for path in (tmp_path / "out").iterdir()] == [file]
    with keras_model._quiet():
        opened = keras.models.load_model(tmp_path / "out" / file)
    feeds = samples.feeds(0, 4)
    answer = np.asarray(opened(feeds["features"], training=False))
    np.testing.assert_allclose(answer, keras_model.load(smaller.path).answer(feeds)["out0"], rtol=1e-5, atol=1e-6)
    assert opened.get_layer("dense1").units == 5

"""Files of Keras 2: every name in them means what it meant to the Keras that wrote it, or the file is refused."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from roadworthy.build.sources import Loaded
from roadworthy.core import samples
from roadworthy.core.errors import BackendMissing, NotInference, SourceError
from roadworthy.frameworks.tensorflow import keras_model
from support.files import keras_2_files as old
from support.models import keras_models as side

pytestmark = pytest.mark.slow

FEATURES = (5,)
IMAGE = (6, 6, 3)
STEPS = (4, 5)


def model_of(k: Any, shape: tuple[int, ...], *layers: Any) -> Any:
    return k.Sequential([k.Input(shape, name="x"), *layers])


def gate(k: Any) -> Any:
    x = k.Input(IMAGE, name="x")
    part = k.layers.Dense(3, activation="hard_sigmoid", name="changed")(k.layers.GlobalAveragePooling2D()(x))
    return k.Model(x, k.layers.Multiply()([x, k.layers.Reshape((1, 1, 3))(part)]))


def shared_mask(k: Any) -> Any:
    x = k.Input(STEPS, name="x")
    both = k.layers.Add()([k.layers.Masking(name="changed")(x), x])
    return k.Model(x, k.layers.GlobalAveragePooling1D()(k.layers.LayerNormalization()(both)))


def cosine(k: Any) -> Any:
    x = k.Input(STEPS, name="x")
    small = k.layers.Rescaling(1e-7)(x)
    return k.Model(x, k.layers.Dot(2, normalize=True, name="changed")([small, small]))


def inside(k: Any) -> Any:
    inner = model_of(k, FEATURES, k.layers.Dense(4, activation="hard_sigmoid", name="changed"))
    return model_of(k, STEPS, k.layers.TimeDistributed(inner))


CHANGED: dict[str, Callable[[Any], Any]] = {
    "hard_sigmoid, the layer": lambda k: model_of(k, FEATURES, k.layers.Activation("hard_sigmoid", name="changed")),
    "hard_sigmoid, a head": lambda k: model_of(k, FEATURES, k.layers.Dense(3, activation="hard_sigmoid", name="changed")),
    "hard_sigmoid, a function": lambda k: model_of(k, FEATURES, k.layers.Dense(3, activation=k.activations.hard_sigmoid, name="changed")),
    "hard_sigmoid, a gate": gate,
    "hard_sigmoid, inside a wrapper": inside,
    "hard_sigmoid, a recurrent gate": lambda k: model_of(k, STEPS, k.layers.LSTM(3, recurrent_activation="hard_sigmoid", name="changed")),
    "hard_sigmoid, in a wrapped layer": lambda k: model_of(
        k, STEPS, k.layers.Bidirectional(k.layers.GRU(3, recurrent_activation="hard_sigmoid", name="changed"))
    ),
    "hard_sigmoid, the default of ConvLSTM2D": lambda k: model_of(k, (3, 5, 5, 2), k.layers.ConvLSTM2D(2, 3, name="changed")),
    "axes of Softmax": lambda k: model_of(k, IMAGE, k.layers.Softmax(axis=[1, 2], name="changed")),
    "axes of UnitNormalization": lambda k: model_of(k, IMAGE, k.layers.UnitNormalization(axis=[1, 2], name="changed")),
    "axes of LayerNormalization": lambda k: model_of(
        k, IMAGE, k.layers.LayerNormalization(axis=[1, 2], scale=False, center=False, name="changed")
    ),
    "UnitNormalization near zero": lambda k: model_of(
        k, FEATURES, k.layers.Rescaling(1e-7), k.layers.UnitNormalization(axis=1, name="changed")
    ),
    "cosine near zero": cosine,
    "a mask through Rescaling": lambda k: model_of(
        k, STEPS, k.layers.Masking(name="changed"), k.layers.Rescaling(2.0), k.layers.GlobalAveragePooling1D()
    ),
    "a mask of one operand": shared_mask,
}
"""What Keras 3 reads, and computes differently; the layer's name is "changed"."""

ALIKE: dict[str, Callable[[Any], Any]] = {
    "convolutions": side.convolutions,
    "activations": lambda k: model_of(
        k, FEATURES, *[k.layers.Dense(4, activation=name) for name in ("relu", "gelu", "elu", "selu", "softplus", "swish", "softmax")]
    ),
    "pooling and padding": lambda k: model_of(
        k, IMAGE, k.layers.ZeroPadding2D(1), k.layers.MaxPooling2D(), k.layers.AveragePooling2D(3, 1, "same"), k.layers.LeakyReLU(0.1),
        k.layers.UpSampling2D(2, interpolation="bilinear"), k.layers.GlobalMaxPooling2D(),
    ),
}  # fmt: skip


def feed(model: Any) -> Any:
    """Noise; the later half of sequences is masked."""
    x = 2 * old.noise(4, *model.input_shape[1:])
    if len(model.input_shape) == 3:
        x[:, 2:] = 0
    return x


def answer(found: Loaded, x: Any) -> Any:
    (given,) = keras_model.load(found.graph.path).answer({found.signature.inputs[0].name: x}).values()
    return given


def bare(path: Path) -> None:
    """Take out what the Keras before tf-keras did not write, over which Keras 3 stumbles before it computes anything."""

    def older(part: Any) -> Any:
        if isinstance(part, list):
            return [older(item) for item in part]
        return {key: older(value) for key, value in part.items() if key != "time_major"} if isinstance(part, dict) else part

    with h5py.File(path, "r+") as file:
        file.attrs["model_config"] = json.dumps(older(json.loads(file.attrs["model_config"]))).encode()


@pytest.fixture
def no_tf_keras(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    return lambda: monkeypatch.setitem(sys.modules, "tf_keras", None)


@pytest.mark.parametrize("name", CHANGED)
def test_a_name_whose_meaning_changed_means_what_it_did(loaded: Any, tmp_path: Path, name: str, no_tf_keras: Any) -> None:
    model = CHANGED[name](side.tf_keras())
    path = side.saved(model, tmp_path / "m.h5")
    bare(path)
    x = feed(model)
    wanted = np.asarray(model(x, training=False))

    other = side.keras().models.load_model(path, compile=False)
    theirs = np.asarray(other(keras_model.structured(other, [x]), training=False))
    assert theirs.shape == wanted.shape and np.abs(theirs - wanted).max() > 1e-3 * np.abs(wanted).max(), "Keras 3 means the same"

    found = loaded(path)
    np.testing.assert_allclose(answer(found, x), wanted, rtol=1e-5, atol=1e-6)
    assert any("written by Keras 2." in note and "read by tf-keras" in note for note in found.notes)

    no_tf_keras()
    with pytest.raises(BackendMissing, match=r"Keras 3 computes differently what it holds: .*'changed'.*pip install --no-deps tf-keras"):
        loaded(path)


@pytest.mark.parametrize(("name", "suffix"), [*((name, ".h5") for name in ALIKE), ("activations", ".keras")])
def test_without_tf_keras_keras_3_reads_what_means_the_same(loaded: Any, tmp_path: Path, name: str, suffix: str, no_tf_keras: Any) -> None:
    model = ALIKE[name](side.tf_keras())
    path = side.saved(model, tmp_path / f"m{suffix}")
    x = feed(model)
    wanted = np.asarray(model(x, training=False))
    no_tf_keras()
    found = loaded(path)
    np.testing.assert_allclose(answer(found, x), wanted, rtol=1e-5, atol=1e-5)
    assert any("read by Keras 3, to which all names in it mean the same, since" in note for note in found.notes)


def test_archives_of_keras_2_too(loaded: Any, tmp_path: Path, no_tf_keras: Any) -> None:
    model = CHANGED["hard_sigmoid, a head"](side.tf_keras())
    path = side.saved(model, tmp_path / "m.keras")
    x = feed(model)
    np.testing.assert_allclose(answer(loaded(path), x), model(x), rtol=1e-5, atol=1e-6)
    no_tf_keras()
    with pytest.raises(BackendMissing, match=r"hard_sigmoid, which was clip\(0.2 x \+ 0.5, 0, 1\) and is relu6\(x \+ 3\) / 6 in the layer"):
        loaded(path)


def test_training_that_was_built_in_is_no_longer_lost(loaded: Any, tmp_path: Path, no_tf_keras: Any) -> None:
    """Keras 3 lets the caller's training=False win, and answers with other statistics."""
    k = side.tf_keras()
    x = k.Input((5,), name="x")
    path = side.saved(k.Model(x, k.layers.BatchNormalization(name="changed")(x, training=True)), tmp_path / "m.h5")
    with pytest.raises(NotInference, match="'changed'"):
        loaded(path)
    no_tf_keras()
    with pytest.raises(BackendMissing, match=r"training=True, which the caller's argument now overrides.* 'changed'"):
        loaded(path)


def test_counts_stay_float32(loaded: Any, tmp_path: Path, no_tf_keras: Any) -> None:
    k = side.tf_keras()
    ids = k.Input((3,), dtype="int64", name="x")
    path = side.saved(k.Model(ids, k.layers.IntegerLookup(vocabulary=[4, 7], output_mode="count")(ids)), tmp_path / "m.h5")
    assert [spec.dtype for spec in loaded(path).signature.outputs] == ["float32"]
    no_tf_keras()
    with pytest.raises(BackendMissing, match="output_mode='count', which gave float32 and gives int64"):
        loaded(path)


def test_what_tf_keras_refuses_goes_to_keras_3_only_where_it_means_the_same(loaded: Any, tmp_path: Path) -> None:
    """tf-keras does not read its own list of n-grams."""
    k, rows = side.tf_keras(), samples.write(tmp_path / "samples", {"x": np.array([b"good", b"bad good"], object)})

    def saved(name: str, activation: str) -> Path:
        text = k.Input((), dtype="string", name="x")
        words = k.layers.TextVectorization(vocabulary=["good", "bad"], ngrams=(1, 2), output_sequence_length=3)
        return side.saved(
            k.Model(text, k.layers.Dense(2, activation=activation, name="head")(k.layers.Embedding(8, 2)(words(text)))), tmp_path / name
        )

    same = saved("same.h5", "relu")
    assert any(
        "read by Keras 3, to which all names in it mean the same, since tf-keras refuses it" in n for n in loaded(same, samples=rows).notes
    )
    with pytest.raises(
        SourceError, match=r"hard_sigmoid.*'head' \(Dense\); tf-keras computes it as Keras 2 did, but tf-keras refuses it: .*ngrams"
    ):
        loaded(saved("other.h5", "hard_sigmoid"), samples=rows)


def test_files_of_keras_3_are_read_by_keras_3_alone(loaded: Any, tmp_path: Path) -> None:
    model = CHANGED["hard_sigmoid, a head"](side.keras())
    path = side.saved(model, tmp_path / "m.h5")
    x = feed(model)
    np.testing.assert_allclose(answer(loaded(path), x), model(x), rtol=1e-5, atol=1e-6)

    with h5py.File(path, "r+") as file:
        config = json.loads(file.attrs["model_config"])
        config["config"]["layers"][1]["config"]["units"] = "three"
        file.attrs["model_config"] = json.dumps(config)
    with pytest.raises(SourceError, match="Keras 3 refuses it") as caught:
        loaded(path)
    assert "tf-keras" not in caught.value.message


def test_axes_that_keras_3_writes_and_does_not_read_are_refused(loaded: Any, tmp_path: Path) -> None:
    model = CHANGED["axes of Softmax"](side.keras())
    x = feed(model)
    side.saved(model, tmp_path / "m.h5")
    theirs = side.keras().models.load_model(tmp_path / "m.h5", compile=False)
    assert np.abs(np.asarray(theirs(x)) - np.asarray(model(x))).max() > 1e-2, "Keras 3 reads its own axes: the refusal can go"
    with pytest.raises(SourceError, match=r"axis=\[1, 2\], which Keras 3 replaces .* 'changed' \(Softmax\); save the model as .keras"):
        loaded(tmp_path / "m.h5")
    found = loaded(side.saved(model, tmp_path / "m.keras"))
    np.testing.assert_allclose(answer(found, x), model(x), rtol=1e-5, atol=1e-6)


GATES = {"kernel:0": old.noise(5, 12), "recurrent_kernel:0": old.noise(3, 12, seed=1), "bias:0": old.noise(12, seed=2)}
RESETS = {"kernel:0": old.noise(5, 9), "recurrent_kernel:0": old.noise(3, 9, seed=1), "bias:0": old.noise(9, seed=2)}
SEQUENCE = {"units": 3, "batch_input_shape": [None, 4, 5]}


@pytest.mark.parametrize(
    ("version", "arguments", "function"),
    [
        pytest.param("2.2.4", {"recurrent_activation": "hard_sigmoid", "implementation": 1}, old.hard_sigmoid, marks=pytest.mark.soak),
        pytest.param("2.0.8", {"recurrent_activation": "hard_sigmoid", "implementation": 0}, old.hard_sigmoid, marks=pytest.mark.soak),
        ("2.2.4", {}, old.hard_sigmoid),
        ("2.3.1", {}, old.sigmoid),
        pytest.param("2.2.4-tf", {}, old.hard_sigmoid, marks=pytest.mark.soak),
    ],
)
def test_lstm_of_standalone_keras(
    loaded: Any, tmp_path: Path, version: str, arguments: dict[str, Any], function: Callable[[Any], Any]
) -> None:
    path = old.write(tmp_path / "m.h5", [old.layer("LSTM", "recurrent", **SEQUENCE, **arguments)], {"recurrent": GATES}, version)
    found = loaded(path)
    x = old.noise(6, 4, 5, seed=3)
    np.testing.assert_allclose(answer(found, x), old.lstm(x, *GATES.values(), function), rtol=1e-4, atol=1e-5)
    unstated = [note for note in found.notes if "does not state recurrent_activation" in note]
    assert bool(unstated) == (not arguments and function is old.hard_sigmoid)


@pytest.mark.parametrize("biased", [True, False])
def test_gru_before_it_could_reset_after(loaded: Any, tmp_path: Path, biased: bool) -> None:
    """Without a bias both ways of resetting have the same weights, so that no shape gives the wrong one away."""
    weights = RESETS if biased else {name: values for name, values in RESETS.items() if name != "bias:0"}
    row = old.layer("GRU", "recurrent", **SEQUENCE, use_bias=biased, recurrent_activation="hard_sigmoid", implementation=0)
    found = loaded(old.write(tmp_path / "m.h5", [row], {"recurrent": weights}, "2.0.8"))
    x = old.noise(6, 4, 5, seed=3)
    bias = RESETS["bias:0"] if biased else np.float32(0)
    wanted = old.gru(x, RESETS["kernel:0"], RESETS["recurrent_kernel:0"], bias, old.hard_sigmoid)
    np.testing.assert_allclose(answer(found, x), wanted, rtol=1e-4, atol=1e-5)
    assert "the layer 'recurrent' (GRU) does not state reset_after: it is False, the default of Keras 2.0.8" in found.notes


def test_a_default_that_nothing_dates_is_refused(loaded: Any, tmp_path: Path) -> None:
    path = old.write(tmp_path / "m.h5", [old.layer("LSTM", "recurrent", **SEQUENCE)], {"recurrent": GATES}, "")
    with pytest.raises(
        SourceError, match=r"'recurrent' \(LSTM\) does not state its recurrent_activation, and the file does not state its version"
    ):
        loaded(path)


def test_states_of_stacked_cells_keep_their_order(loaded: Any, tmp_path: Path) -> None:
    """The last cell's state came first before Keras 2.2.3."""
    cells = [{"class_name": "SimpleRNNCell", "config": {"name": f"cell{units}", "units": units}} for units in (2, 3)]
    stacked = {"class_name": "StackedRNNCells", "config": {"name": "stacked", "cells": cells}}
    source = {**old.source("x", 4, 5), "name": "x", "inbound_nodes": []}
    recurrent = old.layer("RNN", "recurrent", cell=stacked, return_state=True)
    layers = [source, {**recurrent, "name": "recurrent", "inbound_nodes": [[["x", 0, 0, {}]]]}]
    outputs = [["recurrent", 0, number] for number in range(3)]
    shapes = [(5, 2), (2, 2), (2,), (2, 3), (3, 3), (3,)]
    own = {f"weight{number}:0": old.noise(*shape, seed=number) for number, shape in enumerate(shapes)}
    config = {"name": "net", "layers": layers, "input_layers": [["x", 0, 0]], "output_layers": outputs}

    def written(version: str) -> Path:
        path = old.write(tmp_path / f"{version}.h5", [recurrent], {"recurrent": own}, version)
        with h5py.File(path, "r+") as file:
            file.attrs["model_config"] = json.dumps({"class_name": "Model", "config": config}).encode()
        return path

    assert [spec.shape[1] for spec in loaded(written("2.2.4")).signature.outputs] == [3, 2, 3]
    with pytest.raises(SourceError, match=r"returns the states of the layer 'recurrent' \(RNN\), whose order changed in Keras 2.2.3"):
        loaded(written("2.2.0"))


ENLARGED = [old.layer("UpSampling2D", "larger", size=[2, 2], interpolation="bilinear", batch_input_shape=[None, 5, 4, 3])]
RAGGED = old.source("x", 5, 4, 3, ragged=False)


@pytest.mark.parametrize(
    ("version", "layers", "centres"),
    [("2.2.4", ENLARGED, False), ("2.3.1", ENLARGED, False), ("2.4.0", ENLARGED, True), ("2.2.4-tf", [RAGGED, *ENLARGED], True)],
)
def test_bilinear_interpolation_samples_where_it_did(
    loaded: Any, tmp_path: Path, version: str, layers: list[old.Row], centres: bool, no_tf_keras: Any
) -> None:
    path = old.write(tmp_path / "m.h5", layers, {}, version)
    found = loaded(path)
    x = old.noise(3, 5, 4, 3)
    np.testing.assert_allclose(answer(found, x), old.bilinear(x, 2, centres=centres), rtol=1e-5, atol=1e-5)
    assert any("samples at the pixels' corners" in note for note in found.notes) == (not centres)
    assert any("read by tf-keras" in note for note in found.notes)
    no_tf_keras()
    if not centres:
        with pytest.raises(BackendMissing, match="sampled at the pixels' corners, in the layer 'larger'"):
            loaded(path)


@pytest.mark.parametrize(("version", "words"), [("2.2.4-tf", "up to TensorFlow 1.14"), ("", "before Keras 2.4")])
def test_a_version_that_means_two_things_is_refused(loaded: Any, tmp_path: Path, version: str, words: str) -> None:
    path = old.write(tmp_path / "m.h5", ENLARGED, {}, version)
    with pytest.raises(
        SourceError, match=rf"'larger' \(UpSampling2D\) sampled at the pixels' corners {words} and at their centres.*deploy"
    ):
        loaded(path)


def conv(kind: str = "Conv2D", **arguments: Any) -> old.Row:
    size = {"kernel_size": [3, 3], "strides": [1, 1], "padding": "valid", "use_bias": False, "data_format": "channels_last"}
    return old.layer(kind, "slides", batch_input_shape=[None, 6, 6, 2], **{**size, **arguments})


class TestTheano:
    def test_its_kernels_are_mirrored(self, loaded: Any, tmp_path: Path) -> None:
        kernel = old.noise(3, 3, 2, 4)
        rows = [conv(filters=4)]
        found = loaded(old.write(tmp_path / "m.h5", rows, {"slides": {"kernel": kernel}}, "2.2.4", "theano"))
        x = old.noise(2, 6, 6, 2)
        np.testing.assert_allclose(answer(found, x), old.convolution(x, kernel), rtol=1e-4, atol=1e-5)
        assert any("1 kernels were mirrored" in note for note in found.notes)

    def test_those_of_each_channel_too(self, loaded: Any, tmp_path: Path) -> None:
        kernel = old.noise(3, 3, 2, 1)
        rows = [conv("DepthwiseConv2D", depth_multiplier=1)]
        path = old.write(tmp_path / "m.h5", rows, {"slides": {"depthwise_kernel": kernel}}, "2.2.4", "theano")
        x = old.noise(2, 6, 6, 2)
        wanted = [old.convolution(x[..., one : one + 1], kernel[:, :, one : one + 1]) for one in range(2)]
        np.testing.assert_allclose(answer(loaded(path), x), np.concatenate(wanted, -1), rtol=1e-4, atol=1e-5)

    @pytest.mark.parametrize(
        "row",
        [
            conv(filters=4, padding="same", strides=[2, 2]),
            conv(filters=4, padding="same", kernel_size=[2, 2]),
            old.layer("MaxPooling2D", "slides", pool_size=[2, 2], padding="same", batch_input_shape=[None, 6, 6, 2]),
            old.layer("UpSampling2D", "slides", size=[2, 2], interpolation="bilinear", batch_input_shape=[None, 6, 6, 2]),
        ],
        ids=["strides", "an even kernel", "pooling", "bilinear"],
    )
    def test_what_it_computes_in_its_own_way_is_refused(self, loaded: Any, tmp_path: Path, row: old.Row) -> None:
        with pytest.raises(
            SourceError, match=r"by Keras 2.2.4 with theano, which computes the layer 'slides' .* differently from TensorFlow"
        ):
            loaded(old.write(tmp_path / "m.h5", [row], {}, "2.2.4", "theano"))

    def test_a_kernel_that_is_not_found_is_missed(self, loaded: Any, tmp_path: Path) -> None:
        path = old.write(tmp_path / "m.h5", [conv(filters=4)], {"slides": {"other": old.noise(3, 3, 2, 4)}}, "2.2.4", "theano")
        with pytest.raises(SourceError, match="its layers have 1 and 0 were found"):
            loaded(path)

    def test_weights_alone_are_refused(self, loaded: Any, tmp_path: Path) -> None:
        side.convolutions(side.tf_keras()).save_weights(tmp_path / "m.h5")
        with h5py.File(tmp_path / "m.h5", "r+") as file:
            file.attrs["backend"] = b"theano"
        (tmp_path / "net.py").write_text(
            "import keras\nfrom support.models import keras_models\ndef net(): return keras_models.convolutions(keras)\n"
        )
        with pytest.raises(SourceError, match=r"wrote with theano, which applies kernels differently .*save the whole model"):
            loaded(tmp_path / "m.h5", arch=f"{tmp_path / 'net.py'}:net")

    def test_a_backend_that_is_not_known_is_refused(self, loaded: Any, tmp_path: Path) -> None:
        with pytest.raises(SourceError, match="with mxnet, which computes the layer 'slides'"):
            loaded(old.write(tmp_path / "m.h5", [conv(filters=4)], {}, "2.2.4", "mxnet"))


@pytest.mark.parametrize(("package", "noted"), [("keras", True), ("tf_keras", False)])
def test_weights_of_keras_2_in_an_architecture_of_keras_3(loaded: Any, tmp_path: Path, package: str, noted: bool) -> None:
    """The code decides what the model computes; a note says that its names changed their meaning."""
    build = "k.Sequential([k.Input((5,), name='x'), k.layers.Dense(3, activation='hard_sigmoid', name='changed')])"
    (tmp_path / "net.py").write_text(f"import {package} as k\ndef net(): return {build}\n")
    CHANGED["hard_sigmoid, a head"](side.tf_keras()).save_weights(tmp_path / "m.h5")
    notes = loaded(tmp_path / "m.h5", arch=f"{tmp_path / 'net.py'}:net").notes
    changed = [note for note in notes if "and the architecture is built by Keras 3, which changed hard_sigmoid" in note]
    assert bool(changed) == noted


@pytest.mark.parametrize("version", ["1.2.2", ""])
def test_keras_1_is_told_from_the_others(loaded: Any, tmp_path: Path, version: str) -> None:
    row = old.layer("Dense", "dense", output_dim=3, init="glorot_uniform", W_regularizer=None, batch_input_shape=[None, 5])
    path = old.write(tmp_path / "m.h5", [row], {"dense": {"kernel:0": old.noise(5, 3)}}, version)
    with pytest.raises(SourceError, match=r"was written by Keras 1.*neither Keras 3 nor tf-keras reads; load it with Keras 2.2.4"):
        loaded(path)


def test_without_a_version_it_is_said_whose_meaning_was_taken(loaded: Any, tmp_path: Path) -> None:
    row = old.layer("Dense", "dense", units=3, activation="hard_sigmoid", use_bias=False, batch_input_shape=[None, 5])
    kernel = old.noise(5, 3)
    found = loaded(old.write(tmp_path / "m.h5", [row], {"dense": {"kernel:0": kernel}}, ""))
    x = old.noise(4, 5, seed=1)
    np.testing.assert_allclose(answer(found, x), old.hard_sigmoid(x @ kernel), rtol=1e-5, atol=1e-6)
    assert any("written by Keras 2 (the file does not state which version), read by tf-keras" in note for note in found.notes)

    model = CHANGED["hard_sigmoid, a head"](side.keras())
    path = side.saved(model, tmp_path / "new.h5")
    with h5py.File(path, "r+") as file:
        for group in (file, file["model_weights"]):
            del group.attrs["keras_version"]
    found = loaded(path)
    np.testing.assert_allclose(answer(found, x), model(x), rtol=1e-5, atol=1e-6)
    assert any("written by Keras 3 (the file does not state which version), read by Keras 3" in note for note in found.notes)

"""Keras sources: read without running their code, called with training=False, every weight there, kept for any process to read."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from roadworthy.build import sources
from roadworthy.build.sources import Loaded, LoadRequest, user_code
from roadworthy.build.sources.keras import tensors
from roadworthy.core.errors import (
    ArchitectureMismatch,
    BackendMissing,
    NotInference,
    SourceError,
    SourceRefused,
    UsageError,
)
from roadworthy.core.isolation import isolate
from roadworthy.core.isolation.worker import Limits
from roadworthy.core.stages import Graph, Source
from roadworthy.core.types import BATCH, Array, TensorSpec
from roadworthy.frameworks.tensorflow import function, keras_model
from support.models import keras_models as side

pytestmark = pytest.mark.slow

FEATURES = "features:float32[batch,5]"


@pytest.fixture
def layers(tmp_path: Path) -> Path:
    """The user's own file of layers."""
    path = tmp_path / "own_layers.py"
    path.write_text(side.LAYERS)
    return path


@pytest.fixture
def own(layers: Path) -> Any:
    """Its module, as the user's own program imports it."""
    side.keras()
    return user_code.module(f"{layers}:Scale")


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., Loaded]:
    """The reader alone, past the static inspection that comes before it."""

    def run(kind: str, path: Path, *said: str, arch: str | None = None, trust: bool = False) -> Loaded:
        out = tmp_path / f"read{len(list(tmp_path.glob('read*')))}"
        source = Source(path, kind, "tensorflow", "", 0, arch, trust)
        return sources.load(LoadRequest(source, tuple(map(sources.parse_input, said)), None, out))

    return run


@pytest.fixture
def lived(tmp_path: Path) -> Callable[..., Loaded]:
    """A live model, saved and loaded as ``deploy`` does."""

    def run(model: Any, *said: str, allow: bool = False) -> Loaded:
        folder, specs = tmp_path / f"live{len(list(tmp_path.glob('live*')))}", tuple(map(sources.parse_input, said))
        folder.mkdir()
        return sources.load(LoadRequest(sources.save_live(model, folder, specs), specs, None, folder / "out", allow))

    return run


def answer(graph: Graph, feeds: dict[str, Array]) -> dict[str, Array]:
    """What the kept original answers."""
    if graph.format == "keras":
        return keras_model.load(graph.path).answer(feeds)
    return dict(function.open_function(graph.path)(feeds))


def names(loaded: Loaded) -> str:
    return " ".join(map(str, (*loaded.signature.inputs, "->", *loaded.signature.outputs)))


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("reader", ["keras", "tf_keras"])
def test_a_whole_model_is_read_and_kept_as_it_answers(loaded: Any, tmp_path: Path, reader: str, suffix: str) -> None:
    model = side.convolutions(getattr(side, reader)())
    found = loaded(side.saved(model, tmp_path / f"m{suffix}"))
    assert names(found) == f"image:float32[{BATCH},8,8,3] -> scores:float32[{BATCH},3]"
    assert any("all 8 weight tensors" in proof for proof in found.proofs)
    assert any("called with training=False, and so were all" in proof for proof in found.proofs)
    feeds = side.feeds(found.signature)
    np.testing.assert_allclose(answer(found.graph, feeds)["scores"], model(feeds["image"], training=False), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("reader", ["keras", "tf_keras"])
def test_inputs_and_outputs_keep_their_keys(loaded: Any, tmp_path: Path, reader: str) -> None:
    model = side.two_ends(getattr(side, reader)())
    path = side.saved(model, tmp_path / "m.keras")
    assert [axis.symbol for axis in loaded(path).signature.sizes] == ["words_1"]
    found = loaded(path, "words:float32[batch,7,3]")
    assert {spec.name for spec in found.signature.outputs} == {"sum", "score"}
    feeds = side.feeds(found.signature)
    answers, wanted = answer(found.graph, feeds), model(feeds, training=False)
    for name in wanted:
        np.testing.assert_allclose(answers[name], wanted[name], rtol=1e-5, atol=1e-6)


def test_a_state_is_an_input_or_is_refused(loaded: Any, tmp_path: Path) -> None:
    k = side.keras()
    inside = k.Sequential([k.Input(batch_shape=(1, 5, 4)), k.layers.LSTM(3, stateful=True, name="memory"), k.layers.Dense(2)])
    with pytest.raises(NotInference, match=r"keeps a state between calls \(the state 0 of 'memory' \(LSTM\), the state 1"):
        loaded(side.saved(inside, tmp_path / "inside.keras"))
    x, state = k.Input((None, 4), name="x"), k.Input((3,), name="state")
    steps, after = k.layers.GRU(3, return_sequences=True, return_state=True, name="gru")(x, initial_state=state)
    outside = k.Model([x, state], [k.layers.Dense(2, name="scores")(steps), after])
    found = loaded(side.saved(outside, tmp_path / "outside.keras")).signature
    assert [(spec.name, spec.shape) for spec in (*found.inputs, *found.outputs)] == [
        ("x", (BATCH, "x_1", 4)), ("state", (BATCH, 3)), ("scores", (BATCH, "x_1", 2)), ("gru", (BATCH, 3)),
    ]  # fmt: skip


def test_tf_keras_reads_what_keras_3_refuses(loaded: Any, tmp_path: Path) -> None:
    found = loaded(side.old_operations(tmp_path / "m.h5"))
    assert any("written by Keras 2." in note and "read by tf-keras" in note for note in found.notes)
    rows = np.array([[1, -2, 0, 0, 0, 0]], np.float32)
    (wanted,) = answer(found.graph, {"features": rows}).values()
    assert wanted.tolist() == [[2.0, 2.0, 2.0]]


def test_without_tf_keras_the_remedy_is_named(loaded: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = side.old_operations(tmp_path / "m.h5")
    monkeypatch.setitem(__import__("sys").modules, "tf_keras", None)
    with pytest.raises(BackendMissing, match=r"pip install --no-deps tf-keras; Keras 3 refuses it: Unknown layer: 'TFOpLambda'"):
        loaded(path)


@pytest.mark.parametrize(("name", "inputs"), [("cifar10_resnet8.h5", (32, 32, 3)), ("visual_wake_words_96.h5", (96, 96, 3))])
def test_real_models_are_read(real: Path, loaded: Any, name: str, inputs: tuple[int, ...]) -> None:
    found = loaded(real / "models" / name)
    assert found.signature.inputs == (TensorSpec("input_1", "float32", (BATCH, *inputs)),)
    assert any("weight tensors of the file are in the model, bit for bit" in proof for proof in found.proofs)
    assert "written by Keras 2.4.0, read by tf-keras, to which its names mean the same" in found.notes


def test_custom_classes_come_from_arch(loaded: Any, own: Any, layers: Path, tmp_path: Path) -> None:
    path = side.saved(own.custom(), tmp_path / "m.keras")
    with pytest.raises(UsageError, match=r"Scale.*house>doubled|house>Shift.*--arch"):
        loaded(path)
    found = loaded(path, arch=f"{layers}:Scale")
    assert names(found) == (f"image:float32[{BATCH},4] other:float32[{BATCH},3] -> sum:float32[{BATCH},3] head:float32[{BATCH},2]")


def test_a_class_that_arch_does_not_bring_is_named(read: Any, own: Any, tmp_path: Path) -> None:
    path = side.saved(own.built(own.Classifier), tmp_path / "m.keras")
    (tmp_path / "other.py").write_text("class Unrelated: pass\n")
    with pytest.raises(SourceError, match=r"uses 'Classifier', which is not part of Keras; --arch .*other.py:Unrelated does not bring it"):
        read("keras", path, arch=f"{tmp_path / 'other.py'}:Unrelated")


def test_weights_that_keras_lost_in_silence_are_missed(loaded: Any, own: Any, layers: Path, tmp_path: Path) -> None:
    """Keras 3 cannot build a model of two arguments again; it loads none of its weights, and makes new ones up at the first call."""
    path = side.saved(own.built(own.Pair, 2), tmp_path / "m.keras")
    said = ("left:float32[batch,5]", "right:float32[batch,5]")
    with pytest.raises(SourceError, match=r"2 of the 2 weights in .* did not reach the model \(dense/vars/0 \[5, 3\]"):
        loaded(path, *said, arch=f"{layers}:Pair")


def test_a_weight_that_is_not_in_the_file_is_missed(tmp_path: Path) -> None:
    path = side.saved(side.convolutions(side.keras()), tmp_path / "m.keras")
    model = side.keras().models.load_model(path)
    model.get_layer("scores").kernel.assign(np.zeros((144, 3)))
    with pytest.raises(SourceError, match=r"1 of the 8 weights .* did not reach"):
        tensors.all_there(model, path)


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("policy", ["mixed_float16", "bfloat16"])
def test_the_reference_of_half_precision_is_float32(loaded: Any, tmp_path: Path, policy: str, suffix: str) -> None:
    keras = side.keras()
    options = {"dtype": policy}
    half = keras.Sequential([keras.Input((6,), name="x"), keras.layers.Dense(4, **options), keras.layers.BatchNormalization(**options)])
    found = loaded(side.saved(half, tmp_path / f"m{suffix}"))
    assert [str(spec) for spec in found.signature.outputs] == [f"batch_normalization{half.layers[-1].name[19:]}:float32[{BATCH},4]"]
    assert any(f"computes in {policy}; its reference computes in float32" in note for note in found.notes)
    feeds = side.feeds(found.signature)
    kernel, bias = (np.asarray(weight.numpy(), np.float32) for weight in half.layers[0].weights)
    (given,) = answer(found.graph, feeds).values()
    np.testing.assert_allclose(given, (feeds["x"] @ kernel + bias) / np.sqrt(1 + np.float32(1e-3)), rtol=1e-5, atol=1e-6)


def test_a_quantised_model_is_said_to_be_one(loaded: Any, tmp_path: Path) -> None:
    keras = side.keras()
    model = keras.Sequential([keras.Input((8,), name="x"), keras.layers.Dense(4)])
    with pytest.warns(UserWarning, match="InputLayer does not have a `quantize`"):
        model.quantize("int8")
    assert any("Keras quantised 1 of the model's layers" in note for note in loaded(side.saved(model, tmp_path / "m.keras")).notes)


@pytest.fixture(params=[("keras", ".keras"), ("keras", ".h5"), ("tf_keras", ".keras"), ("tf_keras", ".h5")], ids="-".join)
def hidden(request: Any, tmp_path: Path) -> tuple[str, Path, Path]:
    """A file whose Lambda leaves a mark when it runs: the reader for its kind, the file, the mark."""
    (maker, suffix), mark = request.param, tmp_path / "mark"
    k = getattr(side, maker)()
    text = f"lambda x: (open({str(mark)!r}, 'w').close(), x)[1]"
    model = k.Sequential([k.Input((4,), name="x"), k.layers.Lambda(eval(text), output_shape=(4,)), k.layers.Dense(2)])
    path = side.saved(model, tmp_path / f"m{suffix}")
    mark.unlink(missing_ok=True)
    return "keras" if suffix == ".keras" else "hdf5", path, mark


def test_code_in_the_file_runs_only_when_trusted(hidden: tuple[str, Path, Path], read: Any, loaded: Any) -> None:
    kind, path, mark = hidden
    for refused in (lambda: loaded(path), lambda: read(kind, path)):
        with pytest.raises(SourceRefused, match="--trust"):
            refused()
    assert not mark.exists()
    found = read(kind, path, trust=True)
    assert mark.exists() and found.signature.inputs[0].name == "x"


def test_tf_keras_asked_alone_is_guarded_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read: Any) -> None:
    """The planted fault: with the guard taken away, the mark appears, so it is the guard that keeps it away."""
    from roadworthy.build.sources.keras import config as keras_config
    from roadworthy.build.sources.keras import reader as keras_reader

    k, mark = side.tf_keras(), tmp_path / "mark"
    text = f"lambda x: (open({str(mark)!r}, 'w').close(), x)[1]"
    path = side.saved(k.Sequential([k.Input((4,)), k.layers.Lambda(eval(text))]), tmp_path / "m.h5")
    mark.unlink(missing_ok=True)
    source = Source(path, "hdf5", "tensorflow", "", 0)
    with pytest.raises(SourceRefused, match="holds Python code"):
        keras_reader.read(source)
    assert not mark.exists()
    monkeypatch.setattr(keras_config, "refuse_code", lambda config, path: None)
    keras_reader.read(source)
    assert mark.exists()


def test_both_readers_reasons_are_given(read: Any, tmp_path: Path) -> None:
    path = side.saved(side.convolutions(side.tf_keras()), tmp_path / "m.h5")
    with h5py.File(path, "r+") as file:
        config = json.loads(file.attrs["model_config"])
        config["config"]["layers"][3]["config"]["kernel_size"] = "three"
        file.attrs["model_config"] = json.dumps(config)
    with pytest.raises(SourceError, match=r"cannot be read as a Keras model: tf-keras refuses it: .*; Keras 3 refuses it: "):
        read("hdf5", path)


class TestWeights:
    def test_they_fill_the_architecture(self, loaded: Any, own: Any, layers: Path, tmp_path: Path) -> None:
        model = own.classifier()
        model.dense.kernel.assign(np.arange(20.0).reshape(5, 4))
        model.save_weights(tmp_path / "m.weights.h5")
        found = loaded(tmp_path / "m.weights.h5", FEATURES, arch=f"{layers}:classifier")
        assert found.graph.format == "keras"
        assert any("gives the answers of the model it was made from" in note for note in found.graph.notes)
        np.testing.assert_allclose(answer(found.graph, {"features": np.eye(5, dtype=np.float32)})["logits"], np.arange(20.0).reshape(5, 4))

    @pytest.mark.parametrize("maker", ["keras", "tf_keras"])
    def test_those_of_keras_2_too(self, loaded: Any, tmp_path: Path, maker: str) -> None:
        model = side.convolutions(side.tf_keras())
        model.save_weights(tmp_path / "m.h5")
        (tmp_path / "net.py").write_text(
            f"import {maker}\nfrom support.models import keras_models\ndef net(): return keras_models.convolutions({maker})\n"
        )
        found = loaded(tmp_path / "m.h5", arch=f"{tmp_path / 'net.py'}:net")
        feeds = side.feeds(found.signature)
        np.testing.assert_allclose(answer(found.graph, feeds)["scores"], model(feeds["image"]), rtol=1e-5, atol=1e-6)

    def test_an_architecture_that_does_not_fit(self, loaded: Any, own: Any, layers: Path, tmp_path: Path) -> None:
        own.classifier().save_weights(tmp_path / "m.weights.h5")
        wrong = r"dense/vars/0 is \[5, 4\] in the file and \[5, 7\] in the architecture"
        with pytest.raises(ArchitectureMismatch, match=wrong):
            loaded(tmp_path / "m.weights.h5", FEATURES, arch=f"{layers}:classifier(classes=7)")
        with pytest.raises(ArchitectureMismatch, match=r"missing in the file: .*unexpected in the file: "):
            loaded(tmp_path / "m.weights.h5", FEATURES, arch=f"{layers}:custom")

    def test_an_old_one_that_does_not_fit(self, loaded: Any, tmp_path: Path) -> None:
        side.convolutions(side.tf_keras()).save_weights(tmp_path / "m.h5")
        (tmp_path / "net.py").write_text(
            "import tf_keras\nfrom support.models import keras_models\ndef net(): return keras_models.convolutions(tf_keras, classes=9)\n"
        )
        with pytest.raises(
            ArchitectureMismatch, match=r"\(8 tensors\); of another shape: scores/0 is \[144, 3\] in the file and \[144, 9\]"
        ):
            loaded(tmp_path / "m.h5", arch=f"{tmp_path / 'net.py'}:net")

    def test_an_architecture_must_be_built(self, loaded: Any, own: Any, layers: Path, tmp_path: Path) -> None:
        own.classifier().save_weights(tmp_path / "m.weights.h5")
        with pytest.raises(UsageError, match="has no weights yet"):
            loaded(tmp_path / "m.weights.h5", arch=f"{layers}:unbuilt")

    def test_a_model_that_cannot_be_saved_is_exported(self, loaded: Any, own: Any, layers: Path, tmp_path: Path) -> None:
        model = own.pair()
        model.save_weights(tmp_path / "m.weights.h5")
        found = loaded(tmp_path / "m.weights.h5", "left:float32[batch,5]", "right:float32[batch,5]", arch=f"{layers}:pair")
        assert found.graph.format == "saved_model" and any("exported as a SavedModel" in note for note in found.graph.notes)
        feeds = side.feeds(found.signature)
        wanted = model(feeds["left"], feeds["right"], training=False)
        for name, value in zip(("output_0", "output_1"), wanted, strict=True):
            np.testing.assert_allclose(answer(found.graph, feeds)[name], value, rtol=1e-5, atol=1e-6)


class TestInferenceMode:
    def test_a_dropout_that_a_model_forces_on_is_caught_by_name(self, lived: Any, own: Any) -> None:
        with pytest.raises(NotInference, match=r"gave two answers .* the first to differ is 'dropout\w*' \(Dropout\)"):
            lived(own.built(own.Noisy), FEATURES)
        assert any("the user says it is meant" in proof for proof in lived(own.built(own.Noisy), FEATURES, allow=True).proofs)

    def test_one_baked_into_a_graph_of_keras_2_too(self, lived: Any) -> None:
        k = side.tf_keras()
        x = k.Input((8,), name="x")
        with pytest.raises(NotInference, match=r"the first to differ is 'mc' \(Dropout\)"):
            lived(k.Model(x, k.layers.Dropout(0.5, name="mc")(x, training=True)))

    def test_one_baked_into_a_graph_of_keras_3_gives_way(self, lived: Any) -> None:
        """As it does in ``model.predict``: what the caller says wins over what the graph was built with."""
        k = side.keras()
        x = k.Input((8,), name="x")
        assert lived(k.Model(x, k.layers.Dropout(0.5)(x, training=True))).graph.format == "keras"

    def test_a_batch_norm_of_the_batch_itself_is_caught_by_name(self, lived: Any, own: Any) -> None:
        with pytest.raises(NotInference, match=r"changes with the others in its batch .* beginning at 'batch_normalization\w*'"):
            lived(own.built(own.Coupled), FEATURES)

    def test_a_state_kept_between_calls_is_caught(self, lived: Any) -> None:
        k = side.keras()
        with pytest.raises(NotInference, match="a state that is kept between calls"):
            lived(k.Sequential([k.Input(batch_shape=(2, 3, 4)), k.layers.GRU(4, stateful=True)]))

    def test_a_layer_put_into_training_mode_is_named(self, lived: Any, own: Any) -> None:
        k = side.keras()
        x = k.Input((5,), name="x")
        inner = own.built(own.Coupled)
        found = lived(k.Model(x, inner(x)), allow=True)
        assert any("with training=True, whatever it is told itself" in note for note in found.notes)

    def test_a_fixed_batch_stays_one(self, lived: Any) -> None:
        k = side.keras()
        x = k.Input(batch_shape=(4, 8), name="x")
        assert lived(k.Model(x, k.layers.Dense(2)(x))).signature.inputs[0].shape == (4, 8)

    def test_the_first_call_of_a_sequential_fixes_no_size(self, lived: Any) -> None:
        k = side.keras()
        model = k.Sequential([k.layers.Dense(2)])
        model(np.zeros((2, 5), np.float32))
        assert lived(model).signature.inputs[0].shape == (BATCH, 5)


class TestLive:
    @pytest.mark.slow
    def test_any_process_reads_it_without_the_users_code(self, own: Any, tmp_path: Path) -> None:
        """In a child that has neither the file of layers nor the test."""
        model = own.custom()
        before = [np.array(weight) for weight in model.get_weights()]
        source = sources.save_live(model, tmp_path)
        shutil.move(own.__file__, tmp_path / "elsewhere.txt")
        found = isolate.call(sources.load, LoadRequest(source, (), None, tmp_path / "out"), limits=Limits(seconds=120))
        feeds = side.feeds(found.signature)
        wanted = dict(zip(("sum", "head"), model([feeds["image"], feeds["other"]], training=False), strict=True))
        for name, value in answer(found.graph, feeds).items():
            np.testing.assert_allclose(value, wanted[name], rtol=1e-5, atol=1e-6)
        assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))

    def test_its_pickled_classes_need_trust(self, own: Any, tmp_path: Path) -> None:
        source = sources.save_live(own.custom(), tmp_path)
        assert source.trust and "roadworthy.pkl" in zipfile.ZipFile(source.path).namelist()
        with pytest.raises(SourceRefused, match=r"roadworthy\.pkl"):
            sources.identify(source.path)

    def test_a_subclassed_model_by_the_names_of_its_call(self, lived: Any, own: Any) -> None:
        model = own.built(own.Classifier)
        assert sources.parameters(model) == ("features",)
        found = lived(model, FEATURES)
        assert names(found) == f"features:float32[{BATCH},5] -> logits:float32[{BATCH},4]"

    @pytest.mark.parametrize("kind", ["Unsaveable", "Pair", "forgetful"])
    def test_what_does_not_come_back_the_same_is_exported(self, lived: Any, own: Any, kind: str) -> None:
        model = own.forgetful() if kind == "forgetful" else own.built(getattr(own, kind), 2 if kind == "Pair" else 1)
        said = {"Unsaveable": [FEATURES], "Pair": ["left:float32[batch,5]", "right:float32[batch,5]"], "forgetful": []}[kind]
        found = lived(model, *said)
        assert found.graph.format == "saved_model"
        feeds = side.feeds(found.signature)
        wanted = model(*[feeds[name] for name in sources.parameters(model)], training=False)
        given = answer(found.graph, feeds)
        for name, value in keras_model.flatten(wanted):
            np.testing.assert_allclose(given[name if name in given else next(iter(given))], value, rtol=1e-5, atol=1e-6)

    def test_shared_layers_that_keras_cannot_read_back_are_exported(self, lived: Any) -> None:
        k = side.keras()
        shared, x, y = k.layers.Dense(8), k.Input((8,), name="x"), k.Input((8,), name="y")
        inner = k.Model(x, shared(shared(x)))
        model = k.Model(y, {"twice": inner(y), "once": shared(y)})
        found = lived(model)
        feeds = side.feeds(found.signature)
        for name, value in model(feeds["y"]).items():
            np.testing.assert_allclose(answer(found.graph, feeds)[name], value, rtol=1e-5, atol=1e-6)

    def test_models_of_tf_keras(self, lived: Any) -> None:
        k = side.tf_keras()
        model = side.convolutions(k)
        found = lived(model)
        feeds = side.feeds(found.signature)
        np.testing.assert_allclose(answer(found.graph, feeds)["scores"], model(feeds["image"]), rtol=1e-5, atol=1e-6)

    def test_tables_of_words_come_along(self, tmp_path: Path) -> None:
        k = side.keras()
        text = k.Input((), dtype="string", name="text")
        words = k.layers.TextVectorization(vocabulary=["good", "bad"], output_sequence_length=2)
        found = sources.save_live(k.Model(text, words(text)), tmp_path)
        out = tmp_path / "out"
        from roadworthy.core import samples

        rows = np.array([b"good", b"bad good", b"what"], object)
        loaded = sources.load(LoadRequest(found, (), samples.write(tmp_path / "samples", {"text": rows}), out))
        assert [spec.dtype for spec in loaded.signature.inputs] == ["object"]
        (given,) = answer(loaded.graph, {"text": rows}).values()
        assert given.tolist() == [[2, 0], [3, 2], [1, 0]]

    def test_what_cannot_be_saved_yet_is_said(self, tmp_path: Path, own: Any) -> None:
        k = side.keras()
        with pytest.raises(SourceError, match=r"not built.*call it on a batch"):
            sources.save_live(k.Sequential([k.layers.Dense(3)]), tmp_path)
        with pytest.raises(UsageError, match=r"keras.Sequential\(\[layer\]\)"):
            sources.save_live(k.layers.Dense(3), tmp_path)
        with pytest.raises(SourceError, match="needs example_inputs"):
            sources.save_live(own.built(own.Unsaveable), tmp_path)
        with pytest.raises(UsageError, match="not a model of PyTorch, Keras or TensorFlow"):
            sources.save_live(object(), tmp_path)

    def test_tf_modules(self, lived: Any) -> None:
        import tensorflow as tf

        class Module(tf.Module):
            def __init__(self) -> None:
                super().__init__()
                self.weight = tf.Variable(tf.ones((4, 3)))

            @tf.function
            def __call__(self, x: Any, training: bool = True) -> Any:
                return {"y": x @ self.weight + (100.0 if training else 0.0)}

        class Typed(Module):
            @tf.function(input_signature=[tf.TensorSpec((None, 4), name="rows")])
            def __call__(self, rows: Any) -> Any:
                return rows @ self.weight

        with pytest.raises(SourceError, match="does not say what it takes"):
            lived(Module())
        assert sources.parameters(Module()) == ("x",)
        found = lived(Module(), "x:float32[batch,4]")
        assert answer(found.graph, {"x": np.ones((2, 4), np.float32)})["y"].tolist() == [[4.0] * 3] * 2
        assert names(lived(Typed())).startswith(f"rows:float32[{BATCH},4]")

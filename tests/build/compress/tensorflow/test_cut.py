"""Channels of Keras models: where they can be cut, that what is left answers as the original that ignores them, and what is refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from roadworthy.build.compress import BlocksRequest, Cut, CutRequest, Cuttable, Importance, blocks, cut
from roadworthy.build.compress.tensorflow import channels, importance, surgery
from roadworthy.build.compress.tensorflow.channels import Channels
from roadworthy.core.errors import DataError, StepFailed
from roadworthy.core.samples import SampleSet, write_array
from roadworthy.core.stages import Graph
from roadworthy.frameworks.tensorflow import keras_model
from roadworthy.frameworks.tensorflow.keras_model import Reader
from support.models import keras_graphs, keras_zoo
from support.models import keras_models as side

pytestmark = pytest.mark.slow

IMPORTANCES: tuple[Importance, ...] = ("l1", "batchnorm", "gradient")
ROUNDING = 1e-5


@dataclass(frozen=True)
class Made:
    """A model as a graph, with noise for it; ``live`` is the model that was saved."""

    live: Any
    graph: Graph
    samples: SampleSet
    folder: Path

    def blocks(self) -> Cuttable:
        return blocks(BlocksRequest(self.graph, self.samples))

    def cut(self, widths: Mapping[str, int], how: Importance = "l1", name: str = "cut") -> Cut:
        return cut(CutRequest(self.graph, widths, how, self.samples, self.folder / name))


@pytest.fixture
def made(tmp_path: Path) -> Callable[..., Made]:
    def make(build: keras_zoo.Build, reader: Reader = "keras", **options: Any) -> Made:
        k = keras_model.package(reader)
        k.utils.set_random_seed(0)
        model = keras_zoo.shaken(build(k))
        graph = keras_graphs.graph(model, reader, tmp_path / "model", **options)
        return Made(model, graph, keras_graphs.samples(graph.signature, tmp_path / "samples"), tmp_path)

    return make


def halves(cuttable: Cuttable) -> dict[str, int]:
    return {block.name: block.channels // 2 // block.multiple * block.multiple for block in (*cuttable.blocks, *cuttable.streams)}


@pytest.mark.parametrize("form", keras_zoo.CUT)
def test_every_form_of_block_is_cut_or_left_and_never_wrong(made: Callable[..., Made], form: str) -> None:
    build, can, sums, cannot = keras_zoo.CUT[form]
    one = made(build)
    found = one.blocks()
    assert {block.name for block in found.blocks} == can
    assert {block.name for block in found.streams} == sums
    assert set(found.left) == cannot
    if not can | sums:
        return
    how = IMPORTANCES[list(keras_zoo.CUT).index(form) % len(IMPORTANCES)]
    widths = halves(found)
    result = one.cut(widths, how)
    # Not zero: the two are computed from different weights.
    assert result.error < ROUNDING
    assert result.parameters < found.parameters and result.multiplications < found.multiplications
    removed = round(100 - 100 * result.multiplications / found.multiplications)
    assert result.graph == replace(one.graph, path=result.graph.path, derived_from="keras", compression=f"pruned{removed}")
    smaller = keras_model.load(result.graph.path).model
    for path, width in widths.items():
        model, _, name = path.rpartition("/")
        layer = (smaller.get_layer(model) if model else smaller).get_layer(name)
        assert channels.size(layer) == width


@pytest.mark.parametrize("form", ["flat", "depthwise", "normalised", "prelu", "sequential", "nested"])
def test_models_of_keras_2_are_cut_too(made: Callable[..., Made], form: str) -> None:
    build, can, sums, cannot = keras_zoo.CUT[form]
    one = made(build, "tf_keras", form="hdf5")
    found = one.blocks()
    assert tuple({block.name for block in blocks} for blocks in (found.blocks, found.streams)) == (can, sums)
    assert set(found.left) == cannot
    result = one.cut(halves(found), "gradient")
    assert result.error < ROUNDING
    assert (result.graph.path / "model.h5").is_file()


def test_the_answers_are_those_of_the_original_that_ignores_the_channels(made: Callable[..., Made]) -> None:
    """By hand, without the module's own proof."""
    one = made(keras_zoo.flat)
    result = one.cut({"hidden": 4})
    kernel, _ = one.live.get_layer("hidden").get_weights()
    least = np.argsort(np.abs(kernel).sum(0))[:6]
    scores = one.live.get_layer("scores")
    weight, bias = scores.get_weights()
    weight[least] = 0
    scores.set_weights([weight, bias])
    feeds = one.samples.feeds(0, 8)
    wanted = np.asarray(one.live(feeds["image"], training=False))
    np.testing.assert_allclose(keras_model.load(result.graph.path).answer(feeds)["out0"], wanted, rtol=1e-4, atol=1e-5)


def test_multiplications_and_weights_are_counted(made: Callable[..., Made]) -> None:
    one = made(keras_zoo.plain)
    found = one.blocks()
    each = {"conv0": 64 * 9 * 3 * 6, "conv1": 16 * 9 * 6 * 8, "conv2": 16 * 8 * 10, "scores": 10 * 4}
    assert found.multiplications == sum(each.values())
    assert found.parameters == 3 * 9 * 6 + 4 * 6 + 9 * 6 * 8 + 8 + 4 * 8 + 8 * 10 + 4 * 10 + 10 * 4 + 4
    works = {block.name: block.work * found.multiplications for block in found.blocks}
    assert works == pytest.approx({
        "conv0": each["conv0"] + each["conv1"], "conv1": each["conv1"] + each["conv2"], "conv2": each["conv2"] + each["scores"]
    })  # fmt: skip
    assert found.blocks[0].layers == ("conv0", "norm0", "conv1")
    result = one.cut({"conv0": 3})
    assert result.multiplications == found.multiplications - (each["conv0"] + each["conv1"]) // 2


def test_a_depthwise_convolution_and_a_concatenation_count_by_their_part(made: Callable[..., Made]) -> None:
    one = made(keras_zoo.depthwise)
    found = one.blocks()
    work = {block.name: block.work * found.multiplications for block in found.blocks}["expand1"]
    assert work == pytest.approx(64 * (8 * 16 + 9 * 16 * 2 + 32 * 8))


def test_channels_that_reach_a_layer_in_groups_keep_the_same_number_of_each(made: Callable[..., Made]) -> None:
    one = made(keras_zoo.grouped)
    (block,) = (block for block in one.blocks().blocks if block.name == "grouped")
    assert block.multiple == 4
    with pytest.raises(StepFailed, match="'grouped' cannot have 6 channels: it may keep 1 to 12 of them in multiples of 4"):
        one.cut({"grouped": 6})


def test_a_refusal_names_the_layer_and_the_cause(made: Callable[..., Made]) -> None:
    assert made(keras_zoo.unequal).blocks().left == {
        "first": "its channels are joined with an input of the model",
        "second": "its channels reach 'mixed' (LayerNormalization), which is not known to keep channels apart",
        "third": "its channels reach 'mixed' (LayerNormalization), which is not known to keep channels apart",
        "fourth": "its channels are in the model's answer",
        "fifth": "its channels are in the model's answer",
    }


def test_a_sum_is_cut_in_every_layer_that_makes_a_part_of_it(made: Callable[..., Made]) -> None:
    one = made(keras_zoo.residual)
    stem, second = one.blocks().streams
    assert stem.layers[0] == "stem" and set(stem.layers) == {"stem", "first0", "second0", "project1", "first1"}
    assert set(second.layers) == {"second1", "project1", "scores"}
    result = one.cut({"stem": 4, "project1": 7})
    smaller = keras_model.load(result.graph.path).model
    assert [smaller.get_layer(name).filters for name in ("stem", "second0", "project1", "second1", "first0")] == [4, 4, 7, 7, 8]
    assert result.error < ROUNDING
    with pytest.raises(StepFailed, match="the layer 'second1' cannot be cut: it is cut together with 'project1', by that name"):
        one.cut({"second1": 7})


def test_shared_layers_and_groups_are_named(made: Callable[..., Made], tmp_path: Path) -> None:
    assert made(keras_zoo.shared).blocks().left["before"] == "'shared' (Conv2D) is called 2 times with the same weights"


@pytest.mark.parametrize(
    ("widths", "words"),
    [
        ({"conv9": 4}, "the layer 'conv9' cannot be cut: no block of the model has this name"),
        ({"scores": 2}, "the layer 'scores' cannot be cut: its channels are in the model's answer"),
        ({"conv9": 4, "conv0": 3}, "the layer 'conv9' cannot be cut"),
        ({"conv0": 7}, "the layer 'conv0' cannot have 7 channels: it may keep 1 to 6 of them"),
        ({"conv0": 0}, "the layer 'conv0' cannot have 0 channels: it may keep 1 to 6 of them"),
    ],
)
def test_a_width_that_a_block_cannot_have_is_refused(made: Callable[..., Made], widths: dict[str, int], words: str) -> None:
    with pytest.raises(StepFailed, match=words):
        made(keras_zoo.plain).cut(widths)


def test_a_model_of_the_users_own_class_is_refused_in_words(tmp_path: Path, made: Callable[..., Made]) -> None:
    k = side.keras()

    class Own(k.Model):  # type: ignore[name-defined, misc]
        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            self.hidden, self.scores = k.layers.Dense(6, name="hidden"), k.layers.Dense(4, name="scores")

        def call(self, features: Any) -> Any:
            return self.scores(self.hidden(features))

    def build(k: Any) -> Any:
        features = k.Input((5,), name="features")
        return k.Model(features, Own(name="own")(features), name="whole")

    one = made(build, objects={"Own": Own})
    found = one.blocks()
    assert found.blocks == () and found.multiplications == 5 * 6 + 6 * 4
    assert found.left == {"whole": "the model 'own' inside it is a class of its own, whose layers are wired by its code"}
    with pytest.raises(StepFailed, match=r"'hidden' cannot be cut: the model 'own.*' inside it is a class of its own"):
        one.cut({"hidden": 3})
    model = Own(name="alone")
    model(np.zeros((1, 5), np.float32))
    folder = tmp_path / "alone"
    folder.mkdir()
    call = keras_model.KerasCall("arguments", ("features",), outputs=("out0",))
    keras_model.save(folder, keras_model.Original("keras", "model.keras", call), {"Own": Own}, model.save)
    alone = blocks(BlocksRequest(replace(one.graph, path=folder), one.samples))
    assert alone.blocks == ()
    assert next(iter(alone.left.values())).startswith("the model is a class of its own (Own), whose layers are wired by its code")


def test_a_layer_of_the_users_own_keeps_its_channels_and_its_class(made: Callable[..., Made]) -> None:
    k = side.keras()

    class Twice(k.layers.Layer):  # type: ignore[name-defined, misc]
        def call(self, x: Any) -> Any:
            return x * 2

    def build(k: Any) -> Any:
        x = features = k.Input((5,), name="features")
        x = Twice(name="twice")(k.layers.Dense(6, name="before")(x))
        x = k.layers.Dense(8, activation="relu", name="behind")(x)
        return k.Model(features, k.layers.Dense(4, name="scores")(x))

    one = made(build, objects={"Twice": Twice})
    found = one.blocks()
    assert found.left["before"] == "'twice' (Twice) is a layer of your own, which is not known to keep channels apart"
    result = one.cut({"behind": 4})
    assert result.error < ROUNDING
    assert type(keras_model.load(result.graph.path).model.get_layer("twice")).__name__ == "Twice"


@pytest.mark.parametrize("activation", ["softmax", "own"])
def test_an_activation_that_may_mix_channels_is_left(made: Callable[..., Made], activation: str) -> None:
    def own(x: Any) -> Any:
        return x

    def build(k: Any) -> Any:
        x = features = k.Input((5,), name="features")
        x = k.layers.Dense(6, activation=own if activation == "own" else activation, name="hidden")(x)
        return k.Model(features, k.layers.Dense(4, name="scores")(x))

    left = made(build, objects={"own": own}).blocks().left
    assert left["hidden"] == f"the activation {activation} of 'hidden' (Dense) is not known to keep channels apart"


@pytest.mark.parametrize("reader", ["keras", "tf_keras"])
def test_functions_as_layers_pass_channels_and_so_do_operations_with_a_number(made: Callable[..., Made], reader: Reader) -> None:
    """The hard sigmoid of MobileNetV3, as ``keras.applications`` writes it."""
    import tensorflow as tf

    def build(k: Any) -> Any:
        x = features = k.Input((5,), name="features")
        x = k.layers.Dense(6, name="hidden")(x)
        x = (k.ops.relu6 if reader == "keras" else tf.nn.relu6)(x + 3.0) * (1.0 / 6.0)
        return k.Model(features, k.layers.Dense(4, name="scores")(x))

    one = made(build, reader)
    assert [block.name for block in one.blocks().blocks] == ["hidden"]
    assert one.cut({"hidden": 3}).error < ROUNDING


def test_an_operation_with_a_number_for_each_channel_is_left(made: Callable[..., Made]) -> None:
    def build(k: Any) -> Any:
        x = features = k.Input((5,), name="features")
        x = k.layers.Dense(6, name="hidden")(x) * np.arange(6, dtype=np.float32)
        return k.Model(features, k.layers.Dense(4, name="scores")(x))

    assert "which is not known to keep channels apart" in made(build).blocks().left["hidden"]


class TestPlanted:
    """A cut that went wrong is found by the proof, which names the layer."""

    def test_other_channels_of_the_normalisation(self, made: Callable[..., Made], monkeypatch: pytest.MonkeyPatch) -> None:
        masks = surgery._masks

        def wrong(chosen: Any, keep: Any) -> Any:
            found = masks(chosen, keep)
            norm = next(place.call.layer for place in chosen[0].places if place.call.path == "norm0")
            found[id(norm.gamma)][0] = ~found[id(norm.gamma)][0]
            return found

        monkeypatch.setattr(surgery, "_masks", wrong)
        with pytest.raises(StepFailed, match="they differ from the layer 'conv1' on"):
            made(keras_zoo.plain).cut({"conv0": 3})

    def test_another_order_behind_flatten(self, made: Callable[..., Made], monkeypatch: pytest.MonkeyPatch) -> None:
        def wrong(call: Any, here: Channels) -> Channels:
            return Channels(1, np.repeat(here.origin, 9))

        monkeypatch.setattr(channels, "_flat", wrong)
        with pytest.raises(StepFailed, match="they differ from the layer 'hidden' on"):
            made(keras_zoo.flat).cut({"conv": 3})

    def test_a_layer_taken_for_one_that_keeps_channels_apart(self, made: Callable[..., Made], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(channels, "ELEMENTWISE", channels.ELEMENTWISE | {"softmax"})

        def build(k: Any) -> Any:
            x = features = k.Input((5,), name="features")
            x = k.layers.Softmax(name="soft")(k.layers.Dense(6, name="hidden")(x))
            return k.Model(features, k.layers.Dense(4, name="scores")(x))

        with pytest.raises(StepFailed, match="they differ from the layer 'scores' on"):
            made(build).cut({"hidden": 3})


def test_keras_3_adds_a_bias_along_the_pixels_where_there_are_as_many_and_the_proof_finds_it(made: Callable[..., Made]) -> None:
    """With the channels before the pixels, Keras 3 takes the last axis for that of the bias where the sizes are equal."""
    k = side.keras()
    bias = np.arange(1, 7, dtype=np.float32)

    def build(k: Any) -> Any:
        image, order = k.Input((3, 8, 8), name="image"), {"data_format": "channels_first"}
        x = k.layers.Conv2D(12, 3, name="conv", **order)(image)
        return k.Model(image, k.layers.Conv2D(2, 3, name="head", **order)(x))

    lone = k.layers.Conv2D(6, 1, data_format="channels_first")
    lone.build((None, 3, 6, 6))
    lone.set_weights([np.zeros((1, 1, 3, 6), np.float32), bias])
    answer = np.asarray(keras_model.framework.framework().function(lone, jit_compile=True)(np.zeros((1, 3, 6, 6), np.float32)))
    np.testing.assert_array_equal(answer[0, 0, 0], bias)  # and not bias[0] everywhere
    one = made(build)
    assert one.cut({"conv": 8}).error < ROUNDING
    with pytest.raises(StepFailed, match="they differ from the layer 'conv' on"):
        one.cut({"conv": 6}, name="equal")


class TestImportance:
    def test_the_scale_of_the_normalisation_decides(self, made: Callable[..., Made]) -> None:
        one = made(keras_zoo.plain)
        gamma = one.live.get_layer("norm0").gamma.numpy()
        result = one.cut({"conv0": 3}, "batchnorm")
        kept = keras_model.load(result.graph.path).model.get_layer("norm0").gamma.numpy()
        np.testing.assert_array_equal(kept, gamma[np.sort(np.argsort(-gamma)[:3])])

    def test_a_channel_that_the_answers_do_not_depend_on_is_cut_first(self, made: Callable[..., Made]) -> None:
        def build(k: Any) -> Any:
            x = image = k.Input((8, 8, 3), name="image")
            x = k.layers.Conv2D(6, 3, name="conv")(x)
            return k.Model(image, k.layers.Dense(4, activation="softmax", name="scores")(k.layers.Flatten(name="flat")(x)))

        def dead(k: Any) -> Any:
            model = build(k)
            for name in ("conv", "scores"):
                kernel, bias = model.get_layer(name).get_weights()
                if name == "conv":
                    kernel[..., [1, 4]] *= 100
                else:
                    kernel.reshape(36, 6, 4)[:, [1, 4]] = 0
                    kernel *= 0.1
                model.get_layer(name).set_weights([kernel, bias])
            return model

        one = made(dead)
        kernel = one.live.get_layer("conv").kernel.numpy()
        for how, wanted in (("gradient", [0, 2, 3, 5]), ("l1", None)):
            result = one.cut({"conv": 4}, how, name=how)
            left = keras_model.load(result.graph.path).model.get_layer("conv").kernel.numpy()
            same = [number for number in range(6) if any(np.array_equal(kernel[..., number], left[..., at]) for at in range(4))]
            assert (same == wanted) if wanted else {1, 4} <= set(same)

    def test_groups_keep_the_same_number_each(self, made: Callable[..., Made]) -> None:
        one = made(keras_zoo.grouped)
        block = next(block for block in surgery.finding.find(one.live).blocks if block.name == "grouped")
        score = np.array([9, 8, 7, 1, 2, 3, 5, 6, 4, 0, 0, 0])
        assert importance.kept(block, score, 4).tolist() == [0, 5, 7, 9]


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> tuple[Made, Any, Any]:
    """A convolutional network that was trained on scikit-learn's digits, with images and labels that it has not seen."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    images = (images.reshape(-1, 8, 8, 1) / 16).astype(np.float32)
    k = side.keras()
    k.utils.set_random_seed(0)
    x = image = k.Input((8, 8, 1), name="image")
    for number, filters in enumerate((16, 32)):
        x = k.layers.Conv2D(filters, 3, padding="same", name=f"conv{number}")(x)
        x = k.layers.MaxPooling2D(name=f"pool{number}")(k.layers.ReLU()(k.layers.BatchNormalization(momentum=0.8)(x)))
    x = k.layers.Dense(32, activation="relu", name="hidden")(k.layers.Flatten()(x))
    model = k.Model(image, k.layers.Dense(10, activation="softmax", name="scores")(x))
    model.compile(k.optimizers.Adam(5e-3), "sparse_categorical_crossentropy")
    model.fit(images[:1200], labels[:1200], batch_size=64, epochs=4, verbose=0)
    folder = tmp_path_factory.mktemp("digits")
    graph = keras_graphs.graph(model, "keras", folder / "model")
    (folder / "samples").mkdir()
    write_array(folder / "samples", "image", images[:256])
    return Made(model, graph, SampleSet(folder / "samples", ("image",), 256), folder), images[1200:], labels[1200:]


@pytest.mark.soak
class TestDigits:
    @staticmethod
    def accuracy(graph: Graph, images: Any, labels: Any) -> float:
        return float((keras_model.load(graph.path).answer({"image": images})["out0"].argmax(1) == labels).mean())

    def test_half_of_the_weights_is_cut(self, digits: tuple[Made, Any, Any]) -> None:
        one, _, _ = digits
        found = one.blocks()
        assert {block.name for block in found.blocks} == {"conv0", "conv1", "hidden"}
        result = one.cut({block.name: block.channels * 5 // 8 for block in found.blocks}, "gradient", "half")
        assert result.parameters < found.parameters / 2
        assert result.error < ROUNDING
        assert not (keras_model.load(result.graph.path).model.compiled)

    def test_the_gradient_leaves_the_channels_that_matter(self, digits: tuple[Made, Any, Any], monkeypatch: pytest.MonkeyPatch) -> None:
        """Against the opposite choice, and without any teaching afterwards."""
        one, images, labels = digits
        widths = {"conv0": 12, "conv1": 24}
        best = one.cut(widths, "gradient", "best")
        chosen = importance.kept
        monkeypatch.setattr(importance, "kept", lambda block, score, width: chosen(block, -score, width))
        worst = one.cut(widths, "gradient", "worst")
        assert self.accuracy(best.graph, images, labels) > self.accuracy(worst.graph, images, labels) + 0.1

    def test_a_cut_of_a_cut_counts_from_the_beginning(self, digits: tuple[Made, Any, Any]) -> None:
        one, _, _ = digits
        found = one.blocks()
        first = one.cut({"conv1": 24}, "l1", "first")
        second = replace(one, graph=first.graph).cut({"conv1": 16}, "l1", "second")
        removed = 1 - second.multiplications / found.multiplications
        assert second.graph.derived_from == "keras"
        assert int(second.graph.compression.removeprefix("pruned")) == pytest.approx(100 * removed, abs=1)


def test_too_few_samples_for_a_call_are_refused(made: Callable[..., Made]) -> None:
    one = made(keras_zoo.dense)
    with pytest.raises(DataError, match="takes 16 samples in one call, and there are 8"):
        blocks(BlocksRequest(replace(one.graph, signature=one.graph.signature.fixed(16)), one.samples))

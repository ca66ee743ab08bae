"""Keras's preprocessing as steps, held against the real Keras 3, tf-keras and TensorFlow."""

from __future__ import annotations

from pathlib import Path

import pytest

from roadworthy.build.preprocessing import ReadRequest, read_step
from roadworthy.build.preprocessing.forms import keras as form
from roadworthy.build.preprocessing.keras import applications
from roadworthy.build.preprocessing.keras.layers import PreprocessingLayer, contract_steps
from roadworthy.core.errors import DataError
from roadworthy.core.stages import Source
from roadworthy.core.types import TensorSpec
from roadworthy.preprocess.steps import ChannelsFirst, CropToAspect, Decode, Normalize, Resize, ReverseChannels
from support.models.keras_preprocessing import Compared

LEVEL = 2e-4
"""Of 255 levels: how far float32 sums of many pixels may lie apart, where the order of the sum is the library's own."""
EXACT = (
    "rescaling", "adapted", "a variance of nothing", "rescaling, normalization", "resizing", "resizing, nearest", "resizing, aspect",
    "crop, odd margins", "crop larger than the image", "random", "tf.compat.v1.image.resize", "tf.image.resize", "tf.image.central_crop",
    "load_img", "image_dataset_from_directory",
)  # fmt: skip
SUMS = ("resizing, antialias", "resizing, bicubic", "resizing, lanczos")
LAST_BITS = ("rescaling by channel", "normalization", "offset, normalization", "scaled before resized")


@pytest.mark.slow
def test_every_family_of_keras_applications_is_prepared_as_its_own_function_does(compared: tuple[Compared, Path]) -> None:
    found = {name.split()[1]: value for name, value in compared[0].differences.items() if name.startswith("applications ")}
    assert found == dict.fromkeys(applications.MODES, 0.0)


@pytest.mark.slow
def test_layers_are_carried_out_as_keras_does(compared: tuple[Compared, Path]) -> None:
    found = compared[0].differences
    # TensorFlow's kernels may round their last bit otherwise on a CPU with other instructions.
    assert {name: found[name] for name in EXACT if found[name] > LEVEL / 10} == {}
    assert {name: found[name] for name in SUMS if found[name] > LEVEL} == {}
    assert {name: found[name] for name in LAST_BITS if found[name] > 2e-6} == {}
    # Values up to 255 * 58: a relative error of one in the last place.
    assert found["inverted"] <= 15_000 * 2**-22


@pytest.mark.slow
def test_the_pixel_centres_of_tensorflow_1_are_not_those_of_tensorflow_2(compared: tuple[Compared, Path]) -> None:
    assert compared[0].differences["half centres for tf.compat.v1.image.resize"] > 50


@pytest.mark.slow
def test_what_is_left_out_or_moved_is_said(compared: tuple[Compared, Path]) -> None:
    notes = compared[0].notes
    assert [note.partition(" (")[2].partition(")")[0] for note in notes["random"]] == ["RandomFlip", "RandomZoom"]
    assert "comes after one that scales" in notes["scaled before resized"][0]
    assert "as one step" in notes["offset, normalization"][0]
    assert notes["resizing"] == notes["rescaling, normalization"] == []


@pytest.mark.slow
def test_what_cannot_be_carried_out_is_refused_by_layer_and_argument(compared: tuple[Compared, Path]) -> None:
    refused = compared[0].refused
    assert "(Resizing) has pad_to_aspect_ratio=True" in refused["padding"]
    assert "interpolation='lanczos5' and antialias=False" in refused["no kernel"]
    assert "(Equalization) is not a preprocessing layer" in refused["another layer"]
    assert "a mean for each pixel" in refused["each pixel"]
    assert "adapt it to the training data first" in refused["not adapted"]
    assert "keras.Sequential" in refused["functional"]
    assert all("--preprocess FILE.toml" in refused[name] for name in ("padding", "no kernel", "another layer"))


@pytest.mark.slow
def test_a_file_of_preprocessing_layers_alone_is_read_without_keras(compared: tuple[Compared, Path]) -> None:
    folder = compared[1]
    found = form.of_path(folder / "only.keras", "HWC")
    assert found is not None
    decode, resize, normalize = found.contract.image
    assert (decode, resize) == (Decode(), Resize((20, 48), antialias=False, rounded=False, like="tf"))
    assert isinstance(normalize, Normalize)
    assert normalize.mean == pytest.approx([0.5] * 3, abs=0.02)
    assert normalize.std == pytest.approx([12**-0.5] * 3, abs=0.01)
    assert "RandomFlip" in found.notes[0].text
    with pytest.raises(DataError, match=r"whole\.keras is a model and not preprocessing alone: it holds the layer 'conv2d.*\(Conv2D\)"):
        form.of_path(folder / "whole.keras", "HWC")
    assert form.of_path(folder / "whole.h5", "HWC") is None


def test_names_of_keras_applications_need_no_library() -> None:
    names = ("keras.applications.vgg16.preprocess_input", "tf.keras.applications.vgg16:preprocess_input",
             "tensorflow.keras.applications.vgg16.preprocess_input", "tf_keras.applications.vgg16.preprocess_input")  # fmt: skip
    for name in names:
        found = form.of_name(name, "CHW")
        assert found is not None
        assert found.contract.image[:3] == (Decode(), ReverseChannels(), ChannelsFirst())
    assert form.of_name("keras.applications.vgg16.decode_predictions", "HWC") is None
    with pytest.raises(DataError, match=r"keras\.applications\.vgg17 is not known; .*vgg16"):
        form.of_name("keras.applications.vgg17.preprocess_input", "HWC")


@pytest.mark.parametrize(
    ("shape", "resize"),
    [
        (("batch", 96, 64, 3), Resize((96, 64), antialias=False, rounded=False, like="tf")),
        (("batch", 3, 96, 64), Resize((96, 64))),
        (("batch", "h", "w", 3), None),
    ],
)
def test_the_size_and_the_layout_are_those_of_the_models_input(shape: tuple[int | str, ...], resize: Resize | None) -> None:
    source = Source(Path("model"), "keras", "tensorflow", "", 0, takes=(TensorSpec("image", "float32", shape),))
    found = read_step(ReadRequest("keras.applications.resnet_v2.preprocess_input", source, "HWC"))
    assert found is not None
    assert [step for step in found.contract.image if isinstance(step, Resize)] == ([resize] if resize else [])
    assert (ChannelsFirst() in found.contract.image) == (shape[1] == 3)
    said = "aspect not kept); another way is stated by --preprocess FILE.toml" if resize else "images keep their own size"
    assert said in found.notes[0].text


def test_the_crop_to_the_aspect_comes_before_the_resize() -> None:
    layer = {"height": 8, "width": 12, "crop_to_aspect_ratio": True}
    steps, _ = contract_steps([PreprocessingLayer("Resizing", "r", layer)], "HWC")
    assert steps[1:3] == (CropToAspect((8, 12)), Resize((8, 12), antialias=False, rounded=False, like="tf"))


def hub(folder: Path, name: str = "inputs", signature: str = "") -> Source:
    return Source(
        folder, "saved_model", "tensorflow", "", 0, signature=signature, takes=(TensorSpec(name, "float32", ("batch", 96, 96, 3)),)
    )


def test_modules_of_tf_hub_are_given_0_to_1_at_the_size_of_their_signature(tmp_path: Path) -> None:
    steps = (Decode(), Resize((96, 96), antialias=False, rounded=False, like="tf"), Normalize(1 / 255, axis=2, arithmetic="torch"))
    assert read_step(ReadRequest(None, hub(tmp_path), "HWC")) is None
    by_name = read_step(ReadRequest("tfhub", hub(tmp_path), "HWC"))
    by_input = read_step(ReadRequest(None, hub(tmp_path, "images"), "HWC"))
    by_signature = read_step(ReadRequest(None, hub(tmp_path, signature="image_classification"), "HWC"))
    (tmp_path / "tfhub_module.pb").write_bytes(b"\x08\x03")
    by_file = read_step(ReadRequest(None, hub(tmp_path), "HWC"))
    for found in (by_name, by_input, by_signature, by_file):
        assert found is not None
        assert found.contract.image == steps
        assert "TF Hub's convention" in found.notes[0].text
        assert found.notes[0].warning == (found is by_input)

"""Presets bear the field's numbers; a spec that is wrong in form or in sense is refused in words."""

from __future__ import annotations

import gzip
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadworthy.core import codec
from roadworthy.core.errors import DataError
from roadworthy.preprocess import spec
from roadworthy.preprocess.contract import Answer, Contract
from roadworthy.preprocess.image import Preprocessor
from roadworthy.preprocess.spec import ImageTable, ResizeTable
from roadworthy.preprocess.steps import (
    ChannelsFirst,
    Crop,
    CropFraction,
    CropToAspect,
    Decode,
    Grey,
    Letterbox,
    Normalize,
    Resize,
    ReverseChannels,
    sample_shape,
)

FULL = """
[image]
color = "BGR"
crop = [200, 220]
scale = 1
mean = [103.939, 116.779, 123.68]
std = [1, 1, 1]
layout = "HWC"
pixel_limit = 1000000
[image.resize]
size = 256
filter = "bicubic"
antialias = false
[answer]
activation = "sigmoid"
top_k = 3
labels = ["cat", "dog"]
"""


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_presets_hold_the_numbers_of_the_field() -> None:
    assert spec.read("imagenet").image == (
        Decode("RGB"),
        Resize(256, "bilinear", True),
        Crop(224),
        ChannelsFirst(),
        Normalize(1 / 255, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    )
    assert spec.read("cifar10").image[-1] == Normalize(1 / 255, (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616))
    assert spec.read("mnist").image == (Decode("L"), Resize((28, 28)), ChannelsFirst(), Normalize(1 / 255, (0.1307,), (0.3081,)))
    assert spec.read("unit").image == (Decode(), ChannelsFirst(), Normalize(1 / 255))


@pytest.mark.parametrize("name", spec.PRESETS)
def test_presets_are_valid_and_leave_the_activation_to_the_outputs(name: str) -> None:
    assert spec.read(name).answer == Answer("auto", 5, ())


def test_mnist_numbers_are_those_of_real_digits(real: Path) -> None:
    (images,) = (real / "mnist").glob("*images*")
    values = np.frombuffer(gzip.decompress(images.read_bytes()), np.uint8, offset=16) / 255
    assert values.mean() == pytest.approx(0.1307, abs=0.003) and values.std() == pytest.approx(0.3081, abs=0.003)


def test_toml_says_everything(tmp_path: Path) -> None:
    contract = spec.read(write(tmp_path / "spec.toml", FULL))
    assert contract == Contract(
        (
            Decode("RGB", 1_000_000),
            Resize(256, "bicubic", False),
            Crop((200, 220)),
            ReverseChannels(),
            Normalize(1.0, (103.939, 116.779, 123.68), (1, 1, 1), axis=2),
        ),
        Answer("sigmoid", 3, ("cat", "dog")),
    )
    assert spec.read(str(tmp_path / "spec.toml")) == contract


EVERYTHING = """
[image]
orient = true
deep = "clip"
crop_fraction = 0.875
grey = 3
arithmetic = "keras"
[image.resize]
size = [40, 50]
crop_to_aspect = true
filter = "bicubic"
antialias = false
centers = "corner"
rounded = true
like = "tf"
[image.letterbox]
size = 64
stride = 32
value = 0
scale_up = false
centered = false
filter = "bilinear"
antialias = true
[image.crop]
size = 16
rounding = "down"
larger = "pad"
"""


def test_the_table_says_all_that_steps_one_by_one_do(tmp_path: Path) -> None:
    expected = (
        Decode("RGB", orient=True, deep="clip"),
        CropFraction(0.875),
        CropToAspect((40, 50)),
        Resize((40, 50), "bicubic", False, None, "corner", True, "tf"),
        Letterbox(64, 32, 0, False, False, "bilinear", True),
        Crop(16, "down", "pad"),
        Grey(3),
        ChannelsFirst(),
        Normalize(arithmetic="keras"),
    )
    assert spec.read(write(tmp_path / "table.toml", EVERYTHING)).image == expected
    single = "".join(
        "[[image]]\n" + "".join(f"{key} = {toml(value)}\n" for key, value in msgspec.to_builtins(step).items() if value is not None)
        for step in expected
    )
    assert spec.read(write(tmp_path / "steps.toml", single)).image == expected


def toml(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else literals(value)


def test_a_file_without_an_image_table_is_for_tensors(tmp_path: Path) -> None:
    assert spec.read(write(tmp_path / "spec.toml", "[answer]\ntop_k = 1\n")) == Contract((), Answer(top_k=1))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("imge = 1", "unknown key 'imge'"),
        ("[image]\ncolour = 'RGB'", "unknown key 'image.colour'"),
        ("[image.resize]\nsize = 3\nantialiased = true", "unknown key 'image.resize.antialiased'"),
        ("[answer]\ntopk = 3", "unknown key 'answer.topk'"),
        ("[image]\ncolor = 'GBR'", "'RGB', 'BGR', 'L'"),
        ("[image]\ncolour = 'RGB'", "(did you mean color?); the keys of [image] are color, resize, crop, scale"),
        ("[image.resize]\nsize = 3\nfilter = 'cubic'", "it may be 'nearest', 'bilinear', 'bicubic', 'lanczos', 'box', 'hamming'"),
        ("[answer]\nactivation = 'sofmax'", "'softmax'"),
        ("[[image]]\nkind = 'decode'\n[[image]]\nkind = 'resize'\nsize = 3\nlike = 'pil'", "'pillow', 'torch', 'tf', 'opencv'"),
        ("[[image]]\nkind = 'decode'\norientation = true", "(did you mean orient?); the keys of step 1, decode, are kind, color"),
        ("[image.resize]\nlongest = 3\nsize = 5", "resize.longest is 3, less than the size 5"),
        ("[image.resize]\nlongest = 3\nsize = [5, 5]", "a pair states both sides"),
        ("[image.resize]\nfilter = 'box'\nlongest = 0", "at least 1"),
        ("[image.resize]\nsize = 3\ncenters = 'corner'", "exists only with antialias = false"),
        ("[image.resize]\nsize = 3\nlike = 'opencv'", "OpenCV has no antialias"),
        ("[image.resize]\nsize = 3\ncrop_to_aspect = true", "needs a size of two numbers"),
        ("[image]\ndtype = 'uint8'\nscale = 1\n[image.resize]\nsize = 3\nrounded = false", "dtype uint8 needs whole pixels"),
        ("[image]\ncolor = 'BGR'\ngrey = 3", "no order of colours"),
        ("[image]\ncrop_fraction = 0", "above 0 and at most 1"),
        ("[image]\ncrop_fraction = 1.5", "above 0 and at most 1"),
        ("[image.letterbox]\nsize = 640\nstride = 33", "not a multiple of its stride 33"),
        ("[image.letterbox]\nsize = 640\nvalue = 256", "a pixel has 0 to 255"),
        ("[image.letterbox]\nsize = 640\nfilter = 'box'", "exists only with antialias = true"),
        ("[image.crop]\nsize = 3\nround = 'down'", "unknown key 'image.crop.round' (did you mean rounding?)"),
        ("[image]\nmean = 0.5", "mean"),
        ("[image.resize]\nfilter = 'box'", "neither size nor longest"),
        ("[image]\ncrop = [1, 2, 3]", "crop"),
        ("[image]\ncrop = true", "crop"),
        ("[image", "spec.toml"),
        ("[image]\ncrop = 0", "crop is 0 x 0"),
        ("[image]\ncrop = -3", "at least 1"),
        ("[image]\ncrop = 99999999999999999999", "pixel_limit"),
        ("[image]\ncrop = 100000", "pixel_limit"),
        ("[image]\ncrop = 225\n[image.resize]\nsize = 224", "larger than resize"),
        ("[image]\ncrop = [10, 30]\n[image.resize]\nsize = [30, 10]", "larger than resize"),
        ("[image.resize]\nsize = [0, 3]", "at least 1"),
        ("[image.resize]\nsize = 10\nfilter = 'lanczos'\nantialias = false", "lanczos"),
        ("[image]\nmean = [1, 2]", "mean has 2 numbers"),
        ("[image]\ncolor = 'L'\nmean = [1, 2, 3]", "needs 1: one"),
        ("[image]\nmean = []", "mean has 0 numbers"),
        ("[image]\nmean = [nan]", "not finite"),
        ("[image]\nstd = [inf]", "not finite"),
        ("[image]\nstd = [1, 0, 1]", "std"),
        ("[image]\nstd = [-1]", "std"),
        ("[image]\nscale = 0", "scale"),
        ("[image]\nscale = nan", "scale"),
        ("[image]\ndtype = 'uint8'", "uint8"),
        ("[image]\ndtype = 'uint8'\nscale = 1\nmean = [1]", "uint8"),
        ("[image]\nstd = [1e-300]", "float32"),
        ("[image]\nscale = 1e-300", "float32"),
        ("[image]\nmean = [1e300]", "float32"),
        ("[image]\npixel_limit = 0", "pixel_limit"),
        ("[image]\npixel_limit = 999999999", "pixel_limit"),
        ("[answer]\ntop_k = 0", "top_k"),
    ],
)
def test_faults_are_named(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(DataError) as caught:
        spec.read(write(tmp_path / "spec.toml", text))
    assert words in caught.value.message and "spec.toml" in caught.value.message
    assert "\n" not in caught.value.message


def test_a_misspelt_preset_lists_the_presets() -> None:
    with pytest.raises(DataError, match="imagnet is neither a file nor a preset; the presets are imagenet, cifar10, mnist, unit"):
        spec.read("imagnet")


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="directory"):
        spec.read(tmp_path)
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="UTF-8"):
        spec.read(tmp_path / "binary")


def literals(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(list(value)) if isinstance(value, tuple) else repr(value)


resizes = st.builds(
    ResizeTable,
    st.integers(-2, 300) | st.tuples(st.integers(-2, 300), st.integers(1, 300)),
    st.sampled_from(["box", "nearest"]),
    st.booleans(),
)
images = st.builds(
    ImageTable,
    color=st.sampled_from(["RGB", "BGR", "L"]),
    resize=st.none() | resizes,
    crop=st.none() | st.integers(-2, 300),
    scale=st.floats(),
    mean=st.lists(st.floats(), max_size=4).map(tuple),
    std=st.lists(st.floats(), max_size=4).map(tuple),
    dtype=st.sampled_from(["float32", "uint8"]),
    pixel_limit=st.integers(-1, 100_000_000),
)


@given(images)
def test_what_is_valid_survives_toml_and_what_is_not_is_a_data_error(image: ImageTable) -> None:
    fields = {name: getattr(image, name) for name in ("color", "crop", "scale", "mean", "std", "dtype", "pixel_limit")}
    text = "[image]\n" + "".join(f"{name} = {literals(value)}\n" for name, value in fields.items() if value is not None)
    if image.resize is not None:
        text += "[image.resize]\n" + "".join(
            f"{name} = {literals(getattr(image.resize, name))}\n" for name in ("size", "filter", "antialias")
        )
    found = codec.from_toml(spec.SpecFile, text, error=DataError)
    assert repr(found.image) == repr(image)
    try:
        contract = found.contract()
    except DataError as problem:
        assert problem.message
    else:
        assert contract.image == image.steps()
        Preprocessor(contract.image)


@given(st.text(max_size=60) | st.sampled_from([FULL]).flatmap(lambda text: st.integers(0, len(text)).map(lambda cut: text[:cut])))
def test_any_text_is_a_contract_or_a_data_error(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzz.toml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        assert isinstance(spec.read(path), Contract)
    except DataError as problem:
        assert str(path) in problem.message


def test_the_shape_of_a_sample_says_what_is_fixed() -> None:
    def shape(table: ImageTable) -> tuple[str, tuple[int | None, ...]]:
        found = sample_shape(table.steps())
        return found.dtype, found.axes

    assert shape(ImageTable(resize=ResizeTable(256), crop=224)) == ("float32", (3, 224, 224))
    assert shape(ImageTable(resize=ResizeTable((28, 30)), color="L")) == ("float32", (1, 28, 30))
    assert shape(ImageTable(crop=(5, 6), layout="HWC", dtype="uint8", scale=1)) == ("uint8", (5, 6, 3))
    assert shape(ImageTable(resize=ResizeTable(256))) == ("float32", (3, None, None))
    assert str(sample_shape(ImageTable().steps())) == "float32 [3, any, any]"


@pytest.mark.parametrize("name", spec.PRESETS)
def test_a_preset_takes_the_layout_of_the_framework(name: str) -> None:
    assert spec.read(name).image == spec.PRESETS[name].steps()
    assert spec.read(name).sample_shape().channels_first
    assert spec.read(name, "HWC").image == replace(spec.PRESETS[name], layout="HWC").steps()
    assert not spec.read(name, "HWC").sample_shape().channels_first


def test_a_file_has_its_own_layout_or_the_frameworks(tmp_path: Path) -> None:
    silent = write(tmp_path / "silent.toml", "[image]\ncolor = 'L'\n")
    says = write(tmp_path / "says.toml", "[image]\nlayout = 'CHW'\n")
    answers = write(tmp_path / "answers.toml", "[answer]\ntop_k = 2\n")
    for layout in ("CHW", "HWC"):
        assert spec.read(silent, layout).image == ImageTable("L", layout=layout).steps()
        assert spec.read(says, layout).image == ImageTable(layout="CHW").steps()
        assert spec.read(answers, layout).image == ()


def test_a_size_behind_a_preset_resizes_as_the_framework_does() -> None:
    small = spec.read("tf:96", "HWC").image
    assert small == ImageTable(resize=ResizeTable((96, 96), antialias=False), scale=1 / 127.5, mean=(1.0,), layout="HWC").steps()
    assert spec.read("unit:64").image == ImageTable(resize=ResizeTable((64, 64), antialias=True)).steps()
    with pytest.raises(DataError, match="imagenet has its own size"):
        spec.read("imagenet:64")
    for strange in ("tf:0", "tf:-1", "tf:x", "tf:99999999", "nothing:3"):
        with pytest.raises(DataError, match=f"{strange} is neither a file nor a preset"):
            spec.read(strange)
    with pytest.raises(DataError, match="more than the pixel_limit"):
        spec.read("tf:50000")


def test_the_values_of_keras_applications() -> None:
    """By hand from the conventions: -1..1; BGR less ImageNet's mean colour; as they are. One pixel, R=255 G=128 B=0."""
    pixel = np.array([[[255, 128, 0]]], np.uint8)
    for name, wanted in (("tf", [1, 128 / 127.5 - 1, -1]), ("caffe", [-103.939, 128 - 116.779, 255 - 123.68]), ("raw", [255, 128, 0])):
        np.testing.assert_allclose(Preprocessor(spec.read(name, "HWC").image).one(pixel)[0, 0], wanted, rtol=0, atol=2e-5)


def test_int8_is_the_nearest_whole_number() -> None:
    image = ImageTable(scale=1.0, mean=(128.0,), layout="HWC", dtype="int8")
    pixels = np.array([[[255, 128, 0]], [[127, 129, 1]]], np.uint8)
    sample = Preprocessor(image.steps()).one(pixels)
    assert sample.dtype == np.int8 and sample.tolist() == [[[127, 0, -128]], [[-1, 1, -127]]]
    assert Preprocessor(image.steps()).many([pixels, pixels]).dtype == np.int8
    halved = replace(image, scale=0.5, mean=(64.0,))
    assert Preprocessor(halved.steps()).one(pixels).tolist() == [[[64, 0, -64]], [[0, 0, -64]]], "a half is not rounded to the even number"
    for wrong in (replace(image, mean=(0.0,)), replace(image, scale=1 / 255, mean=(0.5,))):
        with pytest.raises(DataError, match="dtype int8 holds -128 to 127"):
            Contract(wrong.steps()).check()

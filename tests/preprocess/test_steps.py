"""Each step says the shape that it gives; steps that do not fit each other or the model are refused before an image comes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadworthy.core.errors import DataError
from roadworthy.core.types import TensorSpec
from roadworthy.preprocess import spec, steps
from roadworthy.preprocess.contract import Contract
from roadworthy.preprocess.decode import TooManyPixels
from roadworthy.preprocess.image import Preprocessor
from roadworthy.preprocess.pixels import as_array
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
    Step,
    sample_shape,
)

sizes = st.integers(1, 40) | st.tuples(st.integers(1, 40), st.integers(1, 40))
on_pixels = st.lists(
    st.builds(Resize, sizes, st.sampled_from(["nearest", "bilinear", "bicubic"]), st.booleans())
    | st.builds(Crop, sizes)
    | st.just(ReverseChannels()),
    max_size=4,
)


@given(st.sampled_from(["RGB", "L"]), on_pixels, st.booleans(), st.booleans(), st.integers(1, 30), st.integers(1, 30))
def test_every_order_gives_the_shape_that_the_steps_say(
    color: str, middle: list[Step], first: bool, normalized: bool, height: int, width: int
) -> None:
    """Also step by step: what ``shape`` says of a step is what ``apply`` does."""
    end: list[Step] = [ChannelsFirst()] if first else []
    end += [Normalize(axis=0 if first else 2)] if normalized else []
    all_steps = (Decode(color), *middle, *end)  # type: ignore[arg-type]
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    sample = Preprocessor(all_steps).one(pixels)
    said = sample_shape(all_steps)
    assert sample.dtype == said.dtype and len(sample.shape) == 3
    assert all(known in (None, size) for known, size in zip(said.axes, sample.shape, strict=True))
    shape, values = all_steps[0].decoded(height, width), all_steps[0].apply(pixels)
    for step in all_steps[1:]:
        shape, values = step.shape(shape), step.apply(values)
        assert (as_array(values).shape, as_array(values).dtype) == (shape.axes, shape.dtype), step
    np.testing.assert_array_equal(as_array(values), sample)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ((), "the first step must be decode"),
        ((Resize(3),), "the first step must be decode"),
        ((Decode(), Decode()), "decode must be the first step"),
        ((Decode(), Normalize(axis=2), Resize(3)), r"resize takes pixels .* give float32 \[any, any, 3\]: put it before them"),
        ((Decode(), ChannelsFirst(), Crop(3)), r"crop takes pixels .* give uint8 \[3, any, any\]"),
        ((Decode(), ChannelsFirst(), ReverseChannels()), "reverse_channels takes"),
        ((Decode(), ChannelsFirst(), ChannelsFirst()), "channels_first occurs twice"),
        ((Decode(), Normalize(axis=2), Normalize(axis=2)), "normalize takes pixels of 0 to 255"),
        ((Decode(), Normalize(axis=0)), r"axis = 0; the channels of uint8 \[any, any, 3\] are on axis 2"),
        ((Decode("L"), ChannelsFirst(), Normalize(mean=(1.0, 2.0, 3.0))), "mean has 3 numbers"),
        ((Decode(pixel_limit=10), Crop(4)), "crop is 4 x 4, more than the pixel_limit of 10"),
    ],
)
def test_steps_that_do_not_fit_each_other_are_refused(wrong: tuple[Step, ...], words: str) -> None:
    with pytest.raises(DataError, match=words):
        Contract(wrong).sample_shape()
    with pytest.raises(DataError, match=words):
        Preprocessor(wrong)


def test_steps_in_an_order_of_their_own_are_written_in_a_file(tmp_path: Path) -> None:
    """The centre first and then the resize: what no ``[image]`` table can say."""
    path = tmp_path / "steps.toml"
    path.write_text(
        '[[image]]\nkind = "decode"\n[[image]]\nkind = "crop"\nsize = 8\n'
        '[[image]]\nkind = "resize"\nsize = [4, 4]\nfilter = "nearest"\n[answer]\ntop_k = 2\n'
    )
    contract = spec.read(path)
    assert contract.image == (Decode(), Crop(8), Resize((4, 4), "nearest")) and contract.answer.top_k == 2
    pixels = np.random.default_rng(0).integers(0, 256, (12, 10, 3), np.uint8)
    np.testing.assert_array_equal(Preprocessor(contract.image).one(pixels), pixels[2:10, 1:9][1::2, 1::2])


@pytest.mark.parametrize(
    ("step", "words"),
    [
        ('kind = "rotate"\ndegrees = 90', "'rotate' .*; the steps are decode, resize, letterbox, crop"),
        (
            'kind = "crop"\nsize = 3\nround = "up"',
            r"unknown key .round. \(did you mean rounding\?\); the keys of step 2, crop, are kind, size, rounding, larger",
        ),
        ("size = 3", "kind"),
        ('kind = "crop"', "size"),
        ('kind = "normalize"', "axis = 0; the channels"),
    ],
)
def test_a_file_with_a_wrong_step_is_refused(tmp_path: Path, step: str, words: str) -> None:
    path = tmp_path / "steps.toml"
    path.write_text(f'[[image]]\nkind = "decode"\n[[image]]\n{step}\n')
    with pytest.raises(DataError, match=words) as caught:
        spec.read(path)
    assert str(path) in caught.value.message


def test_what_is_shown_of_a_contract() -> None:
    assert spec.read("imagenet").describe() == (
        "decoded as RGB",
        "resized to 256 on the shorter side (bilinear)",
        "centre-cropped to 224 x 224",
        "laid out as CHW",
        "(pixel * 0.00392157 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225], as float32",
    )
    assert Contract((Decode("L"), Resize((4, 5), antialias=False), ReverseChannels(), Normalize(1.0, axis=2, dtype="int8"))).describe() == (
        "decoded as grey",
        "resized to 4 x 5 (bilinear, no antialias)",
        "channels in the order BGR",
        "(pixel * 1 - 0) / 1, as int8",
    )


IMAGENET = spec.read("imagenet")


@pytest.mark.parametrize(
    "wanted",
    [
        TensorSpec("x", "float32", ("batch", 3, 224, 224)),
        TensorSpec("x", "float32", (1, 3, "height", "width")),
    ],
)
def test_a_contract_that_gives_the_models_input(wanted: TensorSpec) -> None:
    IMAGENET.check_input((wanted,))
    spec.read("unit").check_input((wanted,))
    Contract().check_input((wanted,))


@pytest.mark.parametrize(
    "wanted",
    [
        TensorSpec("x", "float32", ("batch", 3, 32, 32)),
        TensorSpec("x", "float32", ("batch", 224, 224, 3)),
        TensorSpec("x", "float32", ("batch", 1, 224, 224)),
        TensorSpec("x", "float64", ("batch", 3, 224, 224)),
        TensorSpec("x", "float32", (3, 224, 224)),
        TensorSpec("x", "float32", ("batch", 10)),
    ],
)
def test_a_contract_that_gives_something_else_is_refused(wanted: TensorSpec) -> None:
    with pytest.raises(DataError) as caught:
        IMAGENET.check_input((wanted,))
    assert f"gives float32 [3, 224, 224] for each image, and the model takes {wanted}" in caught.value.message
    IMAGENET.check_input((wanted, wanted))


def test_a_servers_limit_holds_where_it_is_lower() -> None:
    image = spec.ImageTable(pixel_limit=500).steps()
    assert Preprocessor(Contract(image).with_pixel_limit(100).image).pixel_limit == 100
    assert Contract(image).with_pixel_limit(1000) == Contract(image)
    assert Contract().with_pixel_limit(1) == Contract()


def test_a_resize_behind_a_crop_has_the_limit_too() -> None:
    grows = (Decode(pixel_limit=1000), Crop((30, 1)), Resize(30))
    with pytest.raises(TooManyPixels, match="1 x 30 pixels takes more than the limit of 1000 on its way to 30 x 900"):
        Preprocessor(grows).one(np.zeros((30, 30, 3), np.uint8))


def test_every_step_survives_json_by_its_kind() -> None:
    written: tuple[Step, ...] = (
        Decode("L", orient=True), Resize((3, 4), "box"), Letterbox(64, 32), Crop(3), CropFraction(0.5), CropToAspect((3, 4)), Grey(3),
        ReverseChannels(), ChannelsFirst(), Normalize(0.5, (1.0,), (2.0,)),
    )  # fmt: skip
    data = msgspec.json.encode(written)
    assert msgspec.json.decode(data, type=tuple[Step, ...]) == written
    assert tuple(one["kind"] for one in msgspec.json.decode(data)) == steps.KINDS
    for step in written:
        assert step.describe() and replace(Contract(), image=(step,)).describe() == (step.describe(),)

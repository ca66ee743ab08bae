"""The metadata of TFLite files become steps and labels; what they leave open is said, and what is damaged or hostile is a note."""

from __future__ import annotations

import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from roadworthy.build import sources
from roadworthy.build.preprocessing import Found, ReadRequest, read_step
from roadworthy.core.errors import RoadworthyError
from roadworthy.core.types import Array, Quantization
from roadworthy.preprocess.image import Preprocessor
from roadworthy.preprocess.steps import ChannelsFirst, Decode, Normalize, Resize
from support.files import tflite_metadata, tflite_models
from support.files.tflite_metadata import AXIS, CALIBRATION, VALUES, Written

LABELS = {"labels.txt": b"ant\nbee\r\ncat\n\xc3\xa9lan\ndog\n"}
NAMES = ("ant", "bee", "cat", "élan", "dog")
UNIT = Quantization(1 / 127.5, 128)
"""Of a uint8 input that stands for -1 to 1."""


def found(path: Path) -> Found | None:
    return read_step(ReadRequest(None, sources.identify(path), "HWC"))


def read(path: Path) -> Found:
    result = found(path)
    assert result is not None
    return result


def words(result: Found) -> str:
    return " | ".join(note.text for note in result.notes)


def model(tmp_path: Path, written: Written, files: dict[str, bytes] | None = None, **image: object) -> Path:
    return tflite_metadata.add(tflite_metadata.image_model(tmp_path / "m.tflite", **image), written, LABELS if files is None else files)  # type: ignore[arg-type]


def pixels(height: int, width: int) -> Array:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3)).astype(np.uint8)


def test_a_float_input_is_normalised_and_its_output_named(tmp_path: Path) -> None:
    result = read(model(tmp_path, Written(mean=(127.5, 120.0, 110.0), std=(127.5, 60.0, 55.0))))
    image = pixels(4, 6)
    sample = Preprocessor(result.contract.image).one(image)
    # The Task Library multiplies by the reciprocal; a division is at most one bit away.
    mean, std = np.array([127.5, 120, 110], np.float32), np.array([127.5, 60, 55], np.float32)
    assert np.array_equal(sample, (image.astype(np.float32) - mean) / std)
    assert result.contract.answer.labels == NAMES
    assert result.contract.image[1] == Resize((4, 6), antialias=False)
    assert "do not name the resize" in words(result)


@pytest.mark.parametrize(
    ("color", "channels", "says"),
    [(2, 1, ""), (0, 3, "leave color_space open: read as RGB"), (None, 1, "leave color_space open: read as L")],
)
def test_colours(tmp_path: Path, color: int | None, channels: int, says: str) -> None:
    result = read(model(tmp_path, Written(color=color), shape=(1, 4, 6, channels)))
    assert result.contract.image[0] == Decode("L" if channels == 1 else "RGB")
    assert says in words(result)


def test_an_input_with_channels_first(tmp_path: Path) -> None:
    result = read(model(tmp_path, Written(), shape=(1, 3, 8, 9)))
    assert result.contract.image[1:3] == (Resize((8, 9), antialias=False), ChannelsFirst())
    assert result.contract.sample_shape().axes == (3, 8, 9)


def test_an_open_size_is_the_default_size(tmp_path: Path) -> None:
    result = read(model(tmp_path, Written(size=(20, 30)), shape=(1, -1, -1, 3)))
    assert result.contract.image[1] == Resize((20, 30), antialias=False)
    without = read(model(tmp_path, Written(), shape=(1, -1, -1, 3)))
    assert not any(isinstance(step, Resize) for step in without.contract.image)
    assert "leave the size open" in words(without)


def test_a_uint8_input_takes_the_pixels_where_that_is_what_it_stands_for(tmp_path: Path) -> None:
    result = read(model(tmp_path, Written(), dtype="uint8", quantization=UNIT))
    assert result.contract.image[-1] == Resize((4, 6), antialias=False)
    assert np.array_equal(Preprocessor(result.contract.image).one(pixels(4, 6)), pixels(4, 6))
    # (p - 127.5) / 127.5 is p - 127.5 steps of 1 / 127.5, which with the zero point 128 is half a level from the pixel.
    assert "up to one level apart" in words(result)
    exact = read(model(tmp_path, Written(mean=(0.0,), std=(255.0,)), dtype="uint8", quantization=Quantization(1 / 255, 0)))
    assert "level apart" not in words(exact) and exact.contract.image == result.contract.image


def test_a_uint8_input_without_normalisation_takes_the_pixels(tmp_path: Path) -> None:
    for quantization in (Quantization(0.02, 100), None):
        result = read(model(tmp_path, Written(mean=None, std=None), dtype="uint8", quantization=quantization))
        assert result.contract.image[-1] == Resize((4, 6), antialias=False)


def test_a_uint8_input_that_stands_for_something_else_takes_no_images(tmp_path: Path) -> None:
    """-1..1 by its normalisation, and 0..1 by its quantisation: a pixel as it is would be a wrong input."""
    result = read(model(tmp_path, Written(), dtype="uint8", quantization=Quantization(1 / 255, 0)))
    assert not result.contract.takes_images and result.contract.answer.labels == NAMES
    assert "stands for other values than its pixels" in words(result) and "--preprocess FILE.toml" in words(result)


def test_an_int8_input_is_quantised(tmp_path: Path) -> None:
    shifted = read(model(tmp_path, Written(), dtype="int8", quantization=Quantization(1 / 127.5, 0)))
    assert shifted.contract.image[-1] == Normalize(1.0, (128.0,), (1.0,), 2, "int8")
    sample = Preprocessor(shifted.contract.image).one(pixels(4, 6))
    assert np.array_equal(sample, (pixels(4, 6).astype(np.int16) - 128).astype(np.int8))
    # ImageNet's mean and deviation in steps of 0.02: not the pixels by far.
    mean, std, quantization = (123.68, 116.78, 103.94), (58.4, 57.1, 57.4), Quantization(0.02, -10)
    other = read(model(tmp_path, Written(mean=mean, std=std), dtype="int8", quantization=quantization))
    real = (pixels(4, 6) - np.array(mean)) / np.array(std)
    wanted = np.rint(real / quantization.scale + quantization.zero_point)
    assert wanted.min() >= -128 and wanted.max() <= 127
    got = Preprocessor(other.contract.image).one(pixels(4, 6))
    assert got.dtype == np.int8 and np.abs(got - wanted).max() <= 1 and (got == wanted).mean() > 0.99


@pytest.mark.parametrize(
    ("written", "image", "says"),
    [
        (Written(mean=None, std=None), {}, "there are no NormalizationOptions"),
        (Written(mean=(1.0, 2.0)), {}, "NormalizationOptions.mean has 2 numbers for 3 channels"),
        (Written(std=(0.0,)), {}, "std must be greater than 0"),
        (Written(mean=(float("nan"),)), {}, "not finite"),
        (Written(color=2), {}, "color_space is GRAYSCALE, and the input has 3 channels"),
        (Written(size=(5, 6)), {}, "default_size is 5 x 6, and the model takes 4 x 6"),
        (Written(extra_units=(6,)), {}, "RegexTokenizerOptions, which is not carried out"),
        (Written(extra_units=(9,)), {}, "ProcessUnitOptions 9, which is not carried out"),
        (Written(), {"shape": (1, 4, 6, 2)}, "its shape is [1, 4, 6, 2]"),
        (Written(), {"dtype": "int32"}, "is int32, and images become"),
    ],
)  # fmt: skip
def test_what_cannot_be_carried_out_is_a_note_and_the_labels_stay(
    tmp_path: Path, written: Written, image: dict[str, object], says: str
) -> None:
    result = read(model(tmp_path, written, **image))
    assert not result.contract.takes_images and result.contract.answer.labels == NAMES
    assert says in words(result) and any(note.warning for note in result.notes)


@pytest.mark.parametrize("written", [Written(mean=()), Written(std=()), Written(extra_units=(1,)), Written(identifier=b"M002")])
def test_metadata_that_are_not_valid_are_a_note(tmp_path: Path, written: Written) -> None:
    result = read(model(tmp_path, written))
    assert not result.contract.takes_images and "--preprocess FILE.toml" in words(result)


def test_labels_are_the_first_file_without_a_locale(tmp_path: Path) -> None:
    files = {"labels-de.txt": b"a\nb\nc\nd\ne", **LABELS, "more.txt": b"1\n2\n3\n4\n5"}
    named = (("labels-de.txt", AXIS, "de"), ("labels.txt", AXIS, ""), ("more.txt", AXIS, ""))
    assert read(model(tmp_path, Written(files=named), files)).contract.answer.labels == NAMES
    only = read(model(tmp_path, Written(files=named[:1]), files))
    assert only.contract.answer.labels == ("a", "b", "c", "d", "e")


def test_names_of_values_need_not_be_as_many_as_columns(tmp_path: Path) -> None:
    result = read(model(tmp_path, Written(files=(("labels.txt", VALUES, ""),)), outputs=2))
    assert result.contract.answer.labels == NAMES


@pytest.mark.parametrize(
    ("files", "outputs", "says"),
    [
        ({}, 5, "has no archive behind the model"),
        ({"other.txt": b"a"}, 5, "does not hold 'labels.txt'"),
        (LABELS, 4, "has 5 names, and the first output 4"),
        ({"labels.txt": b"\xff\xfe\x00"}, 5, "is not UTF-8 text"),
    ],
)
def test_labels_that_do_not_fit_are_a_note(tmp_path: Path, files: dict[str, bytes], outputs: int, says: str) -> None:
    result = read(model(tmp_path, Written(), files, outputs=outputs))
    assert result.contract.answer.labels == () and result.contract.takes_images
    assert says in words(result)


def test_scores_are_not_calibrated_in_silence(tmp_path: Path) -> None:
    assert "ScoreCalibrationOptions are not carried out" in words(read(model(tmp_path, Written(output_units=(CALIBRATION,)))))


def test_files_without_images_in_their_metadata(tmp_path: Path) -> None:
    assert found(tflite_metadata.image_model(tmp_path / "plain.tflite")) is None
    assert found(model(tmp_path, Written(image=False, files=()), {})) is None
    two = tflite_metadata.add(tflite_models.linear(tmp_path / "two.tflite"), Written(files=()))
    assert not read(two).contract.takes_images


def test_an_archive_that_leads_out_of_itself_or_is_a_bomb(tmp_path: Path) -> None:
    for name, data in (("../labels.txt", b"a\n"), ("labels.txt", b"0" * 30_000_000)):
        path = model(tmp_path, Written(files=((name, AXIS, ""),)), {})

        with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(name, data)
        result = read(path)
        assert result.contract.answer.labels == () and result.contract.takes_images
        assert "leads out of the archive" in words(result) or "decompression bomb" in words(result)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damage_to_any_byte_of_the_metadata_gives_one_of_our_own_errors_or_a_note(tmp_path: Path, data: st.DataObject) -> None:
    """Every offset in the metadata may lie; nothing but our own errors comes out, and steps that come out can be carried out."""
    whole = bytearray(tflite_metadata.metadata(Written(size=(4, 6), files=(("labels.txt", AXIS, "en"),))))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(whole) - 1))
        whole[at] = data.draw(st.one_of(st.sampled_from([0, 1, 4, 127, 128, 255]), st.integers(0, 255)))
    cut = data.draw(st.one_of(st.just(len(whole)), st.integers(0, len(whole))))
    path = tflite_metadata.add(tflite_metadata.image_model(tmp_path / "m.tflite"), bytes(whole[:cut]), LABELS)
    try:
        result = found(path)
    except RoadworthyError:
        return
    if result is not None and result.contract.takes_images:
        assert Preprocessor(result.contract.image).one(pixels(4, 6)).shape == (4, 6, 3)


def test_the_real_mobilenet_states_what_its_makers_trained(real: Path) -> None:
    result = read(real / "models" / "imagenet_mobilenet_v1_025_128_uint8.tflite")
    assert result.contract.image == (Decode(), Resize((128, 128), antialias=False))
    assert len(result.contract.answer.labels) == 1001 and result.contract.answer.labels[1] == "tench, Tinca tinca"


def test_another_set_of_fields_is_another_contract(tmp_path: Path) -> None:
    """The writer writes what it says: each field that is changed changes what is read."""
    plain = Written(size=(4, 6))
    contracts = [
        read(model(tmp_path, one)).contract
        for one in (plain, replace(plain, mean=(1.0,)), replace(plain, std=(2.0,)), replace(plain, files=()))
    ]
    assert len({repr(contract) for contract in contracts}) == len(contracts)

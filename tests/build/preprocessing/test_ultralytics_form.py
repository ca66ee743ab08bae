"""Ultralytics: its LetterBox to the bit, its exports' metadata wherever they are, and the traps between the two."""

from __future__ import annotations

import io
import json
import re
import sys
import zipfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from roadworthy.build.preprocessing import Found, ReadRequest, forms, read_step
from roadworthy.build.preprocessing.forms import ultralytics
from roadworthy.core.errors import DataError, RoadworthyError
from roadworthy.core.stages import Source
from roadworthy.core.types import Array, Quantization, TensorSpec
from roadworthy.preprocess.image import Preprocessor
from roadworthy.preprocess.steps import ChannelsFirst, Crop, Decode, Letterbox, Normalize, Resize
from support.clients.environments import client_python, run_in
from support.files import onnx_files, tflite_metadata
from support.files.tflite_metadata import Written

VERSION = "ultralytics==8.4.190"
SIZES = (1, 1), (1, 40), (40, 1), (7, 13), (33, 40), (40, 33), (63, 64), (64, 65), (100, 150), (150, 100), (37, 111), (3, 200), (200, 3)
ARGUMENTS: tuple[dict[str, Any], ...] = (
    {"new_shape": 64},
    {"new_shape": [64, 96]},
    {"new_shape": [96, 64], "scaleup": False},
    {"new_shape": 64, "center": False},
    {"new_shape": [96, 64], "auto": True, "stride": 32},
    {"new_shape": 64, "auto": True, "center": False, "scaleup": False},
    {"new_shape": [64, 96], "scale_fill": True},
    {"new_shape": 64, "padding_value": 0},
)
METADATA: dict[str, Any] = {
    "description": "Ultralytics YOLO11n model trained on coco.yaml", "author": "Ultralytics", "version": "8.3.0", "stride": 32,
    "task": "detect", "batch": 1, "imgsz": [64, 96], "names": {0: "person", 1: "bicycle"}, "channels": 3,
}  # fmt: skip


VALUES = (
    st.text(max_size=30)
    | st.integers()
    | st.lists(st.integers() | st.text(max_size=3), max_size=3)
    | st.sampled_from(["detect", "[64, 64]", "{0: 'a'}"])
)


def images() -> dict[str, Array]:
    generator = np.random.default_rng(5)
    return {f"{height}x{width}": generator.integers(0, 256, (height, width, 3)).astype(np.uint8) for height, width in SIZES}


def uint8(found: Found, image: Array) -> Array:
    """The pixels before they become floats, [H,W,3]."""
    steps = tuple(step for step in found.contract.image if not isinstance(step, Normalize | ChannelsFirst))
    return np.asarray(Preprocessor(steps).one(image))


def letterboxed(image: Array, new_shape: Any, auto: bool = False, scale_fill: bool = False, scaleup: bool = True, center: bool = True,
                stride: int = 32, padding_value: int = 114) -> Array:  # fmt: skip
    """What the documentation of LetterBox says, by OpenCV's own calls."""
    height, width = (new_shape, new_shape) if isinstance(new_shape, int) else new_shape
    ratio = min(height / image.shape[0], width / image.shape[1])
    ratio = ratio if scaleup else min(ratio, 1.0)
    inner = max(round(image.shape[1] * ratio), 1), max(round(image.shape[0] * ratio), 1)
    across, down = width - inner[0], height - inner[1]
    if auto:
        across, down = across % stride, down % stride
    elif scale_fill:
        inner, across, down = (width, height), 0, 0
    if inner != image.shape[1::-1]:
        image = cv2.resize(image, inner, interpolation=cv2.INTER_LINEAR)
    half = 2 if center else 1
    top, left = (round(down / half - 0.1), round(across / half - 0.1)) if center else (0, 0)
    bottom, right = round(down / half + 0.1), round(across / half + 0.1)
    return cv2.copyMakeBorder(image, top, bottom, left, right, cv2.BORDER_CONSTANT, value=(padding_value,) * 3)


def of_object(value: Any) -> Found:
    found = forms.only("of_object", value, "CHW")
    assert found is not None
    return found


@pytest.mark.parametrize("arguments", ARGUMENTS, ids=lambda one: json.dumps(one))
def test_a_letterbox_is_opencvs_to_the_bit(arguments: dict[str, Any]) -> None:
    found = of_object(arguments)
    for image in images().values():
        assert np.array_equal(uint8(found, image), letterboxed(image, **arguments))


@pytest.mark.slow
def test_a_letterbox_is_ultralytics_own_to_the_bit(tmp_path: Path) -> None:
    """The library itself, without what it asks for, on this environment's OpenCV and torch."""
    library = client_python("ultralytics", no_deps=(VERSION,)).parents[1]
    (packages,) = library.glob("lib/python*/site-packages")
    np.savez(tmp_path / "images.npz", **images())
    script = Path(__file__).parents[2] / "support" / "clients" / "scripts" / "ultralytics_letterbox.py"
    arguments = [script, tmp_path / "images.npz", tmp_path / "out.npz", json.dumps(ARGUMENTS)]
    run = run_in(Path(sys.executable), *arguments, PYTHONPATH=str(packages), YOLO_CONFIG_DIR=str(tmp_path))
    assert run.returncode == 0, run.stderr
    compared = 0
    with np.load(tmp_path / "out.npz") as wanted:
        for number, one in enumerate(ARGUMENTS):
            for name, image in images().items():
                assert np.array_equal(uint8(of_object(one), image), wanted[f"{number}.{name}"]), (one, name)
                compared += 1
    assert compared == len(ARGUMENTS) * len(SIZES)


def test_photographs_as_ultralytics_reads_and_scales_them(real: Path) -> None:
    """From the file on: decoded, letterboxed, RGB in 0..1, to the bit of what its predictor hands to the network."""
    step = read("letterbox:640")
    for file in [sorted(folder.iterdir())[0] for folder in sorted((real / "imagenette").iterdir())][:6]:
        read_by_opencv = cv2.imdecode(np.fromfile(file, np.uint8), cv2.IMREAD_COLOR)
        wanted = letterboxed(read_by_opencv, 640)[:, :, ::-1].transpose(2, 0, 1).astype(np.float32) / np.float32(255)
        assert np.array_equal(Preprocessor(step.contract.image).one(file), wanted)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_followed_as_opencv_follows_it(orientation: int) -> None:
    exif, buffer = Image.Exif(), io.BytesIO()
    exif[0x112] = orientation
    Image.fromarray(images()["37x111"]).save(buffer, "JPEG", exif=exif)
    wanted = letterboxed(cv2.imdecode(np.frombuffer(buffer.getvalue(), np.uint8), cv2.IMREAD_COLOR)[:, :, ::-1], 64)
    assert np.array_equal(uint8(read("letterbox:64"), buffer.getvalue()), wanted)


def read(asked: str) -> Found:
    found = read_step(ReadRequest(asked, Source(Path("m.onnx"), "onnx", "onnx", "", 0), "CHW"))
    assert found is not None
    return found


def test_names_of_letterboxes() -> None:
    decode, last = Decode(orient=True), (ChannelsFirst(), Normalize(arithmetic="torch"))
    assert read("letterbox:640").contract.image == (decode, Letterbox((640, 640)), *last)
    assert read("letterbox:480x640,stride=32").contract.image == (decode, Letterbox((480, 640), 32), *last)
    assert read("letterbox:480x640").contract.sample_shape().axes == (3, 480, 640)
    hwc = forms.only("of_name", "letterbox:64", "HWC")
    assert hwc is not None and hwc.contract.sample_shape().axes == (64, 64, 3)


@pytest.mark.parametrize(
    "name", ["letterbox", "letterbox:", "letterbox:0", "letterbox:640*480", "letterbox:640,stride=0", "letterbox:640,32"]
)
def test_other_spellings_are_refused_with_the_right_one(name: str) -> None:
    with pytest.raises(DataError, match="letterbox:HEIGHTxWIDTH"):
        read(name)


def test_a_size_that_is_no_multiple_of_the_stride() -> None:
    with pytest.raises(DataError, match="not a multiple of its stride"):
        read("letterbox:100,stride=32")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"new_shape": 64, "interpolation": 3}, "interpolation = 3"),
        ({"new_shape": (64, 64, 3)}, "new_shape"),
        ({"new_shape": "64"}, "new_shape"),
        ({"new_shape": 64, "padding_value": 114.5}, "padding_value = 114.5"),
        ({"new_shape": 64, "angle": 3}, "'angle', which is not read"),
    ],
)
def test_arguments_that_cannot_be_carried_out_are_refused_by_name(arguments: dict[str, Any], says: str) -> None:
    with pytest.raises(DataError, match=says.replace("(", r"\(")):
        of_object(arguments)


def test_a_live_letterbox_of_any_version() -> None:
    """Older versions spell scale_fill otherwise and have neither a padding value nor an interpolation."""
    old = type("LetterBox", (), {"__module__": "ultralytics.data.augment"})()
    vars(old).update(new_shape=(64, 96), auto=False, scaleFill=False, scaleup=False, stride=32, center=True)
    found = of_object(old)
    assert found.contract.image[1] == Letterbox((64, 96), scale_up=False) and "0..1" in found.notes[0].text
    assert forms.only("of_object", type("LetterBox", (), {"__module__": "mine"})(), "CHW") is None


# Exports


def onnx_export(path: Path, stated: dict[str, Any], shape: tuple[Any, ...] = (1, 3, 64, 96), kind: int = onnx.TensorProto.FLOAT) -> Path:
    node = onnx.helper.make_node("Identity", ["images"], ["output0"])
    onnx_files.written(path, [node], [("images", kind, list(shape))], [("output0", kind, list(shape))])
    model = onnx.load(path)
    for key, value in stated.items():
        model.metadata_props.add(key=key, value=str(value))
    onnx.save(model, path)
    return path


def beside(path: Path, kind: str, layout: Any = "CHW") -> Found | None:
    return ultralytics.beside(Source(path, kind, "", "", 0), layout)


def kept(path: Path, kind: str, layout: Any = "CHW") -> Found:
    found = beside(path, kind, layout)
    assert found is not None
    return found


def test_every_kind_of_export_gives_the_same_contract(tmp_path: Path) -> None:
    texts = {**METADATA, "names": {str(index): name for index, name in METADATA["names"].items()}}
    (folder := tmp_path / "yolo11n_saved_model").mkdir()
    (folder / "metadata.yaml").write_text(yaml.safe_dump(METADATA, sort_keys=False))
    torchscript = tmp_path / "m.torchscript"
    with zipfile.ZipFile(torchscript, "w") as archive:
        archive.writestr("m/data.pkl", b"")
        archive.writestr("m/extra/config.txt", json.dumps(METADATA))
    tflite = tflite_metadata.image_model(tmp_path / "m.tflite", (1, 64, 96, 3))
    with zipfile.ZipFile(tflite, "a") as archive:
        archive.writestr("metadata.json", json.dumps(texts))
    older = tflite_metadata.image_model(tmp_path / "older.tflite", (1, 64, 96, 3))
    tflite_metadata.add(older, Written(files=(("temp_meta.txt", 1, ""),)), {"temp_meta.txt": str(METADATA).encode()})
    found = [
        kept(onnx_export(tmp_path / "m.onnx", METADATA), "onnx"),
        kept(torchscript, "jit"),
        kept(tflite, "tflite", "HWC"),
        kept(older, "tflite", "HWC"),
        kept(folder, "saved_model", "HWC"),
        read(str(folder / "metadata.yaml")),
    ]
    for one in found:
        assert one.contract.image[:2] == (Decode(orient=True), Letterbox((64, 96)))
        assert one.contract.answer.labels == ("person", "bicycle")
    image = images()["100x150"]
    samples = [Preprocessor(one.contract.image).one(image) for one in found]
    assert [sample.shape for sample in samples] == [(3, 64, 96)] * 2 + [(64, 96, 3)] * 3 + [(3, 64, 96)]
    assert all(np.array_equal(np.moveaxis(sample, -1, 0) if sample.shape[0] != 3 else sample, samples[0]) for sample in samples)
    # The form of TFLite's own metadata leaves the file to this one.
    whole = read_step(ReadRequest(None, Source(older, "tflite", "tensorflow", "", 0), "HWC"))
    assert whole is not None and whole.contract == found[3].contract


def test_a_classifier_is_not_letterboxed(tmp_path: Path) -> None:
    stated = {**METADATA, "task": "classify", "imgsz": [64, 64]}
    found = kept(onnx_export(tmp_path / "m.onnx", stated, (1, 3, 64, 64)), "onnx")
    assert found.contract.image[1:3] == (Resize(64), Crop((64, 64)))
    wide = kept(onnx_export(tmp_path / "m.onnx", {**stated, "imgsz": [64, 96]}), "onnx")
    assert wide.contract.image[1:3] == (Resize((64, 96)), Crop((64, 96)))
    old = kept(onnx_export(tmp_path / "m.onnx", {**stated, "version": "8.0.140"}, (1, 3, 64, 64)), "onnx")
    assert "cropped classifiers' images by OpenCV" in old.notes[-1].text and old.notes[-1].warning


def test_rt_detr_stretches_the_image(tmp_path: Path) -> None:
    for stated in ({"head": "RTDETRDecoder"}, {"description": "Ultralytics rtdetr-l model"}):
        found = kept(onnx_export(tmp_path / "m.onnx", {**METADATA, **stated}), "onnx")
        image = images()["37x111"]
        assert np.array_equal(uint8(found, image), cv2.resize(image, (96, 64), interpolation=cv2.INTER_LINEAR))


def test_an_open_size_is_padded_to_the_whole_and_the_name_of_the_other_way_is_given(tmp_path: Path) -> None:
    found = kept(onnx_export(tmp_path / "m.onnx", METADATA, ("batch", 3, "height", "width")), "onnx")
    assert found.contract.image[1] == Letterbox((64, 96))
    assert read(found.notes[0].text.partition("--preprocess ")[2].split()[0]).contract.image[1] == Letterbox((64, 96), 32)


def test_grey_images(tmp_path: Path) -> None:
    found = kept(onnx_export(tmp_path / "m.onnx", {**METADATA, "channels": 1}, (1, 1, 64, 96)), "onnx")
    assert found.contract.image[0] == Decode("L", orient=True) and "luma" in found.notes[0].text


def test_metadata_of_yolov5_do_not_tell_a_detector_from_a_classifier(tmp_path: Path) -> None:
    found = kept(onnx_export(tmp_path / "m.onnx", {"stride": 32, "names": METADATA["names"]}), "onnx")
    assert not found.contract.takes_images and found.contract.answer.labels == ("person", "bicycle")
    assert "--preprocess letterbox:64x96;" in found.notes[0].text and found.notes[0].warning


def test_a_quantised_export_takes_the_pixels(tmp_path: Path) -> None:
    path = tflite_metadata.image_model(tmp_path / "m.tflite", (1, 64, 96, 3), "int8", Quantization(1 / 255, -128))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("metadata.json", json.dumps(METADATA))
    sample = Preprocessor(kept(path, "tflite", "HWC").contract.image).one(images()["100x150"])
    # Ultralytics: (image / scale + zero_point) as int8, of an image in 0..1.
    wanted = letterboxed(images()["100x150"], (64, 96)).astype(np.int16) - 128
    assert sample.dtype == np.int8 and np.array_equal(sample, wanted)


@pytest.mark.parametrize(
    ("stated", "shape", "kind", "says"),
    [
        ({"task": "depth"}, (1, 3, 64, 96), 1, "task 'depth'"),
        ({"imgsz": [64, 64]}, (1, 3, 64, 96), 1, r"imgsz is \[64, 64\], and the model takes \[64, 96\]"),
        ({"channels": 4}, (1, 3, 64, 96), 1, "channels is 4, and the input has 3"),
        ({}, (1, 3, 64, 96), 10, "float16"),
    ],
)
def test_what_cannot_be_carried_out_is_a_note_and_the_names_stay(
    tmp_path: Path, stated: dict[str, Any], shape: tuple[int, ...], kind: int, says: str
) -> None:

    found = kept(onnx_export(tmp_path / "m.onnx", {**METADATA, **stated}, shape, kind), "onnx")
    assert not found.contract.takes_images and found.contract.answer.labels == ("person", "bicycle")
    assert re.search(says, found.notes[0].text) and found.notes[0].warning


@pytest.mark.parametrize(
    ("field", "value"),
    [("imgsz", "64"), ("imgsz", "[64]"), ("imgsz", "[64, 'a']"), ("imgsz", "[0, 64]"), ("imgsz", "[" * 5000), ("stride", "many"),
     ("names", "{1: 'a'}"), ("names", "{'a': 0}"), ("names", "__import__('os')"), ("channels", "-1")],
)  # fmt: skip
def test_fields_that_are_not_valid_are_named(tmp_path: Path, field: str, value: str) -> None:
    found = kept(onnx_export(tmp_path / "m.onnx", {**METADATA, field: value}), "onnx")
    if (field, value) == ("imgsz", "64"):
        # One number is a square, which this model's input is not.
        assert "the model takes [64, 96]" in found.notes[0].text
    else:
        assert f"state {field} as" in found.notes[0].text
    assert not found.contract.takes_images


def test_an_alias_in_yaml_is_refused(tmp_path: Path) -> None:
    (tmp_path / "metadata.yaml").write_text("stride: 32\nimgsz: &a [64, 64]\ntask: detect\nnames: [*a, *a]\n")
    with pytest.raises(DataError, match="alias"):
        read(str(tmp_path / "metadata.yaml"))


@pytest.mark.parametrize("text", ["stride: 1\nimgsz: [", "stride:\timgsz:\n- a: b: c", "stride: 1\nimgsz: 2\n", "a: 1"])
def test_yaml_of_something_else(tmp_path: Path, text: str) -> None:
    (tmp_path / "metadata.yaml").write_text(text)
    with pytest.raises(DataError):
        read(str(tmp_path / "metadata.yaml"))
    path = tflite_metadata.image_model(tmp_path / "m.tflite", (1, 64, 96, 3))
    found = beside(path, "tflite", "HWC")
    assert found is None or not found.contract.takes_images


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.sampled_from(["task", "imgsz", "stride", "names", "channels", "version", "head"]), VALUES, min_size=4))
def test_any_metadata_give_steps_that_can_be_carried_out_or_one_of_our_own_errors(stated: dict[str, Any]) -> None:
    from roadworthy.build.preprocessing.stated import ultralytics as metadata

    try:
        export = metadata._export(stated)
        found = None if export is None else ultralytics._of_export(export, ultralytics._plain("CHW", export.channels), "")
    except RoadworthyError:
        return
    if found is not None:
        found.contract.check()


def test_a_saved_model_whose_input_has_the_name_of_tf_hubs_convention_is_an_export(tmp_path: Path) -> None:
    (tmp_path / "metadata.yaml").write_text(yaml.safe_dump(METADATA, sort_keys=False))
    takes = (TensorSpec("images", "float32", ("batch", 64, 96, 3)),)
    found = read_step(ReadRequest(None, Source(tmp_path, "saved_model", "tensorflow", "", 0, takes=takes), "HWC"))
    assert found is not None and any(isinstance(step, Letterbox) for step in found.contract.image)

"""The image properties that ONNX defines: colours, order and range become steps; what is open or contradicts the model is a note."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from roadworthy.build import sources
from roadworthy.build.preprocessing import Found, ReadRequest, read_step
from roadworthy.core.types import Array
from roadworthy.preprocess.image import Preprocessor
from roadworthy.preprocess.steps import Decode
from support.files import onnx_files

IMAGE: Array = np.random.default_rng(2).integers(0, 256, (4, 6, 3)).astype(np.uint8)
RGB, UNIT = {"Image.BitmapPixelFormat": "Rgb8"}, {"Image.NominalPixelRange": "Normalized_0_1"}


def model(path: Path, properties: dict[str, str], shape: tuple[Any, ...] = (1, 3, 4, 6)) -> Path:
    node = onnx.helper.make_node("Identity", ["data"], ["out"])
    tensor = ("data", onnx.TensorProto.FLOAT, list(shape))
    onnx_files.written(path, [node], [tensor], [("out", onnx.TensorProto.FLOAT, list(shape))])
    made = onnx.load(path)
    for key, value in properties.items():
        made.metadata_props.add(key=key, value=value)
    onnx.save(made, path)
    return path


def found(path: Path) -> Found | None:
    return read_step(ReadRequest(None, sources.identify(path), "CHW"))


def sample(path: Path) -> Array:
    result = found(path)
    assert result is not None and "do not name the resize" in result.notes[0].text
    return Preprocessor(result.contract.image).one(IMAGE)


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("NominalRange_0_255", IMAGE.astype(np.float32)),
        ("Normalized_0_1", IMAGE.astype(np.float32) / np.float32(255)),
        ("Normalized_1_1", IMAGE.astype(np.float32) / np.float32(127.5) - 1),
    ],
)
def test_ranges_and_orders_of_colours(tmp_path: Path, name: str, wanted: Array) -> None:
    properties = {**RGB, "Image.NominalPixelRange": name, "Image.ColorSpaceGamma": "SRGB"}
    assert np.array_equal(sample(model(tmp_path / "m.onnx", properties)), wanted.transpose(2, 0, 1))
    properties["Image.BitmapPixelFormat"] = "Bgr8"
    assert np.array_equal(sample(model(tmp_path / "m.onnx", properties)), wanted[:, :, ::-1].transpose(2, 0, 1))


def test_grey(tmp_path: Path) -> None:
    result = found(model(tmp_path / "m.onnx", {"Image.BitmapPixelFormat": "Gray8", **UNIT}, (1, 1, 4, 6)))
    assert result is not None and result.contract.image[0] == Decode("L")


@pytest.mark.parametrize(
    ("properties", "shape", "says"),
    [
        (RGB, (1, 3, 4, 6), "there is no Image.NominalPixelRange"),
        (UNIT, (1, 3, 4, 6), "there is no Image.BitmapPixelFormat"),
        (
            {**RGB, "Image.NominalPixelRange": "NominalRange_16_235"},
            (1, 3, 4, 6),
            "NominalRange_16_235; NominalRange_0_255, Normalized_0_1",
        ),
        ({"Image.BitmapPixelFormat": "Rgba8", **UNIT}, (1, 4, 4, 6), "does not have one input of the shape of an image"),
        ({"Image.BitmapPixelFormat": "Rgba8", **UNIT}, (1, 3, 4, 6), "Image.BitmapPixelFormat is Rgba8"),
        ({"Image.BitmapPixelFormat": "Gray8", **UNIT}, (1, 3, 4, 6), "is Gray8, and the input has 3 channels"),
        ({**RGB, **UNIT, "Image.ColorSpaceGamma": "Linear"}, (1, 3, 4, 6), "Image.ColorSpaceGamma is Linear"),
        ({**RGB, **UNIT}, (1, 3, "height", "width"), "leaves its size open"),
        ({**RGB, **UNIT}, (1, 3), "does not have one input of the shape of an image"),
    ],
)
def test_what_is_not_clear_is_a_note(tmp_path: Path, properties: dict[str, str], shape: tuple[Any, ...], says: str) -> None:
    result = found(model(tmp_path / "m.onnx", properties, shape))
    assert result is not None and not result.contract.takes_images
    assert says in result.notes[0].text and result.notes[0].warning and "--preprocess FILE.toml" in result.notes[0].text


def test_other_properties_say_nothing(tmp_path: Path) -> None:
    assert found(model(tmp_path / "m.onnx", {"Model.Author": "me", "task": "detect"})) is None

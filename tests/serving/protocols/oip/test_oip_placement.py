"""The tensor ``placement``: for each image of a request, where its sample lies in it; given to clients that name it."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from roadworthy.core.errors import InvalidRequest
from roadworthy.core.types import Array, Signature, TensorSpec
from roadworthy.preprocess.contract import Contract
from roadworthy.preprocess.steps import ChannelsFirst, Decode, Letterbox, Normalize
from roadworthy.serving.engine.local import LocalEngine
from support.models import bundles
from support.servers.asking import Ask, asking
from support.servers.serving import PICTURE, binary_request, json_request

STEPS = (Decode(orient=True), Letterbox(8), ChannelsFirst(), Normalize())
OWN = Signature(PICTURE.inputs, (TensorSpec("placement", "float32", ("batch", 4)),))


def encoded(height: int, width: int, orientation: int = 1) -> bytes:
    exif, file = Image.Exif(), BytesIO()
    exif[0x112] = orientation
    Image.fromarray(np.zeros((height, width, 3), np.uint8)).save(file, "PNG", exif=exif)
    return file.getvalue()


def text(data: bytes) -> str:
    return base64.b64encode(data).decode()


@pytest.fixture(scope="module")
def box_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bundles.write_bundle(tmp_path_factory.mktemp("bundles") / "box", name="box", signature=PICTURE, contract=Contract(STEPS))


@pytest.fixture(scope="module")
def own_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that has an output of this name itself."""
    return bundles.write_bundle(tmp_path_factory.mktemp("bundles") / "own", name="own", signature=OWN, contract=Contract(STEPS))


@pytest.fixture(scope="module")
def ask(box_bundle: Path, own_bundle: Path, null_bundle: Path) -> Iterator[Ask]:
    with asking(box_bundle, own_bundle, null_bundle) as opened:
        yield opened


def infer(ask: Ask, model: str, body: Any, headers: Any = None) -> Any:
    return ask("POST", f"/v2/models/{model}/infer", body, headers or {})


def of_images(*images: bytes, outputs: tuple[str, ...] = ("placement",)) -> dict[str, Any]:
    item = {"name": "image", "shape": [len(images)], "datatype": "BYTES", "data": [text(image) for image in images]}
    return {"inputs": [item], "outputs": [{"name": name} for name in outputs]}


def test_boxes_of_a_sample_are_those_of_the_image(ask: Ask, box_bundle: Path) -> None:
    images = encoded(20, 40), encoded(16, 8), encoded(40, 20, orientation=6)
    answered = infer(ask, "box", of_images(*images, outputs=("logits", "placement")))
    assert list(answered.outputs) == ["logits", "placement"] and answered.outputs["logits"].shape == (3, 4)
    assert [one["datatype"] for one in answered.json["outputs"]] == ["FP32", "FP64"]
    matrices = np.asarray(answered.outputs["placement"])
    assert matrices.shape == (3, 2, 3)
    # 20 x 40 in 8 x 8: scaled by 0.2, two rows of padding above.
    assert np.allclose(matrices[0] @ [8, 6, 1], [40, 20]) and np.allclose(matrices[0] @ [0, 2, 1], [0, 0])
    assert np.allclose(matrices[1] @ [6, 8, 1], [8, 16]) and np.allclose(matrices[1] @ [2, 0, 1], [0, 0])
    with LocalEngine(box_bundle) as engine:
        for image, matrix in zip(images, matrices, strict=True):
            assert np.allclose(engine.placement(image).matrix, matrix)


def test_nothing_is_added_for_clients_that_do_not_name_it(ask: Ask) -> None:
    plain = {key: value for key, value in of_images(encoded(20, 40)).items() if key == "inputs"}
    assert "placement" not in infer(ask, "box", plain).outputs
    assert "placement" not in infer(ask, "box", encoded(20, 40), {"Content-Type": "image/png"}).outputs


def test_a_request_without_images_has_no_placement(ask: Ask) -> None:
    x: dict[str, Array] = {"image": np.zeros((1, 3, 8, 8), np.float32)}
    answered = infer(ask, "box", *binary_request(x, outputs=[{"name": "placement"}]))
    assert answered.status == 400 and "holds no images" in answered.json["error"]


def test_a_model_that_takes_no_images_has_none(ask: Ask) -> None:
    answered = infer(ask, "linear", json_request({"x": np.zeros((1, 12), np.float32)}, outputs=[{"name": "placement"}]))
    assert answered.status == 400 and "there is no output 'placement'" in answered.json["error"]


def test_an_output_of_the_models_own_keeps_its_name(ask: Ask) -> None:
    answered = infer(ask, "own", of_images(encoded(20, 40)))
    assert answered.status == 200 and answered.outputs["placement"].shape == (1, 4)


def test_no_classes_of_a_placement(ask: Ask) -> None:
    body = of_images(encoded(20, 40))
    body["outputs"][0]["parameters"] = {"classification": 2}
    assert infer(ask, "box", body).status == 400


def test_in_python(box_bundle: Path, null_bundle: Path, tmp_path: Path) -> None:
    (file := tmp_path / "image.png").write_bytes(encoded(20, 40))
    with LocalEngine(box_bundle) as engine:
        for item in (file, str(file), file.read_bytes(), Image.new("RGB", (40, 20)), np.zeros((20, 40, 3), np.uint8)):
            assert np.allclose(engine.placement(item).to_image(np.array([0, 2, 8, 6])), [0, 0, 40, 20])
        for wrong in ([file, file], np.zeros((1, 3, 8, 8), np.float32), {"image": file}):
            with pytest.raises(InvalidRequest, match="one image"):
                engine.placement(wrong)
    with LocalEngine(null_bundle) as engine, pytest.raises(InvalidRequest, match="does not say how an image becomes its input"):
        engine.placement(file)

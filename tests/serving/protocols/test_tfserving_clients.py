"""Clients of TensorFlow Serving as their users have them, each from its own packages, against a real server."""

from __future__ import annotations

import importlib.util
import sysconfig
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from roadworthy.core.types import Signature, TensorSpec
from roadworthy.serving.engine.local import LocalEngine
from support.clients.environments import client_python, drive
from support.models import bundles
from support.servers.serving import MANY, PICTURE, SEES, Server, variant, write_files

pytestmark = pytest.mark.slow

X = np.arange(24, dtype=np.float32).reshape(2, 12) / 24
PRICE = Signature((TensorSpec("x", "float32", ("batch", 3)),), (TensorSpec("y", "float32", ("batch", 1)),))
MANY_OUTPUTS = {"sum": [[-5.5, -5.0]], "flag": [False], "half": [[1.5, 2.0]], "count": [-14]}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models in their versions, as a directory of TensorFlow Serving has them."""
    root = tmp_path_factory.mktemp("models")
    bundles.write_bundle(root / "linear" / "1")
    bundles.write_bundle(root / "linear" / "2", version="2")
    a, b = np.arange(6, dtype=np.float32).reshape(3, 2), np.array([-1, 0, 5])
    outputs = {"out.sum": a + b[:, None].astype(np.float32), "out.flag": b > 0, "out.half": a.astype(np.float16), "out.count": b * 2}
    golden = {"in.a": a, "in.b": b, **outputs}
    bundles.write_bundle(root / "many" / "1", name="many", signature=MANY, variants=(variant("many"),), golden=golden)
    bundles.write_bundle(root / "picture" / "7", name="picture", version="7", signature=PICTURE, contract=SEES)
    bundles.write_bundle(root / "price" / "1", name="price", signature=PRICE)
    write_files(root / "files" / "1")
    return root


@pytest.fixture
def server(models: Path) -> Iterator[Server]:
    """All versions of them, served by two workers."""
    running = Server(models, grpc_port=0, versions=0, workers=2)
    running.wait_ready()
    yield running
    running.kill()


@pytest.fixture
def image(png: bytes, tmp_path: Path) -> Path:
    """A PNG file."""
    (tmp_path / "image.png").write_bytes(png)
    return tmp_path / "image.png"


@pytest.fixture(scope="module")
def wanted(models: Path) -> list[list[float]]:
    """What the linear model says to ``X`` in Python."""
    with LocalEngine(models / "linear" / "2") as model:
        return model.run({"x": X})["y"].tolist()


def seen(models: Path, png: bytes) -> list[list[float]]:
    """What the picture model says to the image in Python."""
    with LocalEngine(models / "picture" / "7") as model:
        return model(png).outputs["logits"].tolist()


def close(found: Any, wanted: Any) -> None:
    np.testing.assert_allclose(found, wanted, rtol=1e-5)


def test_tensorflow_serving_s_own_stubs(server: Server, models: Path, wanted: list[list[float]], image: Path) -> None:
    if importlib.util.find_spec("tensorflow") is None:
        pytest.skip("the stubs need TensorFlow, which is not installed")
    release = ".".join(next(metadata.version(name) for name in ("tensorflow-cpu", "tensorflow") if _installed(name)).split(".")[:2])
    python = client_python("tfserving-stubs", no_deps=(f"tensorflow-serving-api=={release}.*",))
    found = drive(python, "tfserving_stubs.py", server.grpc_address, sysconfig.get_paths()["purelib"], image)
    close(found["predict"]["y"], wanted)
    assert found["spec"] == ["linear", 2, "serving_default"] and found["version"] == 1
    assert found["dtypes"] == MANY_OUTPUTS
    close(found["image"]["logits"], seen(models, image.read_bytes()))
    assert found["strings"] == ["a\0", "\xff"]
    assert [row[0][0] for row in found["classify"]] == [str(np.argmax(row)) for row in wanted]
    with LocalEngine(models / "price" / "1") as model:
        close(found["regress"], model([[1, 2, 3], [4, 5, 6]]).outputs["y"][:, 0])
    assert found["multi"] is True
    assert found["metadata"] == {"sum": ["float32", -1, 2], "flag": ["bool", -1], "half": ["float16", -1, 2], "count": ["int64", -1]}
    assert found["unknown"][0] == "NOT_FOUND" and "Latest(nope)" in found["unknown"][1]
    assert found["wrong dtype"][0] == found["wrong shape"][0] == "INVALID_ARGUMENT"
    assert found["at once"] == 1

    assert found["states"] == [[2, "AVAILABLE", 0], [1, "AVAILABLE", 0]]
    assert found["reload"] == 0 and found["label"] == 1
    assert [2, "END", 0] in found["states then"] and [1, "AVAILABLE", 0] in found["states then"]
    assert found["unloaded"][0] == "NOT_FOUND" and found["outside"][0] == "PERMISSION_DENIED"
    assert found["states after"] == found["states then"]
    with server.client() as client:
        # Every worker was told.
        for _ in range(8):
            assert client.get("/v1/models/linear/labels/stable").status_code == 200
            assert client.post("/v1/models/many:predict", json={}).status_code == 404


def test_ovmsclient(server: Server, models: Path, wanted: list[list[float]], image: Path) -> None:
    python = client_python("ovmsclient", "ovmsclient==2023.1", "numpy>=2", "protobuf==3.20.3")
    http = server.wait_ready().removeprefix("http://")
    both = drive(python, "tfserving_ovms.py", server.grpc_address, http, image)
    for way, found in both.items():
        assert found["status"] == {version: {"state": "AVAILABLE", "error_code": 0, "error_message": ""} for version in "21"}, way
        assert list(found["one"]) == ["1"]
        close(found["predict"], wanted)
        close(found["version"], wanted)
        assert found["several"] == MANY_OUTPUTS, way
        close(found["image"], seen(models, image.read_bytes()))
        assert found["refused unknown"][0] == "ModelNotFoundError" and found["refused linear"][0] == "InvalidInputError", found
    assert both["grpc"]["metadata"]["inputs"] == {"a": {"shape": [-1, 2], "dtype": "DT_FLOAT"}, "b": {"shape": [-1], "dtype": "DT_INT64"}}
    assert both["http"]["metadata"]["model_spec"] == {"name": "many", "signature_name": "", "version": "1"}


def test_numbers_that_are_not_finite_cross_a_real_connection(server: Server) -> None:
    answered = httpx.post(f"{server.wait_ready()}/V1/models/price:predict", content='{"instances": [[NaN, 2, 5.0], [Infinity, 0, 0]]}')
    assert answered.status_code == 200 and answered.text.startswith('{"predictions":[[NaN],[')
    refused = httpx.post(f"{server.wait_ready()}/v1/models/price:nope", content="{}")
    assert refused.status_code == 400 and refused.json() == {"error": "Malformed request: POST /v1/models/price:nope"}


def _installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True

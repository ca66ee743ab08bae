"""Bundles to serve, a runtime of a third party, and servers in processes of their own."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from roadworthy.core import registry
from roadworthy.preprocess.contract import Answer, Contract
from support.models import bundles
from support.servers.asking import Ask, asking
from support.servers.serving import MANY, PICTURE, PLUGIN, QUANTISED, SEES, Server, variant, write_echo, write_files


@pytest.fixture(scope="package", autouse=True)
def third_party() -> Iterator[None]:
    """The runtimes of ``plugin/`` are known in this process too, for as long as this folder's tests run."""
    sys.path.insert(0, str(PLUGIN))
    registry.names.cache_clear()
    yield
    sys.path.remove(str(PLUGIN))
    registry.names.cache_clear()


@pytest.fixture
def gate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file: until it exists, a row that begins with -2 waits in servers that are started from now on."""
    file = tmp_path / "gate"
    monkeypatch.setenv("TESTKIT_GATE", str(file))
    return file


@pytest.fixture(scope="session")
def echo_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The misbehaving runtime, well behaved on its golden samples."""
    return write_echo(tmp_path_factory.mktemp("bundles") / "echo", "echo")


@pytest.fixture(scope="session")
def steady_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, slow enough to have a thread of its own."""
    return write_echo(tmp_path_factory.mktemp("bundles") / "steady", "steady")


@pytest.fixture(scope="session")
def many_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two inputs, four outputs, as many dtypes."""
    a, b = np.arange(6, dtype=np.float32).reshape(3, 2), np.array([-1, 0, 5])
    golden = {
        "in.a": a,
        "in.b": b,
        "out.sum": a + b[:, None].astype(np.float32),
        "out.flag": b > 0,
        "out.half": a.astype(np.float16),
        "out.count": b * 2,
    }
    return bundles.write_bundle(
        tmp_path_factory.mktemp("bundles") / "many", name="many", signature=MANY, variants=(variant("many"),), golden=golden
    )


@pytest.fixture(scope="session")
def picture_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A linear map over 8 x 8 colour images, with labels."""
    return bundles.write_bundle(
        tmp_path_factory.mktemp("bundles") / "picture", name="picture", version="7", signature=PICTURE, contract=SEES
    )


@pytest.fixture(scope="session")
def files_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that takes byte strings, of the very form that a bundle has on disk: no pickle."""
    return write_files(tmp_path_factory.mktemp("bundles") / "files")


@pytest.fixture(scope="session")
def quantised_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """uint8 in and out, each quantised."""
    return bundles.write_bundle(
        tmp_path_factory.mktemp("bundles") / "quantised",
        name="quantised",
        signature=QUANTISED,
        contract=Contract((), Answer("applied", 2)),
        variants=(variant("echo"),),
        golden={"in.x": np.zeros((2, 2), np.uint8), "out.y": np.zeros((2, 2), np.uint8)},
    )


@pytest.fixture(scope="module")
def ask(
    null_bundle: Path, many_bundle: Path, picture_bundle: Path, echo_bundle: Path, files_bundle: Path, quantised_bundle: Path
) -> Iterator[Ask]:
    """``ask(method, path, body, headers)``: the Open Inference Protocol over six models, in this process and without a socket."""
    with asking(null_bundle, many_bundle, picture_bundle, echo_bundle, files_bundle, quantised_bundle) as ask:
        yield ask


@pytest.fixture(scope="session")
def pixels() -> np.ndarray:
    """One image, [8, 8, 3] uint8."""
    return np.random.default_rng(3).integers(0, 256, (8, 8, 3), dtype=np.uint8)


@pytest.fixture(scope="session")
def png(pixels: np.ndarray) -> bytes:
    """The same as a PNG file."""
    file = BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    """Starts servers, and ends those that a test leaves running."""
    started: list[Server] = []

    def start(*paths: Path, **options: object) -> Server:
        started.append(Server(*paths, **options))
        return started[-1]

    yield start
    for server in started:
        server.kill()

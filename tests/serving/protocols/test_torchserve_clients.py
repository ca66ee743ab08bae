"""Clients of TorchServe as its users have them, curl, requests and its own stubs, against a real server of two workers."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from roadworthy.serving.engine.local import LocalEngine
from support.clients.environments import client_python, drive
from support.models import bundles
from support.servers.serving import PICTURE, SEES, Server, write_echo
from support.waiting import until

pytestmark = pytest.mark.slow

WORKERS = 2


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A directory of models: two with one version each."""
    write_echo(tmp_path / "store" / "echo" / "1", "echo")
    bundles.write_bundle(tmp_path / "store" / "picture" / "7", name="picture", version="7", signature=PICTURE, contract=SEES)
    return tmp_path / "store"


@pytest.fixture
def server(store: Path) -> Iterator[Server]:
    """They are served, and a second version of one lies beside by now."""
    running = Server(store, grpc_port=0, workers=WORKERS)
    running.wait_ready()
    write_echo(store / "echo" / "2", "echo")
    yield running
    running.kill()


@pytest.fixture
def image(png: bytes, tmp_path: Path) -> Path:
    """A PNG file."""
    (tmp_path / "kitten.png").write_bytes(png)
    return tmp_path / "kitten.png"


@pytest.fixture
def by_label(store: Path, png: bytes) -> Any:
    """What the model says of the image in Python."""
    with LocalEngine(store / "picture" / "7") as model:
        return pytest.approx({ranked.label: ranked.score for ranked in model(png).ranked[0]})


Curl = Callable[..., tuple[int, Any]]


@pytest.fixture
def curl(server: Server) -> Curl:
    """``curl(path, *options)``: the status and the body as JSON."""
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    url = server.wait_ready()

    def asked(path: str, *options: str) -> tuple[int, Any]:
        command = ["curl", "-sS", "-g", "-m", "30", "-w", "\n%{http_code}", *options, url + path]
        run = subprocess.run(command, capture_output=True, text=True)
        assert run.returncode == 0, run.stderr
        body, _, status = run.stdout.rpartition("\n")
        return int(status), json.loads(body)

    return asked


def test_inference_by_curl(curl: Curl, image: Path, by_label: Any) -> None:
    for options in (["-T", str(image)], ["-F", f"data=@{image}"], ["--data-binary", f"@{image}"], ["-F", f"body=@{image};type=image/png"]):
        assert curl("/predictions/picture", *options) == (200, by_label)
    assert curl("/predictions/picture/7", "-T", str(image)) == (200, by_label)
    assert curl("/models/picture/invoke", "-T", str(image)) == (200, by_label)
    assert curl("/invocations?model_name=picture", "-T", str(image)) == (200, by_label)
    assert curl("/predictions/echo", "-d", '{"data": [[1.5, 0]]}') == (200, [[1.5, 0]])
    assert curl("/ping") == (200, {"status": "Healthy"})
    status, problem = curl("/predictions/nope", "-T", str(image))
    assert (status, problem["code"], problem["type"]) == (404, 404, "ModelNotFoundException")
    status, problem = curl("/predictions/picture", "-d", "no image")
    assert (status, problem["type"]) == (400, "BadRequestException")


def test_management_by_curl(curl: Curl, store: Path) -> None:
    assert curl("/models") == (
        200,
        {"models": [{"modelName": name, "modelUrl": str(store / name / version)} for name, version in (("echo", "1"), ("picture", "7"))]},
    )
    status, page = curl("/models?limit=1")
    assert (status, page["nextPageToken"], [one["modelName"] for one in page["models"]]) == (200, "1", ["echo"])
    status, page = curl("/models?limit=1&next_page_token=1")
    assert (status, list(page), [one["modelName"] for one in page["models"]]) == (200, ["models"], ["picture"])

    # A new version waits for its promotion.
    registered = 'Model "echo" Version: 2 registered with 1 initial workers'
    assert curl("/models?url=echo/2&initial_workers=1&synchronous=true", "-X", "POST") == (200, {"status": registered})
    status, problem = curl("/models?url=echo/2&initial_workers=1&synchronous=true", "-X", "POST")
    assert (status, problem["type"]) == (409, "ConflictStatusException")
    assert [(one["modelVersion"], one["minWorkers"]) for one in curl("/models/echo")[1]] == [("1", WORKERS)]
    assert [one["modelVersion"] for one in curl("/models/echo/all")[1]] == ["1", "2"]
    assert curl("/predictions/echo/2", "-d", "[1.5, 0]") == (200, [1.5, 0])
    status, problem = curl("/models/echo", "-X", "DELETE")
    assert (status, problem["type"]) == (403, "InvalidModelVersionException")
    promoted = 'Default version successfully updated for model "echo" to "2"'
    assert curl("/models/echo/2/set-default", "-X", "PUT") == (200, {"status": promoted})
    assert curl("/models/echo")[1][0]["modelVersion"] == "2"

    assert curl("/models/echo?min_worker=4", "-X", "PUT") == (202, {"status": "Processing worker updates..."})
    until(lambda: len(curl("/models/echo")[1][0]["workers"]) == 4, "four workers")
    assert curl("/models/echo/2?min_worker=2&synchronous=true", "-X", "PUT") == (
        200,
        {"status": "Workers scaled to 2 for model: echo, version: 2"},
    )
    (described,) = curl("/models/echo")[1]
    assert [worker["status"] for worker in described["workers"]] == ["READY"] * 2
    assert len({worker["pid"] for worker in described["workers"]}) == WORKERS
    assert all(worker["memoryUsage"] > 2**20 for worker in described["workers"])

    assert curl("/models/echo/1", "-X", "DELETE") == (200, {"status": 'Model "echo" unregistered'})
    for _ in range(4 * WORKERS):
        # Every worker was told.
        status, problem = curl("/predictions/echo/1", "-d", "[1.5, 0]")
        assert (status, problem["type"]) == (404, "ModelVersionNotFoundException")
    assert curl("/models/echo/1")[0] == 404
    assert curl("/models/echo", "-X", "DELETE")[0] == 200
    assert curl("/models/echo")[0] == 404
    assert curl("/predictions/echo", "-d", "[1.5, 0]")[0] == 404
    assert curl("/ping") == (200, {"status": "Healthy"})


def test_what_cannot_be_registered(curl: Curl, server: Server, store: Path) -> None:
    for url in ("http://somewhere/echo.mar", "file:///etc", "../echo"):
        status, problem = curl(f"/models?url={url}&synchronous=true&initial_workers=1", "-X", "POST")
        assert (status, problem["type"]) == (400, "BadRequestException"), problem
    for url in ("/etc", "nothing.mar"):
        status, problem = curl(f"/models?url={url}&synchronous=true&initial_workers=1", "-X", "POST")
        assert (status, problem["type"]) == (404, "ModelNotFoundException"), problem
    assert curl("/models", "-X", "POST")[1]["message"].startswith("the parameter url is required")
    # What is wrong at once is said at once, also to those who do not wait.
    assert curl("/models?url=nothing&initial_workers=1", "-X", "POST")[0] == 404
    (store / "echo" / "2" / "golden.npz").write_bytes(b"damaged")
    status, problem = curl("/models?url=echo/2&synchronous=true&initial_workers=1", "-X", "POST")
    assert (status, problem["type"]) == (409, "ConflictStatusException") and "golden.npz" in problem["message"]
    # The version before serves on.
    assert curl("/predictions/echo", "-d", "[1.5, 0]") == (200, [1.5, 0])
    assert [(one["modelVersion"], one["state"]) for one in curl("/models/echo/all")[1]] == [("1", "ready"), ("2", "failed")]
    assert "golden.npz" in curl("/models/echo/2")[1][0]["reason"]
    # And is no more the default by name than it was: a newer version takes over.
    write_echo(store / "echo" / "3", "echo")
    with server.client() as client:
        assert client.post("/v2/repository/models/echo/load").status_code == 200
    assert curl("/models/echo")[1][0]["modelVersion"] == "3"


def test_requests(server: Server, image: Path, by_label: Any) -> None:
    python = client_python("requests", "requests==2.32.5")
    found = drive(python, "torchserve_http.py", server.wait_ready(), image)
    assert found["raw"] == found["put"] == found["file"] == by_label
    assert found["json"] == [[1.5, 0]] and found["text"] == found["form"] == [1.5, 0]
    assert found["instances"] == {"predictions": [[1.5, 0]]}
    assert found["fault"] == 400 and found["ping"] == {"status": "Healthy"}
    assert [one["modelName"] for one in found["models"]["models"]] == ["echo", "picture"]


def test_torchserve_s_own_stubs(server: Server, image: Path, by_label: Any) -> None:
    python = client_python("torchserve-stubs", "grpcio-tools==1.76.0", "setuptools==80.9.0", no_deps=("torchserve==0.12.0",))
    found = drive(python, "torchserve_stubs.py", server.grpc_address, image)
    assert found["ping"] == "Healthy"
    assert found["image"] == by_label
    assert found["json"] == [[1.5, 0]] and found["stream"] == [[1.5, 0]] and found["version 2"] == [1.5, 0]
    assert [found[name][0] for name in ("unknown", "nonsense", "fails", "stream2")] == [
        "NOT_FOUND",
        "INVALID_ARGUMENT",
        "INTERNAL",
        "UNIMPLEMENTED",
    ]
    assert found["register"] == {"status": 'Model "echo" Version: 2 registered with 1 initial workers'}
    assert found["again"][0] == "FAILED_PRECONDITION" and found["outside"][0] == "INVALID_ARGUMENT"
    assert found["describe"] == [["1", WORKERS, WORKERS], ["2", WORKERS, WORKERS]]
    assert found["default"]["status"].endswith('"echo" to "2"')
    assert found["scale"] == {"status": "Workers scaled to 4 for model: echo"}
    assert [one["modelName"] for one in found["list"]["models"]] == ["echo"] and found["list"]["nextPageToken"] == "1"
    assert found["unregister"] == {"status": 'Model "echo" unregistered'} and found["gone"][0] == "NOT_FOUND"

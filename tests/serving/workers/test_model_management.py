"""Model management in a real server: versions, swaps, defaults, labels, canaries, shadows, what a watched directory brings."""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from support.models import bundles
from support.servers.serving import Server, json_request
from support.waiting import until

Serve = Callable[..., Server]
ASK = json_request({"x": np.ones((1, 12), np.float32)})


def write(root: Path, version: str, *, scale: float = 1.0) -> Path:
    """One version of the linear model; ``scale`` makes its answers another model's."""
    return bundles.write_bundle(root / "linear" / version, version=version, scale=scale)


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """Versions 1 and 2 of one model."""
    write(tmp_path / "models", "1")
    write(tmp_path / "models", "2", scale=2.0)
    return tmp_path / "models"


def manage(client: httpx.Client, kind: str, **rest: Any) -> dict[str, Any]:
    answered = client.post("/manage", json={"type": kind, "name": "linear", **rest})
    assert answered.status_code == 200, answered.text
    (served,) = answered.json()["models"]
    found: dict[str, Any] = served
    return found


def states(served: dict[str, Any]) -> dict[str, str]:
    return {one["version"]: one["state"] for one in served["versions"]}


def answering(client: httpx.Client, path: str = "") -> str:
    answered = client.post(f"/v2/models/linear{path}/infer", json=ASK)
    assert answered.status_code == 200, answered.text
    version: str = answered.json()["model_version"]
    return version


def metric(client: httpx.Client, name: str, *labels: str) -> float:
    lines = [line for line in client.get("/metrics").text.splitlines() if line.startswith(name) and all(label in line for label in labels)]
    return sum(float(line.rpartition(" ")[2]) for line in lines)


def test_the_newest_version_of_a_directory_is_served_and_others_on_request(serve: Serve, models: Path) -> None:
    with serve(models).client() as client:
        assert answering(client) == "2"
        assert client.post("/v2/models/linear/versions/1/infer", json=ASK).status_code == 404
        assert states(manage(client, "Load", version="1")) == {"1": "ready", "2": "ready"}, "beside the other"
    with serve(models, versions=0).client() as client:
        assert {answering(client, f"/versions/{version}") for version in "12"} == {"1", "2"}
        assert answering(client) == "2"
        assert manage(client, "SetDefault", version="1")["default"] == "1"
        assert {answering(client) for _ in range(4)} == {"1"}
        served = manage(client, "Unload", version="1")
        assert states(served) == {"1": "unloaded", "2": "ready"} and served["default"] is None
        assert answering(client) == "2"
        refused = client.post("/manage", json={"type": "SetDefault", "name": "linear", "version": "1"})
        assert refused.status_code == 404 and "load it first" in refused.json()["error"]


def test_a_bad_new_version_leaves_the_old_one_serving_and_says_why(serve: Serve, models: Path) -> None:
    server = serve(models)
    with server.client() as client:
        bad = write(models, "3")
        (bad / "variants" / "null-fp32-t1" / "model.npz").write_bytes(b"PK")
        refused = client.post("/manage", json={"type": "Load", "name": "linear"})
        assert refused.status_code == 409 and "model.npz" in refused.json()["error"]
        (served,) = client.get("/manage").json()["models"]
        assert states(served) == {"2": "ready", "3": "failed"}
        assert "model.npz" in served["versions"][1]["reason"]
        assert client.get("/v2/health/ready").status_code == 200
        assert answering(client) == "2"
        shutil.rmtree(bad)
        write(models, "3")
        assert states(manage(client, "Load")) == {"2": "unloaded", "3": "ready"}
        assert answering(client) == "3"


def test_a_watched_directory_brings_versions_and_takes_them(serve: Serve, models: Path) -> None:
    with serve(models, watch=0.1).client() as client:
        assert answering(client) == "2"
        write(models, "10")
        until(lambda: answering(client) == "10", "the new version")
        shutil.rmtree(models / "linear" / "10")
        until(lambda: answering(client) == "2", "the old one again")
        manage(client, "Unload")
        time.sleep(0.5)
        assert client.post("/v2/models/linear/infer", json=ASK).status_code in (404, 503), "what a client unloaded stays so"


def test_a_canary_gets_its_share_of_what_asks_for_no_version(serve: Serve, models: Path) -> None:
    with serve(models, versions=0).client() as client:
        manage(client, "SetCanary", version="2", share=0.25)
        seen = Counter(answering(client) for _ in range(400))
        # The mean is 100 of 400; four standard deviations are 35.
        assert 65 <= seen["2"] <= 135 and seen["1"] == 400 - seen["2"]
        assert {answering(client, "/versions/1") for _ in range(20)} == {"1"}
        manage(client, "SetCanary")
        assert {answering(client) for _ in range(20)} == {"2"}
        assert client.post("/manage", json={"type": "SetCanary", "name": "linear", "version": "2", "share": 1.5}).status_code == 400


def test_a_shadow_is_compared_and_never_answers(serve: Serve, models: Path) -> None:
    write(models, "3")
    with serve(models, versions=0).client() as client:
        manage(client, "SetDefault", version="1")
        manage(client, "SetShadow", version="2")
        assert {answering(client) for _ in range(30)} == {"1"}
        assert answering(client, "/versions/3") == "3", "who names a version is not mirrored"
        until(lambda: metric(client, "roadworthy_inference_mirrored_total", 'version="2"') + skipped(client) == 30, "copies")
        copies = metric(client, "roadworthy_inference_mirrored_total", 'version="2"')
        assert copies > 0
        assert metric(client, "roadworthy_inference_mirrored_different_total", 'version="2"') == copies, "twice the answer is another one"
        manage(client, "SetShadow", version="3")
        assert {answering(client) for _ in range(10)} == {"1"}
        until(lambda: metric(client, "roadworthy_inference_mirrored_total", 'version="3"') > 0, "copies")
        assert metric(client, "roadworthy_inference_mirrored_different_total", 'version="3"') == 0


def skipped(client: httpx.Client) -> float:
    return metric(client, "roadworthy_inference_mirrored_skipped_total", 'version="2"')


def test_scaling_is_seen_in_every_worker(serve: Serve, models: Path) -> None:
    with serve(models, workers=2).client() as client:
        served = manage(client, "Scale", instances=4)
        assert [one["instances"] for one in served["versions"] if one["state"] == "ready"] == [2]
        assert answering(client) == "2"
        assert client.post("/manage", json={"type": "Scale", "name": "linear", "instances": 0}).status_code == 400


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'{"type": "Load"}', b'{"type": "Format", "name": "c"}', b"[" * 100_000, b'{"type":"\xff"}']
)
def test_a_body_that_is_not_a_command_is_refused(serve: Serve, models: Path, body: bytes) -> None:
    with serve(models).client() as client:
        answered = client.post("/manage", content=body)
        assert answered.status_code == 400 and "not a command" in answered.json()["error"]

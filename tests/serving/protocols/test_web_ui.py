"""The page's files and its figures, from a real server: what they say, who may read them, and that they allow nothing else."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from importlib import resources
from pathlib import Path

import numpy as np

from roadworthy.serving.engine.counters import SECONDS, Latency
from roadworthy.serving.protocols.web_ui import http as page
from roadworthy.serving.protocols.web_ui.status import quantile
from support.servers.serving import Server, write_echo

Serve = Callable[..., Server]


def test_the_figures_say_what_is_served_and_what_was_asked(serve: Serve, picture_bundle: Path, null_bundle: Path, png: bytes) -> None:
    server = serve(picture_bundle, null_bundle, workers=2)
    with server.client() as client:
        for _ in range(6):
            client.post("/v2/models/picture/infer", content=png, headers={"Content-Type": "image/png"}).raise_for_status()
        assert client.post("/v2/models/picture/infer", content=b"no image", headers={"Content-Type": "image/png"}).status_code == 400
        status = client.get("/page/status").raise_for_status().json()
    assert status["ready"] and not status["draining"] and status["restarts"] == 0 and status["grpc"] is None
    assert len(status["workers"]) == 2 and all(worker["memory"] > 2**20 for worker in status["workers"])
    linear, picture = status["models"]
    assert (linear["name"], linear["requests"], linear["p50"]) == ("linear", 0, None)
    assert linear["takes"] == {
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 12]}], "kind": None, "name": "",
        "files": False, "steps": [],
    }  # fmt: skip
    assert (picture["requests"], picture["errors"], picture["answered"]) == (7, 1, {"200": 6, "400": 1})
    assert 0 < picture["p50"] <= picture["p99"]
    (version,) = picture["versions"]
    assert (version["version"], version["state"], version["succeeded"], picture["current"]) == ("7", "ready", 6, "7")
    assert picture["takes"]["kind"] == "image" and picture["takes"]["steps"][0] == "decoded as RGB"


def test_a_version_that_failed_is_there_with_its_reason(serve: Serve, tmp_path: Path) -> None:
    write_echo(tmp_path / "echo" / "1", "echo")
    write_echo(tmp_path / "echo" / "2", "lying")
    with serve(tmp_path, versions=0).client() as client:
        (model,) = client.get("/page/status").json()["models"]
    states = {version["version"]: version for version in model["versions"]}
    assert states["1"]["state"] == "ready" and model["current"] == "1"
    assert states["2"]["state"] == "failed" and "golden answers are off" in states["2"]["reason"]


def test_the_files_allow_nothing_from_elsewhere(serve: Serve, null_bundle: Path) -> None:
    with serve(null_bundle).client() as client:
        for path, (file, kind) in page.FILES.items():
            answer = client.get(path)
            assert answer.status_code == 200 and answer.headers["content-type"] == kind.decode()
            assert answer.content == resources.files("roadworthy.serving.protocols.web_ui").joinpath(file).read_bytes()
            policy = answer.headers["content-security-policy"]
            assert policy.startswith("default-src 'none'") and "unsafe" not in policy and "http" not in policy
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert client.head(path).content == b""
            assert client.post(path).status_code == 405
        html = client.get("/").text
        # Nothing inline, which the policy would refuse anyway, and every file that is named is one of ours.
        assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*src=)", html)
        named = re.findall(r'(?:src|href)="([^"#]+)"', html)
        assert {*named} - {"/openapi.json", "/metrics", "/page/status"} <= {*page.FILES}
        for path in ("/page/", "/page/nothing", "/page/../status", "/page/page.css/"):
            assert client.get(path).status_code == 404
        assert client.options("/").json()["openapi"].startswith("3.")
        assert client.delete("/page/status").status_code == 405
        assert client.get("/page/status").headers["cache-control"] == "no-store"


def test_every_identifier_that_the_scripts_ask_for_is_in_the_page() -> None:
    folder = resources.files("roadworthy.serving.protocols.web_ui")
    html = folder.joinpath("index.html").read_text()
    named = set(re.findall(r'\bid="([^"]+)"', html))
    asked = {name for file in ("page.js", "try.js") for name in re.findall(r'\$\("([^"]+)"\)', folder.joinpath(file).read_text())}
    assert asked <= named, asked - named


def test_with_tokens_the_figures_want_one_and_the_page_does_not(serve: Serve, null_bundle: Path, tmp_path: Path) -> None:
    tokens = tmp_path / "tokens.json"
    rights = {"reader": ["inference"], "scraper": ["metrics"]}
    tokens.write_text(json.dumps({"tokens": {name: {"token": name, "rights": held} for name, held in rights.items()}}))
    tokens.chmod(0o600)
    with serve(null_bundle, tokens=str(tokens)).client() as client:
        assert client.get("/").status_code == 200
        assert client.get("/page/status").status_code == 401
        assert client.get("/page/status", headers={"Authorization": "Bearer scraper"}).status_code == 403
        assert client.get("/page/status", headers={"Authorization": "Bearer reader"}).status_code == 200


def test_quantiles_are_read_off_the_histogram() -> None:
    assert quantile([], 0.5) is None and quantile([Latency()], 0.99) is None
    latency = Latency()
    times = np.random.default_rng(0).gamma(2, 0.01, 5000)
    for seconds in times:
        latency.observe(float(seconds))
    for share in (0.5, 0.9, 0.99):
        read, real = quantile([latency], share), float(np.quantile(times, share))
        lower = max((bound for bound in SECONDS if bound < real), default=0)
        assert read is not None and lower <= read <= min(bound for bound in SECONDS if bound >= real)
    late = Latency()
    late.observe(60)
    assert quantile([late], 0.5) == SECONDS[-1]
    halves = [Latency(), Latency()]
    for index, seconds in enumerate(times):
        halves[index % 2].observe(float(seconds))
    assert quantile(halves, 0.9) == quantile([latency], 0.9)

"""schemathesis, from its own package, makes up requests from the OpenAPI document: no 5xx, no answer that the document does not know.

A run makes few requests for each operation; ``make soak`` makes 200, which takes minutes.
"""

from __future__ import annotations

import copy
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from roadworthy.serving.protocols.openapi import document as openapi_document
from roadworthy.serving.transports.http import listeners
from support.models import bundles
from support.servers.serving import PICTURE, SEES, Server

pytestmark = pytest.mark.slow

Serve = Callable[..., Server]

PLANELESS: Any = None
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
# 501 is for explanations, which no model here gives; a busy or a leaving server says 503 by the protocols' own rules.
CONFIG = '[checks.not_a_server_error]\nexpected-statuses = ["2xx", "4xx", 501, 503, 504]\n'
NAMES = {
    "model": ["linear", "picture", "unknown"],
    "version": ["1", "2", "7"],
    "label": ["stable"],
    "repository": ["here"],
}
ROW = [0.0] * 12
SAMPLES: dict[str, Any] = {
    "InferRequest": {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 12], "data": ROW}]},
    "PredictRequest": {"instances": [ROW]},
    "ExampleRequest": {"examples": [{"x": ROW}]},
    "RepositoryRequest": {"parameters": {"version": "2"}},
}

FEW, MANY = 5, 200
"""Requests that are made up for each operation."""


def narrowed(management: bool) -> dict[str, Any]:
    """The document for a server of known models: with their names in the paths, and samples of what fits them."""
    document = copy.deepcopy(openapi_document.document(listeners.http_protocols(PLANELESS)))
    for path, methods in [*document["paths"].items()]:
        for method, operation in [*methods.items()]:
            if management != any("management" in one["token"] for one in operation["security"]):
                del methods[method]
            for parameter in operation["parameters"]:
                if parameter["in"] == "path":
                    parameter["schema"]["enum"] = NAMES[parameter["name"]]
        if not methods:
            del document["paths"][path]
    for name, sample in SAMPLES.items():
        document["components"]["schemas"][name]["examples"] = [sample]
    return document


@pytest.mark.parametrize("examples", [FEW, pytest.param(MANY, marks=[pytest.mark.soak, pytest.mark.timeout(3600)])])
@pytest.mark.parametrize("management", [False, True], ids=["inference", "management"])
def test_nothing_that_it_makes_up_gets_an_undocumented_answer(serve: Serve, tmp_path: Path, management: bool, examples: int) -> None:
    models = tmp_path / "models"
    bundles.write_bundle(models / "linear" / "1", name="linear")
    bundles.write_bundle(models / "linear" / "2", name="linear", version="2")
    bundles.write_bundle(models / "picture" / "7", name="picture", version="7", signature=PICTURE, contract=SEES)
    (tmp_path / "openapi.json").write_text(json.dumps(narrowed(management)))
    (tmp_path / "schemathesis.toml").write_text(CONFIG)
    server = serve(models, versions=0, workers=1)
    run = subprocess.run(
        [
            *(str(Path(sys.executable).with_name("schemathesis")), "--config-file", "schemathesis.toml", "run", "openapi.json"),
            *("--url", server.wait_ready(), "--phases", "examples,coverage,fuzzing", "--checks", CHECKS, "--continue-on-failure"),
            *("--max-examples", str(examples), "--seed", "4", "--generation-database", "none", "--no-color", "--warnings", "off"),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout[-6000:] + run.stderr
    made = re.search(r"([\d,]+) generated, ([\d,]+) passed", run.stdout)
    assert made and int(made[1].replace(",", "")) > 100 and made[1] == made[2], run.stdout[-2000:]
    with server.client() as client:
        status = client.get("/page/status").raise_for_status().json()
        assert status["restarts"] == 0
        if not management:
            assert all(model["answered"].get("200", 0) > 10 for model in status["models"]), status["models"]
    assert server.stop() == 0
    assert "Traceback" not in server.errors()

"""The OpenAPI document says what a real server does: every route, every right, and nothing that schemathesis could not stand."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import jsonschema_rs
import numpy as np
import pytest

from roadworthy.serving.protocols.openapi import document
from roadworthy.serving.transports.http import listeners
from support.models import bundles
from support.servers.serving import PICTURE, SEES, Server, binary_request, json_request
from support.waiting import HANG_SECONDS

Serve = Callable[..., Server]

PLANELESS: Any = None
PROTOCOLS = listeners.http_protocols(PLANELESS)
DOCUMENT = document.document(PROTOCOLS)
METHODS = ("get", "put", "post", "delete", "options")
NAMES = {"model": "linear", "version": "1", "label": "stable", "repository": "here"}


@dataclass(frozen=True)
class Operation:
    """One operation of the document."""

    method: str
    path: str
    said: dict[str, Any]

    @property
    def id(self) -> str:
        return str(self.said["operationId"])

    @property
    def right(self) -> str:
        return self.said["security"][0]["token"][0] if self.said["security"] else "open"

    def at(self, **names: str) -> str:
        """The path with its parameters."""
        return self.path.format_map(NAMES | names)

    def check(self, answer: httpx.Response) -> None:
        """The answer is of a status, a type and a form that the document knows."""
        where = f"{self.method} {answer.request.url}: {answer.status_code} {answer.text[:200]}"
        response = self.said["responses"].get(str(answer.status_code))
        assert response, where
        content = response.get("content")
        if content is None:
            assert not answer.content, where
            return
        kind = answer.headers["content-type"].partition(";")[0]
        assert kind in content, where
        if kind == "application/json":
            schema = content[kind]["schema"] | {"components": DOCUMENT["components"]}
            jsonschema_rs.validator_for(schema).validate(json.loads(answer.content))


OPERATIONS = [Operation(method, path, said) for path, methods in DOCUMENT["paths"].items() for method, said in methods.items()]
# What changes the server has a test of its own.
HARMLESS = [operation for operation in OPERATIONS if operation.right != "management" or operation.method == "get"]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    bundles.write_bundle(folder / "linear" / "1", name="linear")
    bundles.write_bundle(folder / "linear" / "2", name="linear", version="2")
    bundles.write_bundle(folder / "picture" / "7", name="picture", version="7", signature=PICTURE, contract=SEES)
    return folder


@pytest.fixture(scope="module")
def server(models: Path, third_party: None) -> Iterator[Server]:
    started = Server(models, versions=0, workers=1)
    started.wait_ready()
    yield started
    started.kill()


@pytest.fixture
def client(server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.urls[0], timeout=HANG_SECONDS) as opened:
        yield opened


def bodies(operation: Operation) -> list[dict[str, Any]]:
    """Requests that the operation takes, as arguments for httpx; the first has a JSON body where it takes one."""
    x = np.zeros((1, 12), np.float32)
    content, headers = binary_request({"x": x}, parameters={"binary_data_output": True})
    match operation.path.rpartition(":")[2].rpartition("/")[2], operation.said.get("tags"):
        case ["infer", _]:
            return [
                {"json": json_request({"x": x})},
                {"content": content, "headers": headers | {"content-type": "application/octet-stream"}},
            ]
        case ["predict", ["TensorFlow Serving"]]:
            return [{"json": {"instances": x.tolist()}}, {"json": {"inputs": x.tolist()}}]
        case ["classify" | "regress", _]:
            return [{"json": {"examples": [{"x": x[0].tolist()}]}}]
        case ["models", ["TorchServe"]] if operation.method == "post":
            return [{"params": {"url": "linear/2", "model_name": "again"}}]
        case ["invocations", _]:
            return [{"params": {"model_name": "linear"}, "json": {"data": x.tolist()}}]
        case _ if operation.right == "inference" and operation.method in ("post", "put"):
            return [
                {"json": {"data": x.tolist()}},
                {"json": x.tolist()},
                {"files": {"data": ("x.json", json.dumps(x.tolist()), "application/json")}},
            ]
    return [{}]


@pytest.mark.parametrize("operation", HARMLESS, ids=lambda operation: operation.id)
def test_every_operation_answers_as_documented(client: httpx.Client, operation: Operation) -> None:
    if "{label}" in operation.path:
        answer = client.request(operation.method, operation.at(), **bodies(operation)[0])
        assert answer.status_code == 404
        operation.check(answer)
        return
    for request in bodies(operation):
        answer = client.request(operation.method, operation.at(), **request)
        operation.check(answer)
        if operation.path.endswith(":regress"):
            assert answer.status_code == 400 and "one" in answer.text  # four values a sample are no regression
        else:
            assert answer.status_code == (501 if "explanations" in operation.path else 200), answer.text
    operation.check(client.request(operation.method, operation.at(model="unknown", version="0"), **request))
    if operation.said.get("requestBody"):
        for hostile in (b"", b"{", b"[]", b"null", b'{"inputs": 7}', b'{"instances": []}', b"\xff\xfe", b"[" * 1000):
            operation.check(client.request(operation.method, operation.at(), content=hostile, headers={"content-type": "application/json"}))


def test_images_are_answered_as_documented(client: httpx.Client, png: bytes) -> None:
    text = base64.b64encode(png).decode()
    for path, names, request in (
        ("/v2/models/{model}/infer", {"model": "picture"}, {"content": png, "headers": {"content-type": "image/png"}}),
        ("/predictions/{model}", {"model": "picture"}, {"content": png, "headers": {"content-type": "image/png"}}),
        ("/predictions/{model}", {"model": "picture"}, {"files": {"data": png}}),
        ("/v1/models/{model}:predict", {"model": "picture"}, {"json": {"instances": [{"b64": text}]}}),
    ):
        operation = Operation("post", path, DOCUMENT["paths"][path]["post"])
        answer = client.post(operation.at(**names), **request)
        assert answer.status_code == 200, answer.text
        operation.check(answer)


def test_management_answers_as_documented(serve: Serve, models: Path) -> None:
    calls: tuple[tuple[str, str, dict[str, Any], int], ...] = (
        ("post", "/v2/repository/index", {"json": {"ready": True}}, 200),
        ("post", "/v2/repository/{repository}/index", {}, 200),
        ("post", "/v2/repository/models/{model}/load", {"json": {"parameters": {"config": "{}"}}}, 400),
        ("post", "/v2/repository/models/{model}/load", {"json": {"parameters": {"version": "2"}}}, 200),
        ("post", "/models", {"params": {"url": "linear/1"}}, 409),
        ("post", "/models", {"params": {"url": "http://elsewhere/x.mar"}}, 400),
        ("put", "/models/{model}", {"params": {"min_worker": "x"}}, 400),
        ("put", "/models/{model}", {"params": {"min_worker": 100_000, "synchronous": "true"}}, 400),
        ("put", "/models/{model}", {"params": {"min_worker": 2, "synchronous": "true"}}, 200),
        ("put", "/models/{model}/{version}", {"params": {"min_worker": 1}}, 202),
        ("put", "/models/{model}/{version}/set-default", {}, 200),
        ("delete", "/models/{model}/{version}", {}, 403),
        ("delete", "/models/{model}", {}, 403),
        ("put", "/models/{model}/{version}/set-default", {"version": "2"}, 200),
        ("get", "/manage", {}, 200),
        ("post", "/manage", {"json": {"type": "SetLabels", "name": "linear", "labels": {"stable": "2"}}}, 200),
        ("post", "/manage", {"json": {"type": "SetCanary", "name": "linear", "version": "2", "share": 0.5}}, 200),
        ("post", "/manage", {"json": {"type": "SetCanary", "name": "linear", "version": "2", "share": 2}}, 400),
        ("post", "/manage", {"json": {"type": "SetCanary", "name": "linear"}}, 200),
        ("post", "/manage", {"json": {"type": "Load", "name": "unknown"}}, 404),
        ("post", "/manage", {"json": {"type": "Load", "name": "linear", "path": "/etc"}}, 403),
        ("post", "/manage", {"json": {"type": "Format", "name": "linear"}}, 400),
        ("delete", "/models/{model}/{version}", {"version": "1"}, 200),
        ("delete", "/models/{model}/{version}", {"version": "1"}, 404),
        ("post", "/v2/repository/models/{model}/unload", {}, 200),
        ("post", "/v2/repository/models/{model}/unload", {"model": "unknown"}, 200),
        ("post", "/v2/repository/models/{model}/load", {"model": "unknown"}, 404),
    )
    with serve(models, versions=0, workers=1).client() as client:
        for method, path, request, status in calls:
            operation = Operation(method, path, DOCUMENT["paths"][path][method])
            names = {name: request.pop(name) for name in ("model", "version") if name in request}
            answer = client.request(method, operation.at(**names), **request)
            operation.check(answer)
            assert answer.status_code == status, (method, path, answer.text)


def test_the_document_is_the_one_that_is_served_and_hangs_together(client: httpx.Client) -> None:
    assert client.get("/openapi.json").json() == json.loads(json.dumps(DOCUMENT))
    assert client.get("/openapi.json").headers["content-type"] == "application/json"
    assert len({operation.id for operation in OPERATIONS}) == len(OPERATIONS)
    named = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(DOCUMENT)))
    assert named <= DOCUMENT["components"]["schemas"].keys()
    for schema in DOCUMENT["components"]["schemas"].values():
        jsonschema_rs.meta.validate(schema | {"$schema": "https://json-schema.org/draft/2020-12/schema"})
    for operation in OPERATIONS:
        assert {one["name"] for one in operation.said["parameters"] if one["in"] == "path"} == set(re.findall(r"\{(\w+)\}", operation.path))


def test_each_route_needs_a_token_with_its_right(serve: Serve, models: Path, tmp_path: Path) -> None:
    file = tmp_path / "tokens.json"
    rights = {"inference", "management", "metrics"}
    file.write_text(json.dumps({"tokens": {f"no-{right}": {"token": f"no-{right}", "rights": [*(rights - {right})]} for right in rights}}))
    file.chmod(0o600)
    with serve(models, versions=0, workers=1, tokens=str(file)).client() as client:
        for operation in OPERATIONS:
            answer = client.request(operation.method, operation.at())
            operation.check(answer)
            if operation.right == "open":
                assert answer.status_code == 200
                continue
            assert answer.status_code == 401 and answer.headers["www-authenticate"] == "Bearer", operation.id
            lacking = client.request(operation.method, operation.at(), headers={"authorization": f"Bearer no-{operation.right}"})
            operation.check(lacking)
            assert lacking.status_code == 403, operation.id
        assert client.get("/v2/models/linear", headers={"authorization": "Bearer no-metrics"}).status_code == 200


def test_a_verb_that_is_not_in_the_document_is_refused(client: httpx.Client) -> None:
    for path, methods in DOCUMENT["paths"].items():
        for method in set(METHODS) - methods.keys():
            answer = client.request(method, path.format_map(NAMES))
            malformed = 400 if path.startswith("/v1/") else 405
            assert answer.status_code == malformed, (method, path, answer.status_code)
            assert malformed == 400 or method.upper() not in answer.headers["allow"].split(", ")

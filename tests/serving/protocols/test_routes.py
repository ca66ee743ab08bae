"""One table for each protocol: every route has a handler, a right, a summary, an answer in the document and a name for traces."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest

from roadworthy.core.errors import RequestError
from roadworthy.serving import protocols
from roadworthy.serving.observability.exposition import Exposition
from roadworthy.serving.protocols.messages import NoSuchPath, Reply, Request, WrongMethod, error_json
from roadworthy.serving.protocols.openapi import document as openapi_document
from roadworthy.serving.protocols.routes import HttpProtocol, HttpRoute, Router
from roadworthy.serving.protocols.schemas import COMMON_SCHEMAS, TEXT, Schema, json_body
from roadworthy.serving.transports.http.listeners import http_protocols


class NoModels:
    """A dataplane as far as routing needs one."""

    def serves(self, name: str) -> bool:
        return name == "linear"


PLANE: Any = NoModels()
PROTOCOLS = http_protocols(PLANE)
ROUTER = Router(PLANE, PROTOCOLS)
ROUTES = [(protocol, route) for protocol in PROTOCOLS for route in protocol.routes]
EVERY = pytest.mark.parametrize(("protocol", "route"), ROUTES, ids=[f"{route.method} {route.path}" for _, route in ROUTES])


class Planted:
    """A protocol whose table a test writes."""

    name, title, error_schema, ignores_case = "planted", "Planted", "Error", False

    def __init__(self, *routes: HttpRoute, schemas: dict[str, Schema] | None = None) -> None:
        self.routes, self.schemas = routes, schemas or {}

    def refuse(self, request: Request, problem: RequestError) -> Reply:
        return error_json(problem)


async def handle(request: Request) -> Reply:
    return Reply(200, b"")


def found(method: str, path: str, router: Router = ROUTER) -> Request:
    request = Request(method, path)
    router.find(request)
    return request


def undescribed(protocol: HttpProtocol, route: HttpRoute, document: dict[str, Any]) -> str:
    """What the OpenAPI document lacks of a route; empty where it has all."""
    operation = document["paths"].get(route.path, {}).get(route.method.lower())
    if operation is None:
        return "no operation"
    if operation["security"] != ([] if route.right == "open" else [{"token": [route.right]}]):
        return "another right"
    if "200" not in operation["responses"] or not operation["summary"]:
        return "no answer or summary"
    named = {name for body in (route.answer, route.body or {}, *route.also.values()) for name in re.findall(r"schemas/(\w+)", str(body))}
    return " ".join(sorted(named - {*protocol.schemas, *COMMON_SCHEMAS}))


@EVERY
def test_every_route_is_found_described_guarded_and_named(protocol: HttpProtocol, route: HttpRoute) -> None:
    names = {name: f"{name}-7" for name in route.placeholders}
    request = found(route.method, route.path.format_map(names))
    assert (request.protocol, request.template, request.parameters) == (protocol, route.path, names)
    assert (request.handle, request.right) == (route.handle, route.right)
    assert request.protocol_name == protocol.name
    assert undescribed(protocol, route, openapi_document.document(PROTOCOLS)) == ""
    if route.method == "GET":
        assert found("HEAD", route.path.format_map(names)).handle == route.handle


def test_all_routes_of_a_path_have_one_right_and_no_two_protocols_share_one() -> None:
    rights: dict[str, set[str]] = {}
    for _, route in ROUTES:
        rights.setdefault(route.path, set()).add(route.right)
    assert all(len(each) == 1 for each in rights.values())
    assert len({(route.method, route.path) for _, route in ROUTES}) == len(ROUTES)
    assert len({protocol.name for protocol in PROTOCOLS}) == len(PROTOCOLS)


def test_a_schema_that_two_protocols_name_is_the_same() -> None:
    seen: dict[str, Any] = {}
    for protocol in PROTOCOLS:
        for name, schema in protocol.schemas.items():
            assert seen.setdefault(name, schema) == schema, name


@pytest.mark.parametrize(
    "columns",
    [
        ("GET", "/planted", handle),
        ("GET", "/planted", handle, "inference"),
        ("GET", "/planted", handle, "inference", "A summary."),
    ],
)
def test_a_route_without_right_summary_or_answer_cannot_be_made(columns: tuple[Any, ...]) -> None:
    with pytest.raises(TypeError, match="missing"):
        HttpRoute(*columns)


@pytest.mark.parametrize(
    ("method", "path", "right", "summary"),
    [("get", "/a", "open", "A."), ("GET", "a", "open", "A."), ("GET", "/a", "everything", "A."), ("GET", "/a", "open", "")],
)
def test_nor_one_with_a_column_that_says_nothing(method: str, path: str, right: Any, summary: str) -> None:
    with pytest.raises(ValueError, match="a route has a method in capitals"):
        HttpRoute(method, path, handle, right, summary, {})


def test_a_planted_route_whose_answer_nothing_describes_is_seen() -> None:
    route = HttpRoute("GET", "/planted", handle, "open", "Planted.", json_body("Nowhere"))
    assert undescribed(Planted(route), route, openapi_document.document((Planted(route),))) == "Nowhere"
    described = Planted(route, schemas={"Nowhere": TEXT})
    assert undescribed(described, route, openapi_document.document((described,))) == ""
    assert undescribed(described, route, openapi_document.document(PROTOCOLS)) == "no operation"


@pytest.mark.parametrize(
    ("path", "template"),
    [
        ("/v2/models/stats", "/v2/models/stats"),
        ("/v2/models/stats/infer", "/v2/models/{model}/infer"),
        ("/v2/models/infer/infer", "/v2/models/{model}/infer"),
        ("/v2/repository/models/index", "/v2/repository/{repository}/index"),
        ("/V1/MODELS/a/versions/3:Predict", "/v1/models/{model}/versions/{version}:predict"),
        ("/models/a/1/set-default", "/models/{model}/{version}/set-default"),
        ("/models/a/invoke", "/models/{model}/invoke"),
        ("/predictions/predict", "/predictions/{model}"),
        ("/models/predict", "/models/{model}"),
        ("/a/b/predict", "/{model}/{version}/predict"),
        ("/", "/"),
    ],
)
def test_a_literal_wins_over_a_placeholder(path: str, template: str) -> None:
    request = Request("PATCH", path)
    with pytest.raises(WrongMethod):
        ROUTER.find(request)
    assert (request.template, request.handle) == (template, None)


@pytest.mark.parametrize(
    ("path", "protocol"),
    [
        ("/v2/models/a/b/c/d", "oip"), ("/v2/predict", "oip"), ("/v2/models//infer", "oip"), ("/v1", "tfserving"), ("/V1/x", "tfserving"),
        ("/v1/models/a:b:predict", "tfserving"), ("/ping/x", "torchserve"), ("/page/predict", "page"), ("/metrics/predict", "metrics"),
        ("/elsewhere", "http"), ("//predict", "http"), ("//", "http"), ("", "http"), ("*", "http"), ("/METRICS", "http"), ("/V2", "http"),
    ],
)  # fmt: skip
def test_a_path_that_no_route_has_is_refused_by_the_protocol_of_its_first_word(path: str, protocol: str) -> None:
    request = Request("POST", path)
    with pytest.raises(NoSuchPath):
        ROUTER.find(request)
    assert (request.protocol_name, request.template, request.right) == (protocol, "", None)


def test_a_request_bears_the_name_of_a_model_only_where_that_is_served() -> None:
    assert found("GET", "/v2/models/linear").model == "linear"
    assert found("GET", "/v2/models/made-up").model == ""


PLANTED = """
from roadworthy.serving.protocols.messages import Reply, error_json
from roadworthy.serving.protocols.routes import HttpRoute
from roadworthy.serving.protocols.schemas import PLAIN, TEXT


class Greeting:
    name, title, schemas, error_schema, ignores_case = "greeting", "Greeting", {}, "Error", False

    def __init__(self):
        self.routes = (HttpRoute("GET", "/hello/{name}", self.hello, "inference", "A greeting.", {PLAIN: TEXT}),)

    async def hello(self, request):
        return Reply(200, request.parameters["name"].encode())

    def refuse(self, request, problem):
        return error_json(problem)


def http_protocol(plane, grpc_port):
    return Greeting()
"""


def test_one_file_is_a_protocol(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is found, answers, asks for its right and is in the document, and no other file knows of it."""
    (tmp_path / "greeting").mkdir()
    (tmp_path / "greeting" / "__init__.py").write_text("")
    (tmp_path / "greeting" / "http.py").write_text(PLANTED)
    monkeypatch.setattr(protocols, "__path__", [*protocols.__path__, str(tmp_path)])
    found_protocols = http_protocols(PLANE)
    reply = asyncio.run(Router(PLANE, found_protocols).handle(Request("GET", "/hello/world")))
    assert (reply.status, reply.body) == (200, b"world")
    operation = openapi_document.document(found_protocols)["paths"]["/hello/{name}"]["get"]
    assert (operation["tags"], operation["security"]) == (["Greeting"], [{"token": ["inference"]}])
    assert {protocol.name for protocol in found_protocols} == {protocol.name for protocol in PROTOCOLS} | {"greeting"}


def test_a_table_beside_the_others_changes_none_of_them() -> None:
    route = HttpRoute("GET", "/hello/{name}", handle, "inference", "A greeting.", {"text/plain": TEXT})
    planted = Planted(route)
    router = Router(PLANE, (*PROTOCOLS, planted))
    assert found("GET", "/hello/world", router).parameters == {"name": "world"}
    assert found("GET", "/metrics", router).protocol_name == Exposition(PLANE).name
    with pytest.raises(WrongMethod) as refused:
        found("DELETE", "/hello/world", router)
    assert refused.value.allow == "GET, HEAD"

"""The whole HTTP interface as one OpenAPI 3.1 document at ``/openapi.json``, made of the protocols' route tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from roadworthy.core.errors import RequestError
from roadworthy.core.version import __version__
from roadworthy.serving.protocols.messages import Reply, Request, error_json
from roadworthy.serving.protocols.routes import HttpProtocol, HttpRoute
from roadworthy.serving.protocols.schemas import COMMON_SCHEMAS, OBJECT, Body, Schema, json_body

PATH = "/openapi.json"

ERRORS = {
    400: "The request does not fit the protocol or the model.",
    401: "No token, or one that this server does not know.",
    403: "The token lacks the right, the command is not allowed, or the request comes from a web page of another origin.",
    404: "The model, version or path does not exist.",
    408: "The request did not arrive in time.",
    409: "The server's state does not allow it.",
    413: "The body or an image is above its limit.",
    415: "The body is in a form that this server does not read.",
    421: "The Host header has a name that is not allowed.",
    500: "The model failed on inputs that fit its signature.",
    501: "The protocol has this, and this server does not offer it.",
    503: "Not ready, or too busy; Retry-After says when to try again.",
    504: "The time limit of the client or the server was over before there was an answer.",
}
ALWAYS = (400, 401, 403, 421)
"""The refusals that any request may get."""
WITH_BODY = (408, 413, 415)
"""Those that any request with a body may get."""


def document(protocols: Sequence[HttpProtocol]) -> dict[str, Any]:
    """The whole document of all routes of ``protocols``, in their order."""
    paths: dict[str, dict[str, Any]] = {}
    schemas: dict[str, Schema] = dict(COMMON_SCHEMAS)
    for protocol in protocols:
        schemas |= protocol.schemas
        for route in protocol.routes:
            paths.setdefault(route.path, {})[route.method.lower()] = _operation(protocol, route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Roadworthy",
            "version": __version__,
            "summary": "Models behind the Open Inference Protocol, TensorFlow Serving's and TorchServe's.",
            "description": "A server that has tokens asks for one. A right that has a port of its own is answered at that port only.",
        },
        "paths": paths,
        "components": {"schemas": schemas, "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
    }


def _operation(protocol: HttpProtocol, route: HttpRoute) -> dict[str, Any]:
    codes = {*ALWAYS, *route.errors, *(WITH_BODY if route.body else ())} - {*route.also}
    if route.right == "open":
        codes -= {401, 403}
    responses: dict[str, Any] = {"200": _response("The answer.", route.answer)}
    for code, body in route.also.items():
        responses[str(code)] = _response(ERRORS.get(code, "Accepted; the work goes on in the background."), body)
    for code in codes:
        responses[str(code)] = _response(ERRORS[code], json_body(protocol.error_schema))
    operation: dict[str, Any] = {
        "tags": [protocol.title],
        "operationId": _identity(route),
        "summary": route.summary,
        "parameters": [
            *(_parameter(name, "path") for name in route.placeholders),
            *(_parameter(name, "query") for name in route.query),
        ],
        "responses": dict(sorted(responses.items())),
        "security": [] if route.right == "open" else [{"token": [route.right]}],
    }
    if route.body:
        operation["requestBody"] = {"required": route.needs_body, "content": _content(route.body)}
    return operation


def _identity(route: HttpRoute) -> str:
    words = route.path.replace("{", "").replace("}", "").replace(":", "/").replace(".", "/").replace("-", "/").split("/")
    return "_".join([route.method.lower(), *filter(None, words), *(["root"] if route.path.endswith("/") else [])])


def _response(description: str, body: Body) -> dict[str, Any]:
    return {"description": description, "content": _content(body)} if body else {"description": description}


def _content(body: Body) -> dict[str, Any]:
    return {kind: {"schema": schema} for kind, schema in body.items()}


def _parameter(name: str, where: str) -> dict[str, Any]:
    return {"name": name, "in": where, "required": where == "path", "schema": {"type": "string", "minLength": 1}}


class OpenApi:
    """The document of ``protocols`` and of itself, made once."""

    name, title = "openapi", "Roadworthy"
    schemas, error_schema = {"OpenApiDocument": OBJECT | {"required": ["openapi", "info", "paths"]}}, "Error"
    ignores_case = False

    def __init__(self, protocols: Sequence[HttpProtocol]) -> None:
        self.routes = (HttpRoute("GET", PATH, self.read, "open", "This document.", json_body("OpenApiDocument")),)
        self._body = orjson.dumps(document((*protocols, self)))

    def refuse(self, request: Request, problem: RequestError) -> Reply:
        """``{"error": sentence}`` with the status of ``problem``."""
        return error_json(problem)

    async def read(self, request: Request) -> Reply:
        """The document."""
        return Reply(200, self._body)

"""The whole HTTP side as one OpenAPI 3.1 document at ``/openapi.json``: a table of routes, and the forms of their bodies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import orjson

from roadworthy.core.errors import RequestError
from roadworthy.serving.protocols import Call, NoSuchPath, Reply, Right, WrongVerb, hints
from roadworthy.serving.protocols.openapi.schemas import SCHEMAS, Schema, ref
from roadworthy.serving.protocols.web_ui.status import Status
from roadworthy.serving.registry.catalogue import Catalogue
from roadworthy.serving.registry.commands import AnyCommand

PATH = "/openapi.json"
JSON, BINARY, TEXT = "application/json", "application/octet-stream", "text/plain"

ERRORS = {
    400: "The request does not fit the protocol or the model.",
    401: "No token, or one that is not known here.",
    403: "The token does not have the right, what is asked for is not allowed, or a web page of another origin asks.",
    404: "There is no such model, version or path.",
    408: "The request did not arrive in time.",
    409: "The server's state does not allow it.",
    413: "The body or an image is above its limit.",
    415: "The body is in a form that is not read here.",
    421: "The server does not answer to the name in the Host header.",
    500: "The model failed on inputs that fit its signature.",
    501: "Not offered by this server.",
    503: "Not ready, or too busy; Retry-After says when to ask again.",
    504: "The client's or the server's time ran out before there was an answer.",
}
ALWAYS = (400, 401, 403, 421)
SENT = (408, 413, 415)
INFER = (404, 500, 503, 504)
FIND = (404, 503)
MANAGE = (404, 409, 500, 503, 504)

OIP, TFS, TS, OURS = "Open Inference Protocol", "TensorFlow Serving", "TorchServe", "Roadworthy"
FORMS = {OIP: "Error", TFS: "Error", TS: "TorchServeError", OURS: "Error"}
"""How each family says what is wrong."""

Body = Mapping[str, Schema]
"""Schemas by content type."""


@dataclass(frozen=True)
class Route:
    """One operation. ``answer`` is of 200; ``also`` holds other statuses of its own with their bodies, ``errors`` beside ``ALWAYS``."""

    family: str
    right: Right
    method: str
    path: str
    summary: str
    answer: Body
    body: Body | None = None
    errors: tuple[int, ...] = ()
    also: Mapping[int, Body] | None = None
    query: tuple[str, ...] = ()
    needs_body: bool = True


def _json(name: str) -> Body:
    return {JSON: ref(name)}


ANY: Schema = {}
FILE: Schema = {"type": "string", "contentMediaType": BINARY}
NOTHING: Body = {}
INFER_BODY: Body = {JSON: ref("InferRequest"), BINARY: FILE, "image/*": FILE}
INFER_ANSWER: Body = {JSON: ref("InferAnswer"), BINARY: FILE}
TORCHSERVE_BODY: Body = {JSON: ANY, BINARY: FILE, "image/*": FILE, "multipart/form-data": ref("TorchServeForm")}


def routes() -> Iterator[Route]:
    """Every operation, in the order of the document."""
    yield from _open_inference()
    yield from _tensorflow_serving()
    yield from _torchserve()
    yield Route(OURS, "management", "get", "/manage", "Every model, its versions and their states.", _json("Catalogue"))
    yield Route(
        OURS, "management", "post", "/manage", "One command; the catalogue once it is carried out.", _json("Catalogue"),
        body=_json("Command"), errors=MANAGE,
    )  # fmt: skip
    for path in ("/metrics", "/monitoring/prometheus/metrics"):
        yield Route(
            OURS, "metrics", "get", path, "What the server counts, as Prometheus reads it.", {TEXT: {"type": "string"}}, errors=(503,)
        )
    yield Route(OURS, "open", "get", "/", "The page for a person.", {"text/html": {"type": "string"}})
    yield Route(OURS, "open", "options", "/", "The interface in TorchServe's own words.", _json("Description"))
    yield Route(OURS, "inference", "get", "/page/status", "Models, figures and workers at this moment.", _json("Status"), errors=(503,))
    yield Route(OURS, "open", "get", PATH, "This document.", _json("Description"))


def _open_inference() -> Iterator[Route]:
    def route(right: Right, method: str, path: str, summary: str, answer: Body, **more: Any) -> Route:
        return Route(OIP, right, method, f"/v2{path}", summary, answer, **more)

    yield route("inference", "get", "", "The server's name, version and extensions.", _json("ServerMetadata"))
    yield route("open", "get", "/health/live", "Whether the server is there.", _json("Live"))
    yield route("open", "get", "/health/ready", "Whether it answers.", _json("Ready"), also={503: _json("Ready")})
    for path in ("/models/{model}", "/models/{model}/versions/{version}"):
        yield route("inference", "get", path, "Inputs and outputs.", _json("ModelMetadata"), errors=FIND)
        yield route(
            "inference", "get", f"{path}/ready", "Whether the model answers.", _json("ModelReady"),
            errors=(404,), also={503: {JSON: {"anyOf": [ref("ModelReady"), ref("Error")]}}},
        )  # fmt: skip
        yield route("inference", "get", f"{path}/config", "Triton's model configuration.", _json("ModelConfig"), errors=FIND)
        yield route("inference", "get", f"{path}/stats", "Triton's statistics of the model.", _json("Statistics"), errors=FIND)
        yield route(
            "inference", "post", f"{path}/infer", "An inference: JSON, the binary tensor extension, or an image.", INFER_ANSWER,
            body=INFER_BODY, errors=INFER,
        )  # fmt: skip
    yield route("inference", "get", "/models/stats", "Triton's statistics of every model.", _json("Statistics"), errors=(503,))
    for path in ("/repository/index", "/repository/{repository}/index"):
        yield route(
            "management", "post", path, "Models, versions and their states.", _json("RepositoryIndex"),
            body=_json("IndexRequest"), needs_body=False, errors=(404,),
        )  # fmt: skip
    for verb in ("load", "unload"):
        yield route(
            "management", "post", f"/repository/models/{{model}}/{verb}", f"{verb.capitalize()} the model.", NOTHING,
            body=_json("RepositoryRequest"), needs_body=False, errors=MANAGE,
        )  # fmt: skip


def _tensorflow_serving() -> Iterator[Route]:
    for path in ("", "/versions/{version}", "/labels/{label}"):
        model = f"/v1/models/{{model}}{path}"
        yield Route(TFS, "inference", "get", model, "The states of the versions.", _json("VersionStates"), errors=FIND)
        yield Route(TFS, "inference", "get", f"{model}/metadata", "The signature.", _json("SignatureDef"), errors=FIND)
        for verb, body, answer in (
            ("predict", "PredictRequest", "PredictAnswer"),
            ("classify", "ExampleRequest", "Results"),
            ("regress", "ExampleRequest", "Results"),
        ):
            summary = "A prediction by rows (instances) or columns (inputs)." if verb == "predict" else f"{verb.capitalize()} examples."
            yield Route(TFS, "inference", "post", f"{model}:{verb}", summary, _json(answer), body=_json(body), errors=INFER)


def _torchserve() -> Iterator[Route]:
    yield Route(TS, "open", "get", "/ping", "Whether the server is healthy.", _json("Health"), also={503: _json("Health")})
    for method in ("get", "options"):
        yield Route(TS, "open", method, "/api-description", "The interface in TorchServe's own words.", _json("Description"))
    answer: Body = {JSON: ANY}
    for path in (
        "/predictions/{model}", "/predictions/{model}/{version}", "/models/{model}/invoke",
        "/{model}/predict", "/{model}/{version}/predict", "/invocations",
    ):  # fmt: skip
        for method in ("post", "put"):
            query = ("model_name",) if path == "/invocations" else ()
            yield Route(
                TS, "inference", method, path, "A prediction.", answer, body=TORCHSERVE_BODY, needs_body=False, errors=INFER, query=query
            )
    for path in ("/explanations/{model}", "/explanations/{model}/{version}"):
        for method in ("post", "put"):
            yield Route(TS, "inference", method, path, "Not offered.", answer, body=TORCHSERVE_BODY, needs_body=False, errors=(404, 501))
    yield Route(TS, "management", "get", "/models", "The models.", _json("ModelList"), errors=(503,), query=("limit", "next_page_token"))
    yield Route(
        TS, "management", "post", "/models", "Load a bundle from the directories that are served.", _json("Done"),
        body=_json("Registration"), needs_body=False, errors=MANAGE, also={202: _json("Done")},
        query=("url", "model_name", "initial_workers", "synchronous"),
    )  # fmt: skip
    for path in ("/models/{model}", "/models/{model}/{version}"):
        yield Route(TS, "management", "get", path, "What is known of the model.", _json("Descriptions"), errors=FIND)
        yield Route(
            TS, "management", "put", path, "How many workers there are.", _json("Done"), errors=MANAGE, also={202: _json("Done")},
            query=("min_worker", "max_worker", "synchronous"),
        )  # fmt: skip
        yield Route(TS, "management", "delete", path, "Give it up.", _json("Done"), errors=MANAGE)
    yield Route(TS, "management", "put", "/models/{model}/{version}/set-default", "Make it the default.", _json("Done"), errors=MANAGE)


def document(version: str) -> dict[str, Any]:
    """The whole document; ``version`` is this server's."""
    paths: dict[str, dict[str, Any]] = {}
    for route in routes():
        paths.setdefault(route.path, {})[route.method] = _operation(route)
    (_, _, command), shown = msgspec.json.schema_components([Status, Catalogue, AnyCommand], ref_template="#/components/schemas/{name}")
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Roadworthy",
            "version": version,
            "summary": "Models behind the Open Inference Protocol, TensorFlow Serving's and TorchServe's.",
            "description": "Tokens are asked for where the server has some; what has a port of its own is answered there alone.",
        },
        "paths": paths,
        "components": {
            "schemas": SCHEMAS | shown | {"Command": command},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(route: Route) -> dict[str, Any]:
    codes = {*ALWAYS, *route.errors, *(SENT if route.body else ())} - {*(route.also or ())}
    if route.right == "open":
        codes -= {401, 403}
    responses: dict[str, Any] = {"200": _response("The answer.", route.answer)}
    for code, body in (route.also or {}).items():
        responses[str(code)] = _response(ERRORS.get(code, "Accepted; it goes on in the background."), body)
    for code in codes:
        responses[str(code)] = _response(ERRORS[code], _json(FORMS[route.family]))
    operation: dict[str, Any] = {
        "tags": [route.family],
        "operationId": _identity(route),
        "summary": route.summary,
        "parameters": [
            *(_parameter(name, "path") for name in ("model", "version", "label", "repository") if f"{{{name}}}" in route.path),
            *(_parameter(name, "query") for name in route.query),
        ],
        "responses": dict(sorted(responses.items())),
        "security": [] if route.right == "open" else [{"token": [route.right]}],
    }
    if route.body:
        operation["requestBody"] = {"required": route.needs_body, "content": _content(route.body)}
    return operation


def _identity(route: Route) -> str:
    words = route.path.replace("{", "").replace("}", "").replace(":", "/").replace(".", "/").replace("-", "/").split("/")
    return "_".join([route.method, *filter(None, words)])


def _response(description: str, body: Body) -> dict[str, Any]:
    return {"description": description, "content": _content(body)} if body else {"description": description}


def _content(body: Body) -> dict[str, Any]:
    return {kind: {"schema": schema} for kind, schema in body.items()}


def _parameter(name: str, where: str) -> dict[str, Any]:
    return {"name": name, "in": where, "required": where == "path", "schema": {"type": "string", "minLength": 1}}


class OpenApi:
    """The document, made once."""

    name = "openapi"

    def __init__(self, version: str) -> None:
        self._body = orjson.dumps(document(version))

    def owns(self, path: str) -> bool:
        """Whether the path is the document's."""
        return path == PATH

    def right(self, method: str, path: str) -> Right:
        """It holds nothing of this server's models."""
        return "open"

    async def handle(self, call: Call) -> Reply:
        """The document."""
        if call.path != PATH:
            return self.refuse(NoSuchPath("Not Found"))
        if call.method not in ("GET", "HEAD"):
            return self.refuse(WrongVerb("Method Not Allowed", allow="GET, HEAD"))
        return Reply(200, self._body)

    def refuse(self, problem: RequestError) -> Reply:
        """``{"error": sentence}`` with the status of ``problem``."""
        return Reply(problem.status, orjson.dumps({"error": problem.message}), headers=hints(problem))

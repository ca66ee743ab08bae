"""TorchServe's inference and management over HTTP.

``/predictions/M[/V]`` and its older names take what TorchServe's handlers take (see ``_torchserve_request``) and answer what they
answer (see ``_torchserve_inference``); management is of the bundles in the directories that the server was started with (see
``_torchserve_management``). Explanations are not offered. A client's fault is 400, where TorchServe says 503 or 500 of some;
a model that fails is 503, as there.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl

import orjson

from roadworthy.core.errors import (
    Conflict,
    DeadlineExceeded,
    Forbidden,
    InvalidRequest,
    RequestError,
    Unauthenticated,
    Unavailable,
    UnknownModel,
)
from roadworthy.core.version import __version__
from roadworthy.serving.engine.dataplane import DataPlane
from roadworthy.serving.protocols.json_parsing import parsed
from roadworthy.serving.protocols.messages import ModelFailed, NoSuchPath, NotOffered, Reply, Request, ServerFault, TooSlow, WrongMethod
from roadworthy.serving.protocols.routes import HttpRoute
from roadworthy.serving.protocols.schemas import ANY, BINARY, FILE, JSON, Body, json_body, ref
from roadworthy.serving.protocols.torchserve.api_description import description
from roadworthy.serving.protocols.torchserve.forms import fields_of
from roadworthy.serving.protocols.torchserve.inference import predict
from roadworthy.serving.protocols.torchserve.management import CommandResult, DefaultVersion, Parameters, TorchServeManagement
from roadworthy.serving.protocols.torchserve.schemas import SCHEMAS

TYPES: tuple[tuple[type[RequestError], str], ...] = (
    (UnknownModel, "ModelNotFoundException"),
    (NoSuchPath, "ResourceNotFoundException"),
    (WrongMethod, "MethodNotAllowedException"),
    (DefaultVersion, "InvalidModelVersionException"),
    (Conflict, "ConflictStatusException"),
    (TooSlow, "RequestTimeoutException"),
    (DeadlineExceeded, "RequestTimeoutException"),
    (Unauthenticated, "InvalidKeyException"),
    (Forbidden, "InvalidKeyException"),
    (Unavailable, "ServiceUnavailableException"),
    (NotOffered, "UnsupportedOperationException"),
    (ModelFailed, "InternalServerException"),
    (ServerFault, "InternalServerException"),
)
"""TorchServe's classes of errors by ours; any other is a BadRequestException."""

FIND = (404, 503)
"""The statuses of a route that looks for a model."""
INFER = (404, 500, 503, 504)
MANAGE = (404, 409, 500, 503, 504)
REQUEST: Body = {JSON: ANY, BINARY: FILE, "image/*": FILE, "multipart/form-data": ref("TorchServeForm")}
ANSWER: Body = {JSON: ANY}
DONE = json_body("Done")


class TorchServe:
    """The protocol over one dataplane."""

    name, title = "torchserve", "TorchServe"
    schemas, error_schema = SCHEMAS, "TorchServeError"
    ignores_case = False

    def __init__(self, plane: DataPlane) -> None:
        self._plane = plane
        self._management = TorchServeManagement(plane)
        self.routes = (*self._server_routes(), *self._inference_routes(), *self._management_routes())

    def _server_routes(self) -> Iterator[HttpRoute]:
        yield HttpRoute(
            "GET", "/ping", self.ping, "open", "Whether the server is healthy.", json_body("Health"),
            also={503: json_body("Health")}, operation="ping",
        )  # fmt: skip
        for method, path, operation in (
            ("OPTIONS", "/", "apiDescription"), ("GET", "/api-description", ""), ("OPTIONS", "/api-description", ""),
        ):  # fmt: skip
            yield HttpRoute(
                method, path, self.describe_interface, "open", "TorchServe's description of the interface.", json_body("Description"),
                operation=operation,
            )  # fmt: skip

    def _inference_routes(self) -> Iterator[HttpRoute]:
        for path, operation in (
            ("/predictions/{model}", "predictions"), ("/predictions/{model}/{version}", "version_predictions"),
            ("/models/{model}/invoke", "invoke"), ("/{model}/predict", ""), ("/{model}/{version}/predict", ""),
        ):  # fmt: skip
            for method in ("POST", "PUT"):
                yield HttpRoute(
                    method, path, self.predict, "inference", "A prediction.", ANSWER, body=REQUEST, needs_body=False, errors=INFER,
                    operation=operation if method == "POST" else "",
                )  # fmt: skip
        for method in ("POST", "PUT"):
            yield HttpRoute(
                method, "/invocations", self.invoke, "inference", "A prediction by the only model, or by the one that is named.", ANSWER,
                body=REQUEST, needs_body=False, errors=INFER, query=("model_name",), operation="invocations" if method == "POST" else "",
            )  # fmt: skip
        for path in ("/explanations/{model}", "/explanations/{model}/{version}"):
            for method in ("POST", "PUT"):
                yield HttpRoute(
                    method, path, self.explain, "inference", "Not offered.", ANSWER, body=REQUEST, needs_body=False, errors=(404, 501)
                )

    def _management_routes(self) -> Iterator[HttpRoute]:
        yield HttpRoute(
            "GET", "/models", self.models, "management", "The models.", json_body("ModelList"), errors=(503,),
            query=("limit", "next_page_token"), operation="listModels",
        )  # fmt: skip
        yield HttpRoute(
            "POST", "/models", self.register, "management", "Load a bundle from the directories that are served.", DONE,
            body=json_body("Registration"), needs_body=False, errors=MANAGE, also={202: DONE},
            query=("url", "model_name", "initial_workers", "synchronous"), operation="registerModel",
        )  # fmt: skip
        for path, prefix in (("/models/{model}", ""), ("/models/{model}/{version}", "version_")):
            yield HttpRoute(
                "GET", path, self.describe, "management", "What is known of the model.", json_body("Descriptions"), errors=FIND,
                operation=f"{prefix}describeModel",
            )  # fmt: skip
            yield HttpRoute(
                "PUT", path, self.scale, "management", "How many workers there are.", DONE, errors=MANAGE, also={202: DONE},
                query=("min_worker", "max_worker", "synchronous"), operation=f"{prefix}setAutoScale",
            )  # fmt: skip
            yield HttpRoute(
                "DELETE", path, self.unregister, "management", "Unload it.", DONE, errors=MANAGE, operation=f"{prefix}unregisterModel"
            )
        yield HttpRoute(
            "PUT", "/models/{model}/{version}/set-default", self.set_default, "management", "Make it the default version.", DONE,
            errors=MANAGE, operation="setDefault",
        )  # fmt: skip

    def refuse(self, request: Request, problem: RequestError) -> Reply:
        """``{"code", "type", "message"}`` with the status of ``problem``; of a model that failed 503, as TorchServe has it."""
        kind = next((name for error, name in TYPES if isinstance(problem, error)), "BadRequestException")
        if request.model and isinstance(problem, UnknownModel):
            kind = "ModelVersionNotFoundException"
        status = 503 if isinstance(problem, ModelFailed) else problem.status
        message = "there is nothing at this path; OPTIONS / lists the paths" if isinstance(problem, NoSuchPath) else problem.message
        return _pretty({"code": status, "type": kind, "message": message}, status)

    async def ping(self, request: Request) -> Reply:
        """Whether the bundles were opened and the server is not shutting down."""
        healthy = self._plane.opened and not self._plane.draining
        return _pretty({"status": "Healthy" if healthy else "Unhealthy"}, 200 if healthy else 503)

    async def describe_interface(self, request: Request) -> Reply:
        """TorchServe's description of the interface."""
        return _pretty(description(__version__, self.routes))

    async def predict(self, request: Request) -> Reply:
        """A prediction by the version that the path names, or the default one."""
        return await self._predict(request, request.parameters["model"])

    async def invoke(self, request: Request) -> Reply:
        """A prediction by the model that the query names, or by the only one."""
        name = _query(request).get("model_name") or self._only_model()
        if self._plane.serves(name):
            request.model = name
        return await self._predict(request, name)

    async def explain(self, request: Request) -> Reply:
        """Not offered."""
        raise NotOffered("a bundle holds a model and no code that could explain its answers")

    async def models(self, request: Request) -> Reply:
        """A page of the list of models."""
        return _pretty(self._management.models(_query(request)))

    async def register(self, request: Request) -> Reply:
        """Load a bundle."""
        return _told(await self._management.register(_registration(request)))

    async def describe(self, request: Request) -> Reply:
        """The default version, another one, or all."""
        return _pretty(await self._management.describe(*_model_of(request)))

    async def scale(self, request: Request) -> Reply:
        """Change how many workers there are."""
        return _told(await self._management.scale(*_model_of(request), _query(request)))

    async def unregister(self, request: Request) -> Reply:
        """Unload a version."""
        return _told(await self._management.unregister(*_model_of(request)))

    async def set_default(self, request: Request) -> Reply:
        """Make a version the default."""
        return _told(await self._management.set_default(request.parameters["model"], request.parameters["version"]))

    async def _predict(self, request: Request, name: str) -> Reply:
        fields = fields_of(request.body, request.headers.get(b"content-type", b""))
        return Reply(200, await predict(self._plane, name, request.parameters.get("version"), fields))

    def _only_model(self) -> str:
        """The name of the one model that serves; empty while the bundles are being opened."""
        served = [served.name for served in self._plane.catalogue.models if served.ready]
        if len(served) != 1 and self._plane.opened:
            raise InvalidRequest(f"the parameter model_name is required; served: {', '.join(served) or 'nothing'}")
        return served[0] if served else ""


def _model_of(request: Request) -> tuple[str, str | None]:
    return request.parameters["model"], request.parameters.get("version")


def _query(request: Request) -> dict[str, str]:
    try:
        return dict(parse_qsl(request.query, keep_blank_values=True, max_num_fields=64))
    except ValueError:
        raise InvalidRequest("the query has more than 64 parameters") from None


def _registration(request: Request) -> Parameters:
    """The parameters of a registration, which may also come as a JSON object."""
    if not request.headers.get(b"content-type", b"").startswith(b"application/json") or not request.body.strip():
        return _query(request)
    sent = parsed(request.body, 2)
    if not isinstance(sent, dict) or any(isinstance(value, (dict, list)) for value in sent.values()):
        raise InvalidRequest("the body should be a JSON object of texts, numbers and booleans")
    texts = {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in sent.items() if value is not None}
    return _query(request) | texts


def _told(result: CommandResult) -> Reply:
    return _pretty({"status": result.sentence}, result.code)


def _pretty(value: Any, status: int = 200) -> Reply:
    return Reply(status, orjson.dumps(value, option=orjson.OPT_INDENT_2))


def http_protocol(plane: DataPlane, grpc_port: int | None) -> TorchServe:
    """The protocol over ``plane``; see ``protocols.discovery``."""
    return TorchServe(plane)

"""TorchServe's inference and management over HTTP.

``/predictions/M[/V]`` and its older names take what TorchServe's handlers take (see ``_torchserve_request``) and answer what they
answer (see ``_torchserve_inference``); management is of the bundles in the directories that the server was started with (see
``_torchserve_management``). Explanations are not offered. A client's fault is 400, where TorchServe says 503 or 500 of some;
a model that fails is 503, as there.
"""

from __future__ import annotations

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
from roadworthy.serving.engine.dataplane import DataPlane, InferenceFailed
from roadworthy.serving.protocols import Call, NoSuchPath, NotOffered, Reply, Right, TooSlow, WrongVerb, hints
from roadworthy.serving.protocols.json_parsing import parsed
from roadworthy.serving.protocols.torchserve.api_description import description
from roadworthy.serving.protocols.torchserve.forms import fields_of
from roadworthy.serving.protocols.torchserve.inference import predict
from roadworthy.serving.protocols.torchserve.management import DefaultVersion, Management, Parameters, Status

TYPES: tuple[tuple[type[RequestError], str], ...] = (
    (UnknownModel, "ModelNotFoundException"),
    (NoSuchPath, "ResourceNotFoundException"),
    (WrongVerb, "MethodNotAllowedException"),
    (DefaultVersion, "InvalidModelVersionException"),
    (Conflict, "ConflictStatusException"),
    (TooSlow, "RequestTimeoutException"),
    (DeadlineExceeded, "RequestTimeoutException"),
    (Unauthenticated, "InvalidKeyException"),
    (Forbidden, "InvalidKeyException"),
    (Unavailable, "ServiceUnavailableException"),
    (NotOffered, "UnsupportedOperationException"),
)
"""TorchServe's classes of errors by ours; any other is a BadRequestException."""

OTHERS = ("", "metrics", "models", "page", "v1", "v2", "predictions", "explanations")
"""First folders of a path that ends in ``/predict`` which are no model's name."""


class TorchServe:
    """The protocol over one dataplane."""

    name = "torchserve"

    def __init__(self, plane: DataPlane) -> None:
        self._plane = plane
        self._management = Management(plane)

    def owns(self, path: str) -> bool:
        """Whether the path is this protocol's."""
        match path.split("/")[1:]:
            case ["ping" | "invocations" | "predictions" | "explanations" | "models" | "api-description"]:
                return True
            case ["predictions" | "explanations" | "models", *_]:
                return True
            case [name, "predict"] | [name, _, "predict"]:
                return name not in OTHERS
        return False

    def right(self, method: str, path: str) -> Right:
        """Health and the interface's description are open; what begins with ``/models`` is management, but for its ``invoke``."""
        match path.split("/")[1:]:
            case ["ping" | "api-description"]:
                return "open"
            case ["models", _, "invoke"]:
                return "inference"
            case ["models", *_]:
                return "management"
        return "inference"

    async def handle(self, call: Call) -> Reply:
        """The answer to ``call``; see the module's docstring."""
        parts = call.path.split("/")[1:]
        model = self._meant(parts)
        try:
            return await self._route(call, parts, model)
        except RequestError as problem:
            return self.refuse(problem, model)
        except InferenceFailed as problem:
            return _error(503, "InternalServerException", problem.message, model=model)

    def refuse(self, problem: RequestError, model: str = "") -> Reply:
        """``{"code", "type", "message"}`` with the status of ``problem``; ``model`` is served here."""
        kind = next((name for error, name in TYPES if isinstance(problem, error)), "BadRequestException")
        if model and isinstance(problem, UnknownModel):
            kind = "ModelVersionNotFoundException"
        return _error(problem.status, kind, problem.message, hints(problem), model)

    def _meant(self, parts: list[str]) -> str:
        """The served model that a path names, if any."""
        name = parts[0] if parts[-1] == "predict" and parts[0] not in OTHERS else parts[1] if len(parts) > 1 else ""
        return name if name and self._plane.serves(name) else ""

    async def _route(self, call: Call, parts: list[str], model: str) -> Reply:
        match parts:
            case ["ping"]:
                _only(call, "GET")
                return self._ping()
            case ["api-description"]:
                _only(call, "GET", "OPTIONS")
                return _pretty(description(__version__))
            case ["predictions", name] | ["models", name, "invoke"] | [name, "predict"] if name:
                return await self._predict(call, name, None, model)
            case ["predictions", name, version] | [name, version, "predict"] if name and version:
                return await self._predict(call, name, version, model)
            case ["explanations", name] | ["explanations", name, _] if name:
                _only(call, "POST", "PUT")
                raise NotOffered("a bundle holds a model and no code that could explain its answers")
            case ["invocations"]:
                name = self._invoked(call)
                return await self._predict(call, name, None, name if self._plane.serves(name) else "")
            case ["models", *rest]:
                return await self._manage(call, rest, model)
        raise NoSuchPath("there is nothing at this path; OPTIONS / says what there is")

    def _ping(self) -> Reply:
        healthy = self._plane.opened and not self._plane.draining
        return _pretty({"status": "Healthy" if healthy else "Unhealthy"}, 200 if healthy else 503)

    async def _predict(self, call: Call, name: str, version: str | None, model: str) -> Reply:
        _only(call, "POST", "PUT")
        fields = fields_of(call.body, call.headers.get(b"content-type", b""))
        return Reply(200, await predict(self._plane, name, version, fields), model=model)

    def _invoked(self, call: Call) -> str:
        """The model that ``/invocations`` means, which need not be named where there is one alone."""
        _only(call, "POST", "PUT")
        if name := _parameters(call).get("model_name"):
            return name
        served = [served.name for served in self._plane.catalogue.models if served.ready]
        if len(served) != 1 and self._plane.opened:
            raise InvalidRequest(f"the parameter model_name is required; served: {', '.join(served) or 'nothing'}")
        return served[0] if served else ""

    async def _manage(self, call: Call, rest: list[str], model: str) -> Reply:
        management = self._management
        match rest, call.method:
            case [], "GET" | "HEAD":
                return _pretty(management.models(_parameters(call)))
            case [], "POST":
                return _status(await management.register(_registration(call)))
            case [str(name), str(version), "set-default"], "PUT" if name and version:
                return _status(await management.set_default(name, version), model)
            case [str(name), *version], "GET" | "HEAD" if name and len(version) < 2:
                return _pretty(await management.describe(name, *version or (None,)), model=model)
            case [str(name), *version], "PUT" if name and len(version) < 2:
                return _status(await management.scale(name, version[0] if version else None, _parameters(call)), model)
            case [str(name), *version], "DELETE" if name and len(version) < 2:
                return _status(await management.unregister(name, version[0] if version else None))
            case [], _:
                raise WrongVerb("the path is known with another verb", allow="GET, HEAD, POST")
            case [_, _, "set-default"], _:
                raise WrongVerb("the path is known with another verb", allow="PUT")
            case [_] | [_, _], _:
                raise WrongVerb("the path is known with another verb", allow="GET, HEAD, PUT, DELETE")
        raise NoSuchPath("there is nothing at this path; OPTIONS / says what there is")


def _only(call: Call, *verbs: str) -> None:
    if call.method not in verbs and not (call.method == "HEAD" and "GET" in verbs):
        raise WrongVerb(f"the path is known with {' and '.join(verbs)}", allow=", ".join(verbs))


def _parameters(call: Call) -> dict[str, str]:
    try:
        return dict(parse_qsl(call.query, keep_blank_values=True, max_num_fields=64))
    except ValueError:
        raise InvalidRequest("the query has more than 64 parameters") from None


def _registration(call: Call) -> Parameters:
    """The parameters of a registration, which may also come as a JSON object."""
    if not call.headers.get(b"content-type", b"").startswith(b"application/json") or not call.body.strip():
        return _parameters(call)
    sent = parsed(call.body, 2)
    if not isinstance(sent, dict) or any(isinstance(value, (dict, list)) for value in sent.values()):
        raise InvalidRequest("the body should be a JSON object of texts, numbers and booleans")
    texts = {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in sent.items() if value is not None}
    return _parameters(call) | texts


def _status(status: Status, model: str = "") -> Reply:
    return _pretty({"status": status.sentence}, status.code, model)


def _pretty(value: Any, status: int = 200, model: str = "") -> Reply:
    return Reply(status, orjson.dumps(value, option=orjson.OPT_INDENT_2), model=model)


def _error(status: int, kind: str, sentence: str, headers: tuple[tuple[bytes, bytes], ...] = (), model: str = "") -> Reply:
    body = orjson.dumps({"code": status, "type": kind, "message": sentence}, option=orjson.OPT_INDENT_2)
    return Reply(status, body, headers=headers, model=model)

"""The Open Inference Protocol, version 2, over HTTP: JSON, the binary tensor extension, images, texts, sounds and other files.

There are two ways to send an image, a text or a wav file to a model whose bundle says how it becomes its input: as the whole body of
``POST .../infer`` with a Content-Type of ``image/...``, ``text/...`` or ``audio/...``, or as BYTES elements, one a sample, under the name
of the model's first input or of the kind (``image``, ``text``, ``audio``). In JSON an image or a sound is base64 text and a text is text;
in binary each is the plain file. The answer has two tensors
beside the model's own: ``label`` (BYTES) and ``probability`` (FP32), both [samples, k], best first; any other
request may ask for them by name. Where no activation is applied the second is called ``score``. An image's request may ask for the
tensor ``placement`` too: see ``outputs.wants_placement``.

A model that takes byte strings gets BYTES as the protocol has them: UTF-8 text in JSON, anything in binary; and where one string is
a sample, a whole body of a Content-Type in ``FILES`` is one, ranked as an image is. The metadata of a quantised tensor
has the parameters ``scale`` and ``zero_point``; its whole numbers go over the wire as they are.

Beside the protocol itself there are Triton's extensions in ``EXTENSIONS``. A request's parameter ``timeout``, in microseconds, is how long
its client waits for the answer. A version in a path may be any text. The model repository reads the parameters ``version`` and ``path``
of our own; a server has but one repository, so that only the index may be asked for with a repository's name.

Non-finite outputs are ``null`` in JSON, which has no word for them, and exact in binary. A raw binary request
(Inference-Header-Content-Length: 0) is the only input's bytes (one sample, where that takes byte strings) and gets its answer in binary.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from roadworthy.core.errors import InvalidRequest, RequestError, UnknownModel
from roadworthy.core.version import __version__
from roadworthy.serving.engine.dataplane import DataPlane, InferRequest
from roadworthy.serving.protocols.json_parsing import parsed
from roadworthy.serving.protocols.messages import NotOffered, Reply, Request, error_json
from roadworthy.serving.protocols.oip import model_info as models
from roadworthy.serving.protocols.oip import repository
from roadworthy.serving.protocols.oip.outputs import wants_placement, wants_ranking
from roadworthy.serving.protocols.oip.parameters import flag
from roadworthy.serving.protocols.oip.request import parameters_of, read
from roadworthy.serving.protocols.oip.response import write
from roadworthy.serving.protocols.oip.schemas import SCHEMAS
from roadworthy.serving.protocols.routes import HttpRoute
from roadworthy.serving.protocols.schemas import BINARY, FILE, JSON, Body, json_body, ref

FIND = (404, 503)
"""The statuses of a route that looks for a model."""
INFER = (404, 500, 503, 504)
MANAGE = (404, 409, 500, 503, 504)
NOTHING: Body = {}
INFER_BODY: Body = {JSON: ref("InferRequest"), BINARY: FILE, "image/*": FILE, "text/*": FILE, "audio/*": FILE}
INFER_ANSWER: Body = {JSON: ref("InferResponse"), BINARY: FILE}


class OpenInference:
    """The protocol over one dataplane."""

    name, title = "oip", "Open Inference Protocol"
    schemas, error_schema = SCHEMAS, "Error"
    ignores_case = False

    def __init__(self, plane: DataPlane) -> None:
        self._plane = plane
        self.routes = (*self._server_routes(), *self._model_routes(), *self._repository_routes())

    def _server_routes(self) -> Iterator[HttpRoute]:
        for path in ("/v2", "/v2/"):
            yield HttpRoute(
                "GET", path, self.server, "inference", "The server's name, version and extensions.", json_body("ServerMetadata")
            )
        yield HttpRoute("GET", "/v2/health/live", self.live, "open", "Whether the server is there.", json_body("Live"))
        yield HttpRoute(
            "GET", "/v2/health/ready", self.ready, "open", "Whether it answers.", json_body("Ready"), also={503: json_body("Ready")}
        )
        yield HttpRoute(
            "GET", "/v2/models/stats", self.statistics, "inference", "Triton's statistics of every model.", json_body("Statistics"),
            errors=(503,),
        )  # fmt: skip

    def _model_routes(self) -> Iterator[HttpRoute]:
        for path in ("/v2/models/{model}", "/v2/models/{model}/versions/{version}"):
            yield HttpRoute(
                "POST", f"{path}/infer", self.infer, "inference", "An inference: JSON, the binary tensor extension, or a file.",
                INFER_ANSWER, body=INFER_BODY, errors=INFER,
            )  # fmt: skip
            yield HttpRoute("GET", path, self.metadata, "inference", "Inputs and outputs.", json_body("ModelMetadata"), errors=FIND)
            yield HttpRoute(
                "GET", f"{path}/ready", self.model_ready, "inference", "Whether the model answers.", json_body("ModelReady"),
                errors=(404,), also={503: {JSON: {"anyOf": [ref("ModelReady"), ref("Error")]}}},
            )  # fmt: skip
            yield HttpRoute(
                "GET", f"{path}/config", self.config, "inference", "Triton's model configuration.", json_body("ModelConfig"), errors=FIND
            )
            yield HttpRoute(
                "GET", f"{path}/stats", self.statistics, "inference", "Triton's statistics of the model.", json_body("Statistics"),
                errors=FIND,
            )  # fmt: skip

    def _repository_routes(self) -> Iterator[HttpRoute]:
        index: dict[str, Any] = {"body": json_body("IndexRequest"), "needs_body": False, "errors": (404,)}
        change: dict[str, Any] = {"body": json_body("RepositoryRequest"), "needs_body": False, "errors": MANAGE}
        for path in ("/v2/repository", "/v2/repository/{repository}"):
            yield HttpRoute(
                "POST",
                f"{path}/index",
                self.index,
                "management",
                "Models, versions and their states.",
                json_body("RepositoryIndex"),
                **index,
            )
        for verb, handler in (("load", self.load), ("unload", self.unload)):
            path = f"models/{{model}}/{verb}"
            yield HttpRoute("POST", f"/v2/repository/{path}", handler, "management", f"{verb.capitalize()} the model.", NOTHING, **change)
            yield HttpRoute(
                "POST", f"/v2/repository/{{repository}}/{path}", self.named_repository, "management", "Not offered.", NOTHING,
                **change | {"errors": (404, 501)},
            )  # fmt: skip

    def refuse(self, request: Request, problem: RequestError) -> Reply:
        """``{"error": sentence}`` with the status of ``problem``."""
        return error_json(problem)

    async def server(self, request: Request) -> Reply:
        """The server's name, version and extensions."""
        return _json({"name": "roadworthy", "version": __version__, "extensions": models.EXTENSIONS})

    async def live(self, request: Request) -> Reply:
        """A server that answers is live."""
        return _json({"live": True})

    async def ready(self, request: Request) -> Reply:
        """Whether every model was checked and one answers."""
        return _json({"ready": self._plane.ready}, status=200 if self._plane.ready else 503)

    async def metadata(self, request: Request) -> Reply:
        """Inputs and outputs of a model."""
        name, version = _model_of(request)
        return _json(models.metadata(self._plane.find(name, version), self._plane.catalogue.find(name)))

    async def config(self, request: Request) -> Reply:
        """Triton's configuration of a model."""
        name, version = _model_of(request)
        return _json(models.configuration(self._plane.find(name, version), self._plane.catalogue.find(name)))

    async def model_ready(self, request: Request) -> Reply:
        """Whether a model answers."""
        name, version = _model_of(request)
        self._plane.find(name, version)
        ready = not self._plane.draining
        return _json({"name": name, "ready": ready}, status=200 if ready else 503)

    async def infer(self, request: Request) -> Reply:
        """An inference."""
        target = self._plane.pick(*_model_of(request))
        parsed_request = read(request, target.model, self._plane.limits.depth)
        rank = wants_ranking(target.model, parsed_request.wanted, whole=parsed_request.whole)
        inputs = parsed_request.inputs
        place = wants_placement(target.model, parsed_request.wanted)
        response = await self._plane.infer(InferRequest(target, inputs.feeds, inputs.items, rank, parsed_request.deadline, place))
        return write(response, target.model, parsed_request)

    async def statistics(self, request: Request) -> Reply:
        """Statistics of every model, of one, or of one version."""
        parameters = request.parameters
        found = models.statistics(await self._plane.totals(), self._plane.catalogue, parameters.get("model"), parameters.get("version"))
        return _json(found)

    async def index(self, request: Request) -> Reply:
        """Every version that the server knows."""
        return _json(repository.index(self._plane.catalogue, ready=flag(self._fields(request), "ready") is True))

    async def load(self, request: Request) -> Reply:
        """Load a model; the answer comes when it serves."""
        await self._plane.manage(repository.load(request.parameters["model"], parameters_of(self._fields(request))))
        return Reply(200, b"")

    async def unload(self, request: Request) -> Reply:
        """Unload a model; the answer comes when it no longer serves."""
        command = repository.unload(request.parameters["model"], parameters_of(self._fields(request)))
        try:
            await self._plane.manage(command)
        except UnknownModel:
            # As Triton does: to unload a model that is not there succeeds.
            pass
        return Reply(200, b"")

    async def named_repository(self, request: Request) -> Reply:
        """Load or unload in a repository that has a name."""
        raise NotOffered("this server has one model repository; leave its name out of the path")

    def _fields(self, request: Request) -> dict[str, Any]:
        """The JSON object of a request whose body may be empty."""
        fields = parsed(request.body, self._plane.limits.depth) if request.body else {}
        if not isinstance(fields, dict):
            raise InvalidRequest("the request should be a JSON object")
        return fields


def _model_of(request: Request) -> tuple[str, str | None]:
    return request.parameters["model"], request.parameters.get("version")


def _json(value: object, *, status: int = 200) -> Reply:
    return Reply(status, orjson.dumps(value))


def http_protocol(plane: DataPlane, grpc_port: int | None) -> OpenInference:
    """The protocol over ``plane``; see ``protocols.discovery``."""
    return OpenInference(plane)

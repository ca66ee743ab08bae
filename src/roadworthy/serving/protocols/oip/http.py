"""The Open Inference Protocol, version 2, over HTTP: JSON, the binary tensor extension, images and other files.

An image reaches a model whose bundle says how images become its input in one of two ways: as the whole body of
``POST .../infer`` with a Content-Type of ``image/...``, or as BYTES elements where the model's input is expected
(base64 text in JSON, the plain file in binary), one element a sample. Such a request is answered with two tensors
beside the model's own: ``label`` (BYTES) and ``probability`` (FP32), both [samples, k], best first; any other
request may ask for them by name. Where no activation is applied the second is called ``score``.

A model that takes byte strings gets BYTES as the protocol has them: UTF-8 text in JSON, anything in binary; and where one string is
a sample, a whole body of a Content-Type in ``FILES`` is one, ranked as an image is. The metadata of a quantised tensor
has the parameters ``scale`` and ``zero_point``; its whole numbers go over the wire as they are.

Beside the protocol itself there are Triton's extensions in ``EXTENSIONS``. A request's parameter ``timeout``, in microseconds, is how long
its client waits for the answer. A version in a path may be any text. The model repository reads the parameters ``version`` and ``path``
of our own; a server has but one repository, so that only the index may be asked for with a repository's name.

Non-finite outputs are ``null`` in JSON, which has no word for them, and exact in binary. A raw binary request
(Inference-Header-Content-Length: 0) is the only input's bytes (one sample, where that takes byte strings) and is answered in binary.
"""

from __future__ import annotations

from typing import Any

import orjson

from roadworthy.core.errors import InvalidRequest, RequestError, UnknownModel
from roadworthy.core.version import __version__
from roadworthy.serving.engine.dataplane import DataPlane, InferenceFailed, InferRequest
from roadworthy.serving.protocols import Call, NoSuchPath, NotOffered, Reply, Right, WrongVerb, hints
from roadworthy.serving.protocols.json_parsing import parsed
from roadworthy.serving.protocols.oip import model_info as models
from roadworthy.serving.protocols.oip import repository
from roadworthy.serving.protocols.oip.outputs import wants_ranking
from roadworthy.serving.protocols.oip.parameters import flag
from roadworthy.serving.protocols.oip.request import parameters_of, read
from roadworthy.serving.protocols.oip.response import write


class OpenInference:
    """The protocol over one dataplane."""

    name = "oip"

    def __init__(self, plane: DataPlane) -> None:
        self._plane = plane

    def owns(self, path: str) -> bool:
        """Whether the path is this protocol's."""
        return path == "/v2" or path.startswith("/v2/")

    def right(self, method: str, path: str) -> Right:
        """Health is open, the model repository is management, everything else inference."""
        if path.startswith("/v2/health/"):
            return "open"
        return "management" if path.startswith("/v2/repository/") else "inference"

    async def handle(self, call: Call) -> Reply:
        """The answer to ``call``; see the module's docstring."""
        parts = call.path.split("/")[2:]
        model = parts[1] if len(parts) > 1 and parts[0] == "models" and self._plane.serves(parts[1]) else ""
        try:
            return await self._route(call, parts)
        except RequestError as problem:
            return self.refuse(problem, model)
        except InferenceFailed as problem:
            return Reply(500, _error(problem.message), model=model)

    def refuse(self, problem: RequestError, model: str = "") -> Reply:
        """``{"error": sentence}`` with the status of ``problem``."""
        return Reply(problem.status, _error(problem.message), headers=hints(problem), model=model)

    async def _route(self, call: Call, parts: list[str]) -> Reply:
        match parts:
            case ["models", name, "infer"] if name:
                return await self._infer(call, name, None)
            case ["models", name, "versions", version, "infer"] if name and version:
                return await self._infer(call, name, version)
            case ["models", "stats"]:
                return await self._statistics(call, None, None)
            case ["models", name, "versions", version, *rest] if name and version:
                return await self._model(call, name, version, rest)
            case ["models", name, *rest] if name:
                return await self._model(call, name, None, rest)
            case ["repository", *rest]:
                return await self._repository(call, rest)
        return self._server(call, parts)

    def _server(self, call: Call, parts: list[str]) -> Reply:
        match parts:
            case [] | [""]:
                _only(call, "GET")
                return _json({"name": "roadworthy", "version": __version__, "extensions": models.EXTENSIONS})
            case ["health", "live"]:
                _only(call, "GET")
                return _json({"live": True})
            case ["health", "ready"]:
                _only(call, "GET")
                return _json({"ready": self._plane.ready}, status=200 if self._plane.ready else 503)
        raise NoSuchPath("Not Found")

    async def _model(self, call: Call, name: str, version: str | None, rest: list[str]) -> Reply:
        match rest:
            case []:
                _only(call, "GET")
                return _json(models.metadata(self._plane.find(name, version), self._plane.catalogue.find(name)), model=name)
            case ["config"]:
                _only(call, "GET")
                return _json(models.configuration(self._plane.find(name, version), self._plane.catalogue.find(name)), model=name)
            case ["ready"]:
                _only(call, "GET")
                self._plane.find(name, version)
                ready = not self._plane.draining
                return _json({"name": name, "ready": ready}, status=200 if ready else 503, model=name)
            case ["stats"]:
                return await self._statistics(call, name, version)
        raise NoSuchPath("Not Found")

    async def _infer(self, call: Call, name: str, version: str | None) -> Reply:
        _only(call, "POST")
        target = self._plane.pick(name, version)
        asked = read(call, target.model, self._plane.limits.depth)
        rank = wants_ranking(target.model, asked.wanted, whole=asked.whole)
        response = await self._plane.infer(InferRequest(target, asked.inputs.feeds, asked.inputs.images, rank, asked.deadline))
        return write(response, target.model, asked)

    async def _statistics(self, call: Call, name: str | None, version: str | None) -> Reply:
        _only(call, "GET")
        found = models.statistics(await self._plane.totals(), self._plane.catalogue, name, version)
        return _json(found, model=name or "")

    async def _repository(self, call: Call, rest: list[str]) -> Reply:
        match rest:
            case ["index"] | [_, "index"]:
                _only(call, "POST")
                return _json(repository.index(self._plane.catalogue, ready=flag(self._fields(call), "ready") is True))
            case ["models", name, "load"] if name:
                _only(call, "POST")
                await self._plane.manage(repository.load(name, parameters_of(self._fields(call))))
                return Reply(200, b"")
            case ["models", name, "unload"] if name:
                _only(call, "POST")
                command = repository.unload(name, parameters_of(self._fields(call)))
                try:
                    await self._plane.manage(command)
                except UnknownModel:
                    # As with Triton: what is not there is unloaded.
                    pass
                return Reply(200, b"")
            case [_, "models", name, "load" | "unload"] if name:
                _only(call, "POST")
                raise NotOffered("there is one model repository here; leave its name out of the path")
        raise NoSuchPath("Not Found")

    def _fields(self, call: Call) -> dict[str, Any]:
        """The body of a request for which an empty one will do."""
        fields = parsed(call.body, self._plane.limits.depth) if call.body else {}
        if not isinstance(fields, dict):
            raise InvalidRequest("the request should be a JSON object")
        return fields


def _only(call: Call, verb: str) -> None:
    if call.method != verb and not (verb == "GET" and call.method == "HEAD"):
        raise WrongVerb("Method Not Allowed", allow="GET, HEAD" if verb == "GET" else verb)


def _json(value: object, *, status: int = 200, model: str = "") -> Reply:
    return Reply(status, orjson.dumps(value), model=model)


def _error(sentence: str) -> bytes:
    return orjson.dumps({"error": sentence})

"""The Open Inference Protocol, version 2, over HTTP: JSON, the binary tensor extension, images and other files.

An image reaches a model whose bundle says how images become its input in one of two ways: as the whole body of
``POST .../infer`` with a Content-Type of ``image/...``, or as BYTES elements where the model's input is expected
(base64 text in JSON, the plain file in binary), one element a sample. Such a request is answered with two tensors
beside the model's own: ``label`` (BYTES) and ``probability`` (FP32), both [samples, k], best first; any other
request may ask for them by name. Where no activation is applied the second is called ``score``.

A model that takes byte strings gets BYTES as the protocol has them: UTF-8 text in JSON, anything in binary; and where one string is
a sample, a whole body of a Content-Type in ``FILES`` is one, ranked as an image is. The metadata of a quantised tensor
has the parameters ``scale`` and ``zero_point``; its whole numbers go over the wire as they are.

Non-finite outputs are ``null`` in JSON, which has no word for them, and exact in binary. A raw binary request
(Inference-Header-Content-Length: 0) is the only input's bytes (one sample, where that takes byte strings) and is answered in binary.
"""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from roadworthy.core.errors import InvalidRequest, RequestError, Unavailable
from roadworthy.core.types import BYTES, Array, TensorSpec
from roadworthy.serve import tensors
from roadworthy.serve.dataplane import DataPlane, InferenceFailed, InferRequest, InferResponse
from roadworthy.serve.model import Model
from roadworthy.serve.protocols import Call, NoSuchPath, Reply, WrongVerb

HEADER_LENGTH = b"inference-header-content-length"
FILES = (b"application/octet-stream", b"audio/", b"image/", b"video/")
LABEL, PROBABILITY, SCORE = "label", "probability", "score"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the answer should hold: outputs by name (``None`` for all), each in binary or not, and the request's id."""

    outputs: tuple[str, ...] | None = None
    binary: Mapping[str, bool] | None = None
    all_binary: bool = False
    id: str | None = None

    def in_binary(self, name: str) -> bool:
        """Whether the output called ``name`` is sent as bytes."""
        return self.all_binary if self.binary is None else self.binary.get(name, self.all_binary)


class OpenInference:
    """The protocol over one dataplane."""

    def __init__(self, plane: DataPlane, version: str) -> None:
        self._plane = plane
        self._version = version

    def owns(self, path: str) -> bool:
        """Whether the path is this protocol's."""
        return path == "/v2" or path.startswith("/v2/")

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
        headers: tuple[tuple[bytes, bytes], ...] = ()
        if isinstance(problem, WrongVerb):
            headers = ((b"allow", problem.allow.encode()),)
        elif isinstance(problem, Unavailable):
            headers = ((b"retry-after", b"1"),)
        return Reply(problem.status, _error(problem.message), headers=headers, model=model)

    async def _route(self, call: Call, parts: list[str]) -> Reply:
        match parts:
            case [] | [""]:
                _only(call, "GET")
                return _json({"name": "roadworthy", "version": self._version, "extensions": ["binary_tensor_data"]})
            case ["health", "live"]:
                _only(call, "GET")
                return _json({"live": True})
            case ["health", "ready"]:
                _only(call, "GET")
                return _json({"ready": self._plane.ready}, status=200 if self._plane.ready else 503)
            case ["models", name, "versions", version, *rest] if name and version:
                return await self._model(call, name, version, rest)
            case ["models", name, *rest] if name:
                return await self._model(call, name, None, rest)
        raise NoSuchPath("Not Found")

    async def _model(self, call: Call, name: str, version: str | None, rest: list[str]) -> Reply:
        match rest:
            case []:
                _only(call, "GET")
                return _json(_metadata(self._plane.find(name, version)), model=name)
            case ["ready"]:
                _only(call, "GET")
                self._plane.find(name, version)
                return _json({"name": name, "ready": self._plane.ready}, status=200 if self._plane.ready else 503, model=name)
            case ["infer"]:
                _only(call, "POST")
                return await self._infer(call, self._plane.find(name, version), version)
        raise NoSuchPath("Not Found")

    async def _infer(self, call: Call, model: Model, version: str | None) -> Reply:
        feeds, images, wanted = _read(call, model)
        whole = bool(images) or _is_file(call, model)
        extra = _ranking_names(model)
        known = {spec.name for spec in model.signature.outputs}
        if wanted.outputs is not None and (strangers := [name for name in wanted.outputs if name not in known and name not in extra]):
            raise InvalidRequest(f"there is no output {strangers[0]!r}; the model gives {', '.join((*sorted(known), *extra))}")
        rank = whole if wanted.outputs is None else any(name in extra for name in wanted.outputs)
        response = await self._plane.infer(InferRequest(model.name, version, feeds, images, rank and bool(extra)))
        return _write(response, model, wanted, extra)


def _only(call: Call, verb: str) -> None:
    if call.method != verb and not (verb == "GET" and call.method == "HEAD"):
        raise WrongVerb("Method Not Allowed", allow="GET, HEAD" if verb == "GET" else verb)


def _metadata(model: Model) -> dict[str, Any]:
    def tensor(spec: TensorSpec) -> dict[str, Any]:
        shape = [size if isinstance(size, int) else -1 for size in spec.shape]
        found: dict[str, Any] = {"name": spec.name, "datatype": tensors.DATATYPES.get(spec.dtype, tensors.BYTES), "shape": shape}
        if spec.quantization:
            found["parameters"] = {"scale": spec.quantization.scale, "zero_point": spec.quantization.zero_point}
        return found

    return {
        "name": model.name,
        "versions": [model.version],
        "platform": f"roadworthy_{model.variant.plan.runtime}",
        "inputs": [tensor(spec) for spec in model.signature.inputs],
        "outputs": [tensor(spec) for spec in model.signature.outputs],
    }


def _ranking_names(model: Model) -> tuple[str, ...]:
    """The names of the two tensors that say the top classes, unless the model has outputs of its own called that."""
    names = (LABEL, SCORE if model.contract.answer.activation == "none" else PROBABILITY)
    taken = {spec.name for spec in model.signature.outputs}
    return () if not model.ranks or taken.intersection(names) else names


# Reading a request


def _read(call: Call, model: Model) -> tuple[dict[str, Array], tuple[bytes, ...], Wanted]:
    if _is_file(call, model):
        return {model.signature.inputs[0].name: _one(call.body)}, (), Wanted()
    if call.headers.get(b"content-type", b"").startswith(b"image/"):
        if not model.takes_images:
            raise InvalidRequest(f"{model.name} does not say how an image becomes its input; it takes {_takes(model)}")
        return {}, (call.body,), Wanted()
    header = call.headers.get(HEADER_LENGTH)
    if header is None:
        return _read_request(call.body, memoryview(b""), model)
    size = int(header) if header.isdigit() and len(header) < 16 else -1
    if not 0 <= size <= len(call.body):
        raise InvalidRequest(f"Inference-Header-Content-Length should be a number from 0 to {len(call.body)}, the size of the body")
    if size == 0:
        return _read_raw(memoryview(call.body), model), (), Wanted(all_binary=True)
    return _read_request(call.body[:size], memoryview(call.body)[size:], model)


def _is_file(call: Call, model: Model) -> bool:
    """Whether the body is one sample as it is: a file for a model that takes byte strings."""
    return model.takes_files and HEADER_LENGTH not in call.headers and call.headers.get(b"content-type", b"").startswith(FILES)


def _one(body: bytes) -> Array:
    array = np.empty(1, BYTES)
    array[0] = body
    return array


def _read_raw(body: memoryview, model: Model) -> dict[str, Array]:
    spec = model.signature.inputs[0]
    if model.takes_files:
        return {spec.name: _one(bytes(body))}
    if len(model.signature.inputs) != 1 or spec.dtype not in tensors.DTYPES.values():
        raise InvalidRequest(f"a raw binary request is for models of one input of numbers; {model.name} takes {_takes(model)}")
    known = math.prod(size for size in spec.shape if isinstance(size, int)) * np.dtype(spec.dtype).itemsize
    free = sum(isinstance(size, str) for size in spec.shape)
    if free > 1 or not len(body) or len(body) % known:
        raise InvalidRequest(f"a raw binary request for {model.name} is a multiple of {known} bytes ({spec}); {len(body)} came")
    shape = tuple(size if isinstance(size, int) else len(body) // known for size in spec.shape)
    return {spec.name: tensors.from_binary(spec.name, tensors.DATATYPES[spec.dtype], shape, body)}


def _read_request(head: bytes, tail: memoryview, model: Model) -> tuple[dict[str, Array], tuple[bytes, ...], Wanted]:
    try:
        request = orjson.loads(head)
    except orjson.JSONDecodeError as problem:
        raise InvalidRequest(f"the request is not JSON: {problem}") from None
    if not isinstance(request, dict) or not isinstance(inputs := request.get("inputs"), list):
        raise InvalidRequest("the request should be a JSON object with a list of inputs")
    feeds: dict[str, Array] = {}
    images: tuple[bytes, ...] = ()
    strings = {spec.name for spec in model.signature.inputs if spec.dtype == BYTES}
    for item in inputs:
        name = _name(item, "input")
        if name in feeds or images:
            raise InvalidRequest(f"input {name!r} is more than the model takes, or came twice; it takes {_takes(model)}")
        shape = tensors.shape_of(name, item.get("shape"))
        piece: memoryview | None = None
        if (size := _parameters(item).get("binary_data_size")) is not None:
            if type(size) is not int or not 0 <= size <= len(tail):
                raise InvalidRequest(f"input {name!r} has binary_data_size {size!r}, but {len(tail)} bytes are left in the body")
            if "data" in item:
                raise InvalidRequest(f"input {name!r} has both data and binary_data_size")
            piece, tail = tail[:size], tail[size:]
        if item.get("datatype") == tensors.BYTES and name in strings:
            if piece is None:
                feeds[name] = tensors.strings_from_json(name, shape, item.get("data"))
            else:
                feeds[name] = tensors.strings_from_binary(name, shape, piece)
        elif item.get("datatype") == tensors.BYTES:
            images = _read_images(name, shape, item.get("data"), piece, model)
        elif piece is not None:
            feeds[name] = tensors.from_binary(name, item.get("datatype"), shape, piece)
        else:
            feeds[name] = tensors.from_json(name, item.get("datatype"), shape, item.get("data"))
    if len(tail):
        raise InvalidRequest(f"the body goes on for {len(tail)} bytes after the last input")
    if not feeds and not images:
        raise InvalidRequest(f"the request has no inputs; the model takes {_takes(model)}")
    return feeds, images, _read_wanted(request)


def _read_images(name: str, shape: tuple[int, ...], data: object, piece: memoryview | None, model: Model) -> tuple[bytes, ...]:
    if not model.takes_images or name != model.signature.inputs[0].name:
        raise InvalidRequest(f"input {name!r} is BYTES; the model takes {_takes(model)}")
    count = math.prod(shape)
    if not shape or count != shape[0] or not count:
        raise InvalidRequest(f"input {name!r} has shape {list(shape)}; images are [n], one BYTES element a sample")
    if piece is not None:
        return tensors.split_bytes(name, count, piece)
    texts = tensors.flatten(name, shape, data)
    try:
        return tuple(base64.b64decode(text, validate=True) for text in texts)
    except (TypeError, ValueError, binascii.Error):
        raise InvalidRequest(f"input {name!r} is BYTES in JSON, so each image should be base64 text") from None


def _read_wanted(request: dict[str, Any]) -> Wanted:
    identity = request.get("id")
    if identity is not None and not isinstance(identity, str):
        raise InvalidRequest("the request's id should be text")
    all_binary = _flag(_parameters(request), "binary_data_output")
    if (asked := request.get("outputs")) is None:
        return Wanted(None, None, all_binary is True, identity)
    if not isinstance(asked, list):
        raise InvalidRequest("the request's outputs should be a list")
    binary: dict[str, bool] = {}
    for item in asked:
        name, parameters = _name(item, "output"), _parameters(item)
        if "classification" in parameters or "shared_memory_region" in parameters:
            raise InvalidRequest(f"output {name!r} asks for an extension that is not offered here")
        own = _flag(parameters, "binary_data")
        binary[name] = all_binary is True if own is None else own
    # An empty list asks for nothing in particular, which is everything.
    return Wanted(tuple(binary) or None, binary, all_binary is True, identity)


def _name(item: object, what: str) -> str:
    if not isinstance(item, dict) or not isinstance(name := item.get("name"), str):
        raise InvalidRequest(f"each {what} should be a JSON object with a name")
    return name


def _parameters(item: dict[str, Any]) -> dict[str, Any]:
    parameters = item.get("parameters")
    if parameters is None:
        return {}
    if not isinstance(parameters, dict):
        raise InvalidRequest("parameters should be a JSON object")
    return parameters


def _flag(parameters: dict[str, Any], name: str) -> bool | None:
    value = parameters.get(name)
    if value is not None and not isinstance(value, bool):
        raise InvalidRequest(f"parameter {name} should be true or false")
    return value


def _takes(model: Model) -> str:
    return ", ".join(map(str, model.signature.inputs))


# Writing an answer


def _write(response: InferResponse, model: Model, wanted: Wanted, extra: tuple[str, ...]) -> Reply:
    given: dict[str, Array] = dict(response.outputs)
    if response.ranked:
        labels, probabilities = extra
        given[labels] = np.array([[ranked.label for ranked in row] for row in response.ranked], dtype=object)
        given[probabilities] = np.array([[ranked.score for ranked in row] for row in response.ranked], dtype=np.float32)
    names = [spec.name for spec in model.signature.outputs] + [name for name in extra if name in given]
    outputs: list[dict[str, Any]] = []
    tail: list[bytes] = []
    for name in names if wanted.outputs is None else wanted.outputs:
        array = given[name]
        output: dict[str, Any] = {"name": name, "datatype": tensors.datatype_of(name, array), "shape": list(array.shape)}
        if wanted.in_binary(name):
            tail.append(tensors.to_binary(array))
            output["parameters"] = {"binary_data_size": len(tail[-1])}
        else:
            output["data"] = tensors.to_json(name, array)
        outputs.append(output)
    answer: dict[str, Any] = {"model_name": response.model, "model_version": response.version, "outputs": outputs}
    if wanted.id is not None:
        answer["id"] = wanted.id
    head = orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY)
    if not tail:
        return Reply(200, head, model=response.model, samples=response.samples)
    return Reply(
        200,
        b"".join((head, *tail)),
        content_type=b"application/octet-stream",
        headers=((HEADER_LENGTH, str(len(head)).encode()),),
        model=response.model,
        samples=response.samples,
    )


def _json(value: dict[str, Any], *, status: int = 200, model: str = "") -> Reply:
    return Reply(status, orjson.dumps(value), model=model)


def _error(sentence: str) -> bytes:
    return orjson.dumps({"error": sentence})

"""The body of an inference request of the Open Inference Protocol over HTTP: JSON, the binary tensor extension, a raw tensor, a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from roadworthy.core.errors import InvalidRequest
from roadworthy.serving.engine.local import LocalEngine
from roadworthy.serving.protocols import items
from roadworthy.serving.protocols.json_parsing import parsed
from roadworthy.serving.protocols.messages import Request
from roadworthy.serving.protocols.oip import tensors
from roadworthy.serving.protocols.oip.inputs import OipInputs
from roadworthy.serving.protocols.oip.outputs import Wanted
from roadworthy.serving.protocols.oip.parameters import Parameters, deadline, flag, whole

HEADER_LENGTH = b"inference-header-content-length"
FILES = (b"application/octet-stream", b"audio/", b"image/", b"video/")


@dataclass(frozen=True, slots=True)
class OipRequest:
    """One request as it was read. ``whole`` says that the body was an item or a file, or held items.

    ``binary`` says of outputs by name whether they are sent as bytes, ``all_binary`` of those that it does not name.
    """

    inputs: OipInputs
    whole: bool = False
    wanted: Wanted = None
    binary: Mapping[str, bool] = field(default_factory=dict)
    all_binary: bool = False
    id: str | None = None
    deadline: float | None = None

    def in_binary(self, name: str) -> bool:
        """Whether the output called ``name`` is sent as bytes."""
        return self.binary.get(name, self.all_binary)


def read(request: Request, model: LocalEngine, depth: int) -> OipRequest:
    """What ``request`` asks of ``model``, its JSON at most ``depth`` deep; raises InvalidRequest."""
    header = request.headers.get(HEADER_LENGTH)
    if header is None:
        kind = request.headers.get(b"content-type", b"")
        if items.is_whole(model, kind.decode("latin-1")) or (model.takes_files and kind.startswith(FILES)):
            inputs = OipInputs(model)
            inputs.add_file(request.body)
            return OipRequest(inputs, whole=True)
        return _read_json(request.body, memoryview(b""), model, depth)
    size = int(header) if header.isdigit() and len(header) < 16 else -1
    if not 0 <= size <= len(request.body):
        raise InvalidRequest(f"Inference-Header-Content-Length should be a number from 0 to {len(request.body)}, the size of the body")
    if size == 0:
        inputs = OipInputs(model)
        inputs.add_raw(memoryview(request.body))
        return OipRequest(inputs, all_binary=True)
    return _read_json(request.body[:size], memoryview(request.body)[size:], model, depth)


def parameters_of(item: dict[str, Any]) -> Parameters:
    """The ``parameters`` of a request, an input or an output."""
    parameters = item.get("parameters")
    if parameters is None:
        return {}
    if not isinstance(parameters, dict):
        raise InvalidRequest("parameters should be a JSON object")
    return parameters


def _read_json(head: bytes, tail: memoryview, model: LocalEngine, depth: int) -> OipRequest:
    request = parsed(head, depth)
    if not isinstance(request, dict) or not isinstance(given := request.get("inputs"), list):
        raise InvalidRequest("the request should be a JSON object with a list of inputs")
    inputs = OipInputs(model)
    for item in given:
        tail = _read_input(item, tail, inputs)
    if len(tail):
        raise InvalidRequest(f"the body goes on for {len(tail)} bytes after the last input")
    inputs.check_any()
    return _read_wanted(request, inputs)


def _read_input(item: object, tail: memoryview, inputs: OipInputs) -> memoryview:
    """Add the input to ``inputs``; what is left of the binary part."""
    fields, name = _named(item, "input")
    shape = tensors.shape_of(name, fields.get("shape"))
    size = parameters_of(fields).get("binary_data_size")
    if size is None:
        inputs.add_json(name, fields.get("datatype"), shape, fields.get("data"))
        return tail
    if type(size) is not int or not 0 <= size <= len(tail):
        raise InvalidRequest(f"input {name!r} has binary_data_size {size!r}, but {len(tail)} bytes are left in the body")
    if "data" in fields:
        raise InvalidRequest(f"input {name!r} has both data and binary_data_size")
    inputs.add_binary(name, fields.get("datatype"), shape, tail[:size])
    return tail[size:]


def _read_wanted(request: dict[str, Any], inputs: OipInputs) -> OipRequest:
    identity = request.get("id")
    if identity is not None and not isinstance(identity, str):
        raise InvalidRequest("the request's id should be text")
    parameters = parameters_of(request)
    all_binary = flag(parameters, "binary_data_output") is True
    asked = request.get("outputs")
    if asked is not None and not isinstance(asked, list):
        raise InvalidRequest("the request's outputs should be a list")
    wanted: dict[str, int] = {}
    binary: dict[str, bool] = {}
    for item in asked or ():
        fields, name = _named(item, "output")
        own = parameters_of(fields)
        if "shared_memory_region" in own:
            raise InvalidRequest(f"output {name!r} asks for shared memory, which is not offered")
        wanted[name] = whole(own, "classification")
        if (in_binary := flag(own, "binary_data")) is not None:
            binary[name] = in_binary
    # An empty list asks for all outputs.
    return OipRequest(inputs, bool(inputs.items), wanted or None, binary, all_binary, identity, deadline(parameters))


def _named(item: object, what: str) -> tuple[dict[str, Any], str]:
    if not isinstance(item, dict) or not isinstance(name := item.get("name"), str):
        raise InvalidRequest(f"each {what} should be a JSON object with a name")
    return item, name

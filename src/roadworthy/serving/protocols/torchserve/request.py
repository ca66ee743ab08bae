"""What TorchServe's clients send to a model, as its inputs: images and other files, JSON, raw tensors, and forms with these.

One field counts, ``data`` or ``body``, as TorchServe's own handlers have it, or the only one there is; for a model of several inputs there
is a field, or a key of a JSON object, of each input's name. Its content is

- an image, a text or a wav file, for a model whose bundle says how that becomes its input; a file as it is, for one that takes byte
  strings;
- JSON: a tensor as nested lists, ``{"data": ...}`` or ``{"body": ...}`` around one, ``{"instances": [...]}`` with one sample an element,
  answered as ``{"predictions": [...]}``. An image or a sound is base64 text there, by itself or as ``{"b64": text}``; a text, or any
  other byte string, is text or ``{"b64": text}``;
- the little-endian bytes of a tensor, one sample or several.

A sample that comes alone, without a batch dimension, is answered without one.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from roadworthy.core.errors import InvalidRequest
from roadworthy.core.types import BYTES, Array, Arrays, TensorSpec
from roadworthy.serving.engine.local import LocalEngine
from roadworthy.serving.protocols import nested_json as nested
from roadworthy.serving.protocols.items import of_json
from roadworthy.serving.protocols.oip import tensors
from roadworthy.serving.protocols.torchserve.forms import BODY, Fields, FormField

DATA = "data"
INSTANCES = "instances"
_WHOLE = ("application/octet-stream", "image/", "audio/", "video/")


@dataclass(frozen=True, slots=True)
class TorchServeInput:
    """``feeds``, or ``items`` for a model that takes them; ``single``: one sample that came without a batch dimension;
    ``predictions``: the answer is wrapped in an object under that key."""

    feeds: Arrays = field(default_factory=dict)
    items: tuple[bytes, ...] = ()
    single: bool = False
    predictions: bool = False


def read(fields: Fields, model: LocalEngine, depth: int) -> TorchServeInput:
    """What ``fields`` ask of ``model``, their JSON nested up to ``depth``; raises InvalidRequest."""
    specs = model.signature.inputs
    if len(specs) > 1 and any(spec.name in fields for spec in specs):
        given = {spec.name: _tensor_field(fields[spec.name], spec, depth) for spec in specs if spec.name in fields}
        return _columns(given)
    one = next((fields[name] for name in (DATA, BODY, specs[0].name, *model.item_names) if name in fields), None)
    if one is None:
        if len(fields) != 1:
            raise InvalidRequest(f"the form should have a field called data; it has {', '.join(fields) or 'none'}")
        (one,) = fields.values()
    if _is_json(one, model):
        return _of_json(nested.read(one.data, depth), model)
    if model.takes_items or model.takes_files:
        return _of_bytes(one.data, model)
    if len(specs) > 1:
        raise InvalidRequest(f"{model.name} has several inputs; send a JSON object or a form with {', '.join(map(str, specs))}")
    return _alone(specs[0], _raw(specs[0], one.data))


def _is_json(sent: FormField, model: LocalEngine) -> bool:
    """By the media type that the client sent and, without one, by the first and last characters."""
    if sent.kind in ("application/json", "text/json") or sent.kind.endswith("+json"):
        return True
    if sent.kind.startswith(_WHOLE) or model.takes_files or model.kind == "text":
        return False
    if sent.kind.startswith("text/") and not model.takes_items:
        return True
    return sent.data[:64].lstrip()[:1] in (b"[", b"{", b'"') and sent.data[-64:].rstrip()[-1:] in (b"]", b"}", b'"')


# JSON


def _of_json(value: Any, model: LocalEngine) -> TorchServeInput:
    match value:
        case dict():
            return _of_object(value, model)
        case [dict(), *_]:
            return _joined([_of_json(one, model) for one in value], model)
        case [str(), *_] if model.takes_items:
            return _joined([_of_json(one, model) for one in value], model)
        case str() if model.takes_items:
            return _of_bytes(of_json(model, value, "the item in JSON"), model)
    spec = _only(model)
    return _alone(spec, nested.tensor(spec, value))


def _of_object(value: dict[str, Any], model: LocalEngine) -> TorchServeInput:
    specs = model.signature.inputs
    if any(spec.name in value for spec in specs):
        if len(specs) == 1:
            return _of_json(value[specs[0].name], model)
        return _columns({spec.name: _alone(spec, nested.tensor(spec, value[spec.name])) for spec in specs if spec.name in value})
    if INSTANCES in value:
        return _of_instances(value[INSTANCES], model)
    for key in (DATA, BODY, *model.item_names):
        if key in value:
            return _of_json(value[key], model)
    if "b64" in value and (model.takes_items or model.takes_files):
        return _of_bytes(_base64(value["b64"]), model)
    raise InvalidRequest(f"the JSON object should hold data, instances, or the model's inputs: {_takes(model)}")


def _of_instances(instances: Any, model: LocalEngine) -> TorchServeInput:
    if not isinstance(instances, list) or not instances:
        raise InvalidRequest("instances should be a list with one element a sample")
    if isinstance(instances[0], dict) or (isinstance(instances[0], str) and model.takes_items):
        return replace(_joined([_of_json(one, model) for one in instances], model), predictions=True)
    spec = _only(model)
    return TorchServeInput({spec.name: spec.to_call(nested.tensor(spec, instances))}, predictions=True)


def _base64(text: Any) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (TypeError, ValueError):
        raise InvalidRequest("the value of b64 should be base64 text") from None


# Tensors


def _tensor_field(sent: FormField, spec: TensorSpec, depth: int) -> TorchServeInput:
    if sent.kind.startswith(_WHOLE) or not sent.data.lstrip()[:1]:
        return _alone(spec, _raw(spec, sent.data))
    return _alone(spec, nested.tensor(spec, nested.read(sent.data, depth)))


def _raw(spec: TensorSpec, data: bytes) -> Array:
    if spec.dtype == BYTES:
        return nested.strings([bytes(data)])
    size = math.prod(one for one in spec.shape if isinstance(one, int)) * np.dtype(spec.dtype).itemsize
    if sum(isinstance(one, str) for one in spec.shape) > 1 or not data or len(data) % size:
        raise InvalidRequest(f"the body is neither JSON nor a multiple of {size} bytes, which {spec} would be; {len(data)} came")
    shape = tuple(one if isinstance(one, int) else len(data) // size for one in spec.shape)
    array = tensors.from_binary(spec.name, tensors.DATATYPES[spec.dtype], shape, memoryview(data))
    return spec.to_rows(array, 1)[0] if spec.batched and spec.count(array) == 1 else array


def _alone(spec: TensorSpec, array: Array) -> TorchServeInput:
    """With a batch dimension where ``array`` is one sample without."""
    whole = spec.with_sample_axis(array)
    return TorchServeInput({spec.name: whole}, single=whole is not array)


def _of_bytes(data: bytes, model: LocalEngine) -> TorchServeInput:
    if model.takes_items:
        return TorchServeInput(items=(bytes(data),), single=True)
    return TorchServeInput({model.signature.inputs[0].name: nested.strings([bytes(data)])}, single=True)


def _columns(by_name: dict[str, TorchServeInput]) -> TorchServeInput:
    """Several inputs as one request; that an input is missing is found by the signature later."""
    feeds = {name: array for asked in by_name.values() for name, array in asked.feeds.items()}
    return TorchServeInput(feeds, single=all(asked.single for asked in by_name.values()))


def _joined(each: Sequence[TorchServeInput], model: LocalEngine) -> TorchServeInput:
    """Several samples as one request."""
    if not all(asked.single for asked in each):
        raise InvalidRequest(f"each element of the list should be one sample; the model takes {_takes(model)}")
    if len({(bool(asked.items), *asked.feeds) for asked in each}) > 1:
        raise InvalidRequest("the elements of the list do not have the same inputs")
    try:
        specs = {spec.name: spec for spec in model.signature.inputs}
        feeds = {name: specs[name].joined([asked.feeds[name] for asked in each]) for name in each[0].feeds}
    except ValueError:
        raise InvalidRequest("the elements of the list have different shapes") from None
    return TorchServeInput(feeds, tuple(item for asked in each for item in asked.items))


def _only(model: LocalEngine) -> TensorSpec:
    if len(model.signature.inputs) != 1:
        raise InvalidRequest(f"{model.name} has several inputs; send an object with {_takes(model)}")
    return model.signature.inputs[0]


def _takes(model: LocalEngine) -> str:
    return ", ".join(map(str, model.signature.inputs))

"""TensorFlow Serving over HTTP: status, metadata, predict by rows and by columns, classify, regress.

A bundle has the signature ``serving_default``. An image or a sound reaches a model whose bundle says how it becomes its input as
``{"b64": text}`` where a sample of that input is expected, as it would reach a SavedModel that takes encoded images. A text is text
there, or ``{"b64": text}``: one sample, where the model takes several inputs of tokens. A second signature, ``image``, ``text`` or
``audio``, says that. Byte strings are text or ``{"b64": text}`` in requests, and in answers ``{"b64": text}`` where the output's name
ends in ``_bytes`` or they are not UTF-8. NaN, Infinity and -Infinity are numbers in this protocol's JSON, in requests and answers.

A version is any text, where TensorFlow Serving has whole numbers. In a path it is not changed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from roadworthy.core.errors import InvalidRequest, RequestError
from roadworthy.core.types import Array, Arrays, Signature, TensorSpec
from roadworthy.serving.engine.dataplane import DataPlane, InferRequest, Target
from roadworthy.serving.engine.local import LocalEngine
from roadworthy.serving.protocols import nested_json as values
from roadworthy.serving.protocols.items import of_text
from roadworthy.serving.protocols.messages import NoSuchPath, Reply, Request, WrongMethod, error_json
from roadworthy.serving.protocols.routes import HttpRoute
from roadworthy.serving.protocols.schemas import json_body
from roadworthy.serving.protocols.tfserving import examples, models
from roadworthy.serving.protocols.tfserving.models import ModelReference
from roadworthy.serving.protocols.tfserving.schemas import SCHEMAS

FIND = (404, 503)
"""The statuses of a route that looks for a model."""
INFER = (404, 500, 503, 504)


class TensorFlowServing:
    """The protocol over one dataplane. A model's status needs the right ``inference``: it says why a version failed."""

    name, title = "tfserving", "TensorFlow Serving"
    schemas, error_schema = SCHEMAS, "Error"
    ignores_case = True

    def __init__(self, plane: DataPlane) -> None:
        self._plane = plane
        self.routes = tuple(self._table())

    def _table(self) -> Iterator[HttpRoute]:
        for version in ("", "/versions/{version}", "/labels/{label}"):
            path = f"/v1/models/{{model}}{version}"
            yield HttpRoute(
                "POST", f"{path}:predict", self.predict, "inference", "A prediction by rows (instances) or columns (inputs).",
                json_body("PredictResponse"), body=json_body("PredictRequest"), errors=INFER,
            )  # fmt: skip
            for verb, handler in (("classify", self.classify), ("regress", self.regress)):
                yield HttpRoute(
                    "POST", f"{path}:{verb}", handler, "inference", f"{verb.capitalize()} examples.", json_body("Results"),
                    body=json_body("ExampleRequest"), errors=INFER,
                )  # fmt: skip
            yield HttpRoute("GET", path, self.status, "inference", "The states of the versions.", json_body("VersionStates"), errors=FIND)
            yield HttpRoute("GET", f"{path}/metadata", self.metadata, "inference", "The signature.", json_body("SignatureDef"), errors=FIND)

    def refuse(self, request: Request, problem: RequestError) -> Reply:
        """``{"error": sentence}``. As TensorFlow Serving does, it answers 400 where others say that there is no such path or method."""
        if isinstance(problem, NoSuchPath | WrongMethod):
            nameless = request.path.lower() in ("/v1/models", "/v1/models/") and request.method in ("GET", "HEAD")
            problem = InvalidRequest(
                "Missing model name in request." if nameless else f"Malformed request: {request.method} {request.path}"
            )
        return error_json(problem)

    async def status(self, request: Request) -> Reply:
        """The state of every version, or of one."""
        found = models.statuses(self._plane, _reference(request))
        return _json(
            {
                "model_version_status": [
                    {"version": one.version, "state": one.state, "status": {"error_code": one.code, "error_message": one.message}}
                    for one in found
                ]
            }
        )

    async def metadata(self, request: Request) -> Reply:
        """The signature of a model."""
        return _json(_metadata(models.find(self._plane, _reference(request))))

    async def predict(self, request: Request) -> Reply:
        """A prediction by rows or by columns."""
        target, sent = self._read(request)
        rows = "instances" in sent
        if found := _items(target.model, sent):
            infer = InferRequest(target, items=found)
        else:
            rows, columns = _columns(target.model, sent)
            specs = {spec.name: spec for spec in target.model.signature.inputs}
            suspicious = values.booleans(request.body)
            arrays = {name: values.tensor(specs[name], given, suspicious=suspicious) for name, given in columns.items()}
            infer = InferRequest(target, target.model.signature.to_call(arrays) if rows else arrays)
        response = await self._plane.infer(infer)
        outputs = {spec.name: response.outputs[spec.name] for spec in target.model.signature.outputs}
        return _json({"predictions": _by_rows(target.model.signature, outputs)} if rows else {"outputs": _by_columns(outputs)})

    async def classify(self, request: Request) -> Reply:
        """The best classes of every example."""
        target, sent = self._read(request)
        given = _examples(sent)
        examples.check_classifies(target.model)
        response = await examples.infer(self._plane, target, given, rank=True, deadline=None)
        ranked = examples.classes(response, len(given))
        return _json({"results": [[[one.label, _score(one.score)] for one in row] for row in ranked]})

    async def regress(self, request: Request) -> Reply:
        """One number for every example."""
        target, sent = self._read(request)
        given = _examples(sent)
        spec = examples.regressed(target.model)
        response = await examples.infer(self._plane, target, given, rank=False, deadline=None)
        return _json({"results": values.jsonable(spec.name, examples.regressions(spec, response))})

    def _read(self, request: Request) -> tuple[Target, dict[str, Any]]:
        """What answers, and the JSON object that was sent; the body is read after the queue was found to have room."""
        target = models.pick(self._plane, _reference(request))
        sent = values.read(request.body, self._plane.limits.depth)
        if not isinstance(sent, dict):
            raise InvalidRequest("the request should be a JSON object")
        signature = sent.get("signature_name", "")
        if not isinstance(signature, str):
            raise InvalidRequest("'signature_name' key must be a string value.")
        models.check_signature(target.model, signature)
        return target, sent


def _reference(request: Request) -> ModelReference:
    parameters = request.parameters
    return ModelReference(parameters["model"], parameters.get("version"), parameters.get("label"))


# Reading


def _columns(model: LocalEngine, request: dict[str, Any]) -> tuple[bool, dict[str, Any]]:
    """Whether the request came in rows, and what it holds for each input."""
    if ("instances" in request) == ("inputs" in request):
        raise InvalidRequest("the request should have either 'instances' or 'inputs'")
    names = [spec.name for spec in model.signature.inputs]
    if "inputs" in request:
        return False, _by_name(names, request["inputs"])
    rows = request["instances"]
    if not isinstance(rows, list) or not rows:
        raise InvalidRequest("'instances' should be a list with one row at least")
    if not _named(rows[0]):
        if len(names) != 1:
            raise InvalidRequest(
                f"'instances' is a plain list, but the model takes several inputs: each row should be an object with {', '.join(names)}"
            )
        for index, row in enumerate(rows):
            if _named(row):
                raise InvalidRequest(f"row {index} of 'instances' is an object, and row 0 is not")
        return True, {names[0]: rows}
    wanted = set(names)
    for index, row in enumerate(rows):
        if not _named(row) or row.keys() != wanted:
            raise InvalidRequest(f"row {index} of 'instances' should be an object with just {', '.join(names)}")
    return True, {name: [row[name] for row in rows] for name in names}


def _by_name(names: list[str], given: Any) -> dict[str, Any]:
    if not _named(given):
        if len(names) != 1:
            raise InvalidRequest(
                f"'inputs' is a plain value, but the model takes several inputs: it should be an object with {', '.join(names)}"
            )
        return {names[0]: given}
    if missing := [name for name in names if name not in given]:
        raise InvalidRequest(f"Missing named input: {missing[0]} in 'inputs' object.")
    if unknown := [name for name in given if name not in names]:
        raise InvalidRequest(f"there is no input {unknown[0]!r}; the model takes {', '.join(names)}")
    return {name: given[name] for name in names}


def _named(value: object) -> bool:
    """Whether ``value`` is an object of values by name, and not ``{"b64": text}``."""
    return isinstance(value, dict) and not values.is_bytes(value)


def _items(model: LocalEngine, request: dict[str, Any]) -> tuple[bytes, ...]:
    """The images, texts or sounds of a request that holds some in place of the model's inputs; empty where it holds tensors."""
    if not model.takes_items or ("instances" in request) == ("inputs" in request):
        return ()
    given = _unnamed(model, request["instances"] if "instances" in request else request["inputs"])
    found = [_unnamed(model, one) for one in given] if isinstance(given, list) else [given]
    texts = model.kind == "text"
    if not found or not (values.is_bytes(found[0]) or (texts and isinstance(found[0], str))):
        return ()
    name = model.item_names[0]
    return tuple(of_text(one, f"input {name!r}") if texts and isinstance(one, str) else values.decoded(name, one) for one in found)


def _unnamed(model: LocalEngine, given: Any) -> Any:
    """What an object with nothing but an item by its name holds; else ``given``."""
    if isinstance(given, dict) and len(given) == 1 and (name := next(iter(given))) in model.item_names:
        return given[name]
    return given


def _examples(request: dict[str, Any]) -> list[examples.Example]:
    given = request.get("examples")
    if not isinstance(given, list) or not given:
        raise InvalidRequest("the request should have 'examples': a list with one object at least")
    context = _features(request["context"], "the request's context") if "context" in request else {}
    return [{**context, **_features(one, f"example {index}")} for index, one in enumerate(given)]


def _features(given: object, what: str) -> dict[str, list[Any]]:
    """Each feature's values as a list, bytes decoded, text encoded."""
    if not isinstance(given, dict):
        raise InvalidRequest(f"{what} should be an object of features")
    features = {name: value if isinstance(value, list) else [value] for name, value in given.items()}
    return {name: [values.decoded(name, one) if isinstance(one, dict) else one for one in listed] for name, listed in features.items()}


# Writing


def _by_rows(signature: Signature, outputs: Arrays) -> Any:
    """One value for each sample, or one object where there are several outputs."""
    counts = {spec.count(outputs[spec.name]) for spec in signature.outputs}
    count = counts.pop()
    if counts or count is None:
        raise InvalidRequest("the model's outputs do not have one row for each sample; ask by columns ('inputs')")
    rows = signature.to_rows(outputs, count)
    if len(rows) == 1:
        return _by_columns(rows)
    return [{name: values.jsonable(name, _row(array, index)) for name, array in rows.items()} for index in range(count)]


def _row(array: Array, index: int) -> Array:
    """One sample, as an array even where it is a single element."""
    return array[index, ...]


def _by_columns(outputs: Arrays) -> Any:
    if len(outputs) == 1:
        ((name, array),) = outputs.items()
        return values.jsonable(name, array)
    return {name: values.jsonable(name, array) for name, array in outputs.items()}


def _score(score: float) -> Any:
    return values.jsonable("", np.array(score, np.float32))


def _metadata(model: LocalEngine) -> dict[str, Any]:
    signatures = {
        name: {
            "inputs": {spec.name: _tensor(spec) for spec in inputs},
            "outputs": {spec.name: _tensor(spec) for spec in model.signature.outputs},
            "method_name": models.PREDICT,
            "defaults": {},
        }
        for name, inputs in models.input_signatures(model).items()
    }
    return {
        "model_spec": {"name": model.name, "signature_name": "", "version": model.version},
        "metadata": {"signature_def": {"signature_def": signatures}},
    }


def _tensor(spec: TensorSpec) -> dict[str, Any]:
    # 64-bit whole numbers are text in protobuf's JSON.
    shape = {"dim": [{"size": str(size), "name": ""} for size in models.sizes(spec)], "unknown_rank": False}
    return {"dtype": values.DATA_TYPES.get(spec.dtype, "DT_STRING"), "tensor_shape": shape, "name": models.tensor_name(spec)}


def _json(value: Any) -> Reply:
    return Reply(200, values.written(value))


def http_protocol(plane: DataPlane, grpc_port: int | None) -> TensorFlowServing:
    """The protocol over ``plane``; see ``protocols.discovery``."""
    return TensorFlowServing(plane)

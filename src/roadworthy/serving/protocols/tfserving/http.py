"""TensorFlow Serving over HTTP: status, metadata, predict by rows and by columns, classify, regress.

A bundle has one signature, ``serving_default``. An image reaches a model whose bundle says how images become its input as
``{"b64": text}`` where a sample of that input is expected, as it would reach a SavedModel that takes encoded images. Byte strings
are text or ``{"b64": text}`` on the way in; on the way out ``{"b64": text}`` where the output's name ends in ``_bytes`` or they
are no UTF-8. NaN, Infinity and -Infinity are words of this protocol's JSON both ways.

A version is any text, where TensorFlow Serving has whole numbers: it stands in a path as it is.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from roadworthy.core.errors import InvalidRequest, RequestError
from roadworthy.core.types import Array, Arrays, TensorSpec
from roadworthy.serving.engine.dataplane import DataPlane, InferenceFailed, InferRequest, Target
from roadworthy.serving.engine.local import LocalEngine
from roadworthy.serving.protocols import Call, Reply, Right, hints
from roadworthy.serving.protocols import nested_json as values
from roadworthy.serving.protocols.tfserving import examples, models
from roadworthy.serving.protocols.tfserving.models import Asked

_MODEL = r"/v1/models/([^/:]+)(?:/versions/([^/:]+)|/labels/([^/:]+))?"
_ASK = re.compile(rf"{_MODEL}:(classify|regress|predict)", re.IGNORECASE)
_SHOW = re.compile(rf"{_MODEL}(/metadata)?", re.IGNORECASE)


class TensorFlowServing:
    """The protocol over one dataplane."""

    name = "tfserving"

    def __init__(self, plane: DataPlane) -> None:
        self._plane = plane

    def owns(self, path: str) -> bool:
        """Whether the path is this protocol's."""
        return path[:4].lower() == "/v1/" or path.lower() == "/v1"

    def right(self, method: str, path: str) -> Right:
        """Everything asks for ``inference``: a model's status says why it failed, and is more than health."""
        return "inference"

    async def handle(self, call: Call) -> Reply:
        """The answer to ``call``; see the module's docstring."""
        model = ""
        try:
            if call.method == "POST" and (found := _ASK.fullmatch(call.path)):
                name, version, label, verb = found.groups()
                model = name if self._plane.serves(name) else ""
                body = await self._ask(verb.lower(), Asked(name, version, label), call.body)
            elif call.method in ("GET", "HEAD") and (found := _SHOW.fullmatch(call.path)):
                name, version, label, metadata = found.groups()
                model = name if self._plane.serves(name) else ""
                asked = Asked(name, version, label)
                body = _metadata(models.find(self._plane, asked)) if metadata else _status(models.statuses(self._plane, asked))
            elif call.path.lower() in ("/v1/models", "/v1/models/") and call.method in ("GET", "HEAD"):
                raise InvalidRequest("Missing model name in request.")
            else:
                raise InvalidRequest(f"Malformed request: {call.method} {call.path}")
        except RequestError as problem:
            return self._refused(problem, model)
        except InferenceFailed as problem:
            return Reply(500, _error(problem.message), model=model)
        return Reply(200, body, model=model)

    def refuse(self, problem: RequestError) -> Reply:
        """``{"error": sentence}`` with the status of ``problem``."""
        return self._refused(problem, "")

    def _refused(self, problem: RequestError, model: str) -> Reply:
        return Reply(problem.status, _error(problem.message), headers=hints(problem), model=model)

    async def _ask(self, verb: str, asked: Asked, body: bytes) -> bytes:
        target = models.pick(self._plane, asked)
        request = values.read(body, self._plane.limits.depth)
        if not isinstance(request, dict):
            raise InvalidRequest("the request should be a JSON object")
        signature = request.get("signature_name", "")
        if not isinstance(signature, str):
            raise InvalidRequest("'signature_name' key must be a string value.")
        models.check_signature(target.model, signature)
        if verb == "predict":
            return await self._predict(target, request, suspicious=values.booleans(body))
        return await self._results(target, request, verb)

    async def _predict(self, target: Target, request: dict[str, Any], *, suspicious: bool) -> bytes:
        rows, columns = _columns(target.model, request)
        if target.model.takes_images and (images := _images(target.model, columns)):
            infer = InferRequest(target, images=images)
        else:
            specs = {spec.name: spec for spec in target.model.signature.inputs}
            infer = InferRequest(
                target, {name: values.tensor(specs[name], given, suspicious=suspicious) for name, given in columns.items()}
            )
        response = await self._plane.infer(infer)
        outputs = {spec.name: response.outputs[spec.name] for spec in target.model.signature.outputs}
        return values.written({"predictions": _by_rows(outputs)} if rows else {"outputs": _by_columns(outputs)})

    async def _results(self, target: Target, request: dict[str, Any], verb: str) -> bytes:
        given = _examples(request)
        if verb == "classify":
            examples.check_classifies(target.model)
            response = await examples.infer(self._plane, target, given, rank=True, deadline=None)
            ranked = examples.classes(response, len(given))
            return values.written({"results": [[[one.label, _score(one.score)] for one in row] for row in ranked]})
        spec = examples.regressed(target.model)
        response = await examples.infer(self._plane, target, given, rank=False, deadline=None)
        return values.written({"results": values.jsonable(spec.name, examples.regressions(spec, response))})


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
                raise InvalidRequest(f"row {index} of 'instances' is an object, and row 0 is none")
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
    if strangers := [name for name in given if name not in names]:
        raise InvalidRequest(f"there is no input {strangers[0]!r}; the model takes {', '.join(names)}")
    return {name: given[name] for name in names}


def _named(value: object) -> bool:
    """Whether ``value`` is an object of values by name, and not one of bytes."""
    return isinstance(value, dict) and not values.is_bytes(value)


def _images(model: LocalEngine, columns: dict[str, Any]) -> tuple[bytes, ...]:
    """The encoded images of a request that holds some in place of the model's only input."""
    ((name, given),) = columns.items()
    if values.is_bytes(given):
        given = [given]
    if not isinstance(given, list) or not given or not isinstance(given[0], dict):
        return ()
    return tuple(values.decoded(name, one) for one in given)


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


def _by_rows(outputs: Arrays) -> Any:
    """One value for each sample, or one object where there are several outputs."""
    counts = {array.shape[0] if array.ndim else -1 for array in outputs.values()}
    if len(counts) != 1 or -1 in counts:
        raise InvalidRequest("the model's outputs do not have one row for each sample; ask by columns ('inputs')")
    if len(outputs) == 1:
        return _by_columns(outputs)
    ((count),) = counts
    return [{name: values.jsonable(name, _row(array, index)) for name, array in outputs.items()} for index in range(count)]


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


def _status(found: list[models.Status]) -> bytes:
    return values.written(
        {
            "model_version_status": [
                {"version": one.version, "state": one.state, "status": {"error_code": one.code, "error_message": one.message}}
                for one in found
            ]
        }
    )


def _metadata(model: LocalEngine) -> bytes:
    signature = {
        "inputs": {spec.name: _tensor(spec) for spec in model.signature.inputs},
        "outputs": {spec.name: _tensor(spec) for spec in model.signature.outputs},
        "method_name": models.PREDICT,
        "defaults": {},
    }
    return values.written(
        {
            "model_spec": {"name": model.name, "signature_name": "", "version": model.version},
            "metadata": {"signature_def": {"signature_def": {models.SERVING: signature}}},
        }
    )


def _tensor(spec: TensorSpec) -> dict[str, Any]:
    # 64-bit whole numbers are text in protobuf's JSON.
    shape = {"dim": [{"size": str(size), "name": ""} for size in models.sizes(spec)], "unknown_rank": False}
    return {"dtype": values.DATA_TYPES.get(spec.dtype, "DT_STRING"), "tensor_shape": shape, "name": models.tensor_name(spec)}


def _error(sentence: str) -> bytes:
    return values.written({"error": sentence})

"""TensorFlow Serving over gRPC: the same as over HTTP, and the reloading of the whole configuration.

A tensor comes in ``tensor_content`` or in the field of its type, and is answered in the latter. An image reaches a model whose bundle says
how images become its input as DT_STRING where that input is expected, or as a feature of that name.

TensorFlow Serving's versions are whole numbers, those of a bundle any text. A version that is not a number is requested and answered as a
version label. In a list of states it is version 0, with a message that says its name.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from roadworthy.core.errors import InvalidRequest
from roadworthy.core.types import BYTES, Array, TensorSpec
from roadworthy.serving.engine.dataplane import DataPlane, InferRequest, InferResponse
from roadworthy.serving.engine.local import LocalEngine
from roadworthy.serving.protocols.items import several
from roadworthy.serving.protocols.proto import tensorflow_error
from roadworthy.serving.protocols.proto import tensorflow_serving as tfs
from roadworthy.serving.protocols.proto.grpc_service import Caller, Service
from roadworthy.serving.protocols.tfserving import examples, models, tensors
from roadworthy.serving.protocols.tfserving.models import ModelReference
from roadworthy.serving.registry.commands import Configure, Replace

SIGNATURE = "signature_def"


class PredictionService:
    """Answers of the models of one dataplane."""

    def __init__(self, plane: DataPlane) -> None:
        self._plane = plane

    def service(self) -> Service:
        """The RPCs and their rights."""
        return Service(
            "tfserving",
            "tensorflow.serving.PredictionService",
            {
                "Predict": self.predict,
                "Classify": self.classify,
                "Regress": self.regress,
                "MultiInference": self.multi,
                "GetModelMetadata": self.metadata,
            },
        )

    async def predict(self, request: Any, caller: Caller) -> Any:
        """The outputs that the filter names, or all."""
        target = models.pick(self._plane, _reference(request, caller))
        model = target.model
        models.check_signature(model, request.model_spec.signature_name)
        wanted = _wanted(model, request.output_filter)
        limit = self._plane.limits.body
        feeds = {name: tensors.to_array(name, tensor, limit) for name, tensor in request.inputs.items()}
        if items := _items(model, feeds):
            infer = InferRequest(target, items=items, deadline=caller.deadline)
        else:
            infer = InferRequest(target, feeds, deadline=caller.deadline)
        response = await self._plane.infer(infer)
        answer = tfs.PredictResponse(model_spec=_spec(response))
        for name in wanted:
            tensors.fill(answer.outputs[name], response.outputs[name])
        return answer

    async def classify(self, request: Any, caller: Caller) -> Any:
        """The best classes of every example."""
        target = models.pick(self._plane, _reference(request, caller))
        models.check_signature(target.model, request.model_spec.signature_name)
        examples.check_classifies(target.model)
        given = _examples(request.input)
        response = await examples.infer(self._plane, target, given, rank=True, deadline=caller.deadline)
        return tfs.ClassificationResponse(result=_classified(response, len(given)), model_spec=_spec(response))

    async def regress(self, request: Any, caller: Caller) -> Any:
        """One number for every example."""
        target = models.pick(self._plane, _reference(request, caller))
        models.check_signature(target.model, request.model_spec.signature_name)
        output = examples.regressed(target.model)
        response = await examples.infer(self._plane, target, _examples(request.input), rank=False, deadline=caller.deadline)
        return tfs.RegressionResponse(result=_regressed(output, response), model_spec=_spec(response))

    async def multi(self, request: Any, caller: Caller) -> Any:
        """Classify and regress on the same examples, in one call of the model."""
        if not request.tasks:
            raise InvalidRequest("the request has no tasks")
        target = models.pick(self._plane, _reference(request.tasks[0], caller))
        for task in request.tasks:
            if task.model_spec.name != target.model.name:
                raise InvalidRequest("all tasks of a request should be for the same model")
            models.check_signature(target.model, task.model_spec.signature_name)
            if task.method_name not in (models.CLASSIFY, models.REGRESS):
                raise InvalidRequest(f"there is no method {task.method_name!r}; there are {models.CLASSIFY} and {models.REGRESS}")
        methods = {task.method_name for task in request.tasks}
        if models.CLASSIFY in methods:
            examples.check_classifies(target.model)
        output = examples.regressed(target.model) if models.REGRESS in methods else None
        given = _examples(request.input)
        response = await examples.infer(self._plane, target, given, rank=models.CLASSIFY in methods, deadline=caller.deadline)
        answer = tfs.MultiInferenceResponse()
        for task in request.tasks:
            result = answer.results.add(model_spec=_spec(response))
            if task.method_name == models.REGRESS and output is not None:
                result.regression_result.CopyFrom(_regressed(output, response))
            else:
                result.classification_result.CopyFrom(_classified(response, len(given)))
        return answer

    async def metadata(self, request: Any, caller: Caller) -> Any:
        """The signature; TensorFlow Serving has no other metadata."""
        model = models.find(self._plane, _reference(request, caller))
        if not request.metadata_field or any(field != SIGNATURE for field in request.metadata_field):
            raise InvalidRequest(f"metadata_field should be {SIGNATURE!r}, which is the only one there is")
        answer = tfs.GetModelMetadataResponse(model_spec=_version(model.name, model.version))
        answer.metadata[SIGNATURE].Pack(_signatures(model))
        return answer


class ModelService:
    """The states of the models of one server, and their replacement."""

    def __init__(self, plane: DataPlane) -> None:
        self._plane = plane

    def service(self) -> Service:
        """The RPCs and their rights."""
        return Service(
            "tfserving",
            "tensorflow.serving.ModelService",
            {"GetModelStatus": self.status, "HandleReloadConfigRequest": self.reload},
            {"HandleReloadConfigRequest": "management"},
        )

    async def status(self, request: Any, caller: Caller) -> Any:
        """The state of every version, or of the one that is asked for."""
        answer = tfs.GetModelStatusResponse()
        for status in models.statuses(self._plane, _reference(request, caller)):
            one = answer.model_version_status.add(state=tfs.ModelVersionStatus.State.Value(status.state))
            number = models.number(status.version)
            one.version = number or 0
            one.status.error_code = tensorflow_error.Code.Value(status.code)
            unnamed = (
                f"this is version {status.version!r}, which is not a whole number: request it as a version label" if number is None else ""
            )
            one.status.error_message = "; ".join(filter(None, (unnamed, status.message)))
        return answer

    async def reload(self, request: Any, caller: Caller) -> Any:
        """Serve these models from now on; all others are unloaded."""
        if request.config.WhichOneof("config") != "model_config_list":
            raise InvalidRequest("the request should have a model_config_list")
        configured = tuple(map(_configured, request.config.model_config_list.config))
        if len({one.name for one in configured}) != len(configured):
            raise InvalidRequest("a model is configured twice")
        await self._plane.manage(Replace(configured))
        return tfs.ReloadConfigResponse(status={"error_code": tensorflow_error.Code.Value("OK")})


# Reading


def _reference(request: Any, caller: Caller) -> ModelReference:
    if not request.HasField("model_spec") or not request.model_spec.name:
        raise InvalidRequest("the request should have a model_spec with a name")
    spec = request.model_spec
    caller.model = spec.name
    match spec.WhichOneof("version_choice"):
        case "version":
            return ModelReference(spec.name, str(spec.version.value))
        case "version_label":
            return ModelReference(spec.name, label=spec.version_label)
    return ModelReference(spec.name)


def _wanted(model: LocalEngine, given: Sequence[str]) -> list[str]:
    names = [spec.name for spec in model.signature.outputs]
    if not given:
        return names
    if unknown := [name for name in given if name not in names]:
        raise InvalidRequest(f"there is no output {unknown[0]!r}; the model gives {', '.join(names)}")
    if len(set(given)) != len(given):
        raise InvalidRequest("the output_filter names an output twice")
    return list(given)


def _items(model: LocalEngine, feeds: dict[str, Array]) -> tuple[bytes, ...]:
    """The images, texts or sounds of a request that holds some in place of the model's inputs."""
    if not model.takes_items or len(feeds) != 1:
        return ()
    ((name, array),) = feeds.items()
    if array.dtype != BYTES or name not in model.item_names:
        return ()
    if array.ndim > 1 or not array.size:
        raise InvalidRequest(f"input {name!r} has shape {list(array.shape)}; {several(model)} are [n], one byte string a sample")
    return tuple(array.reshape(-1).tolist())


def _examples(given: Any) -> list[examples.Example]:
    match given.WhichOneof("kind"):
        case "example_list":
            return [_features(one) for one in given.example_list.examples]
        case "example_list_with_context":
            context = _features(given.example_list_with_context.context)
            return [{**context, **_features(one)} for one in given.example_list_with_context.examples]
    return []


def _features(example: Any) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for name, feature in example.features.feature.items():
        kind = feature.WhichOneof("kind")
        found[name] = list(getattr(feature, kind).value) if kind else []
    return found


def _configured(config: Any) -> Configure:
    if not config.name or not config.base_path:
        raise InvalidRequest("every model of a configuration should have a name and a base_path")
    policy = config.model_version_policy
    labels = {label: str(version) for label, version in config.version_labels.items()}
    match policy.WhichOneof("policy_choice"):
        case "specific":
            if not policy.specific.versions:
                raise InvalidRequest(f"the version policy of {config.name} names no version")
            versions = tuple(map(str, policy.specific.versions))
            return Configure(name=config.name, path=config.base_path, versions=versions, labels=labels)
        case "all":
            return Configure(name=config.name, path=config.base_path, latest=0, labels=labels)
    return Configure(name=config.name, path=config.base_path, latest=policy.latest.num_versions or 1, labels=labels)


# Writing


def _spec(response: InferResponse) -> Any:
    spec = _version(response.model, response.version)
    spec.signature_name = models.SERVING
    return spec


def _version(name: str, version: str) -> Any:
    spec = tfs.ModelSpec(name=name)
    if (number := models.number(version)) is None:
        spec.version_label = version
    else:
        spec.version.value = number
    return spec


def _signatures(model: LocalEngine) -> Any:
    found = tfs.SignatureDefMap()
    for name, inputs in models.input_signatures(model).items():
        signature = found.signature_def[name]
        signature.method_name = models.PREDICT
        for spec in inputs:
            _describe(signature.inputs[spec.name], spec)
        for spec in model.signature.outputs:
            _describe(signature.outputs[spec.name], spec)
    return found


def _describe(info: Any, spec: TensorSpec) -> None:
    info.name, info.dtype = models.tensor_name(spec), tensors.enum(spec.dtype)
    info.tensor_shape.SetInParent()
    for size in models.sizes(spec):
        info.tensor_shape.dim.add(size=size)


def _classified(response: InferResponse, count: int) -> Any:
    result = tfs.ClassificationResult()
    for row in examples.classes(response, count):
        classes = result.classifications.add().classes
        for one in row:
            classes.add(label=one.label, score=one.score)
    return result


def _regressed(output: TensorSpec, response: InferResponse) -> Any:
    result = tfs.RegressionResult()
    for value in examples.regressions(output, response).tolist():
        result.regressions.add(value=value)
    return result

"""TorchServe's inference and management over gRPC: what the HTTP side does, in its messages."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

import orjson

from roadworthy.serving.engine.dataplane import DataPlane
from roadworthy.serving.protocols.proto import torchserve_inference, torchserve_management
from roadworthy.serving.protocols.proto.grpc_service import Caller, Service
from roadworthy.serving.protocols.torchserve.forms import FormField
from roadworthy.serving.protocols.torchserve.inference import predict
from roadworthy.serving.protocols.torchserve.management import CommandResult, TorchServeManagement

PROTOCOL = "torchserve"


def services(plane: DataPlane) -> tuple[Service, ...]:
    """Both services over one dataplane. ``StreamPredictions2``, which is for handlers that keep a state, is not offered."""
    inference, management = TorchServeInference(plane), TorchServeManagementRpcs(plane)
    return (
        Service(
            PROTOCOL,
            "org.pytorch.serve.grpc.inference.InferenceAPIsService",
            {"Ping": inference.ping, "Predictions": inference.predictions, "StreamPredictions": inference.stream_predictions},
            {"Ping": "open"},
        ),
        Service(
            PROTOCOL,
            "org.pytorch.serve.grpc.management.ManagementAPIsService",
            management.methods,
            dict.fromkeys(management.methods, "management"),
        ),
    )


class TorchServeInference:
    """Health and predictions; the answer's bytes are those of the HTTP side."""

    def __init__(self, plane: DataPlane) -> None:
        self._plane = plane

    async def ping(self, request: Any, caller: Caller) -> Any:
        """In words; the code alone says only that the server answers."""
        healthy = self._plane.opened and not self._plane.draining
        return torchserve_inference.TorchServeHealthResponse(health="Healthy" if healthy else "Unhealthy")

    async def predictions(self, request: Any, caller: Caller) -> Any:
        """The default version's answer, or the named one's; ``input`` holds fields as a form does."""
        caller.model = request.model_name
        fields = {name: FormField(data) for name, data in request.input.items()}
        answer = await predict(self._plane, request.model_name, request.model_version or None, fields, caller.deadline)
        return torchserve_inference.PredictionResponse(prediction=answer)

    async def stream_predictions(self, request: Any, caller: Caller) -> AsyncIterator[Any]:
        """The same as a stream of one."""
        yield await self.predictions(request, caller)


class TorchServeManagementRpcs:
    """Management; ``msg`` is the HTTP side's answer as text, and the code a refusal's."""

    def __init__(self, plane: DataPlane) -> None:
        self._management = TorchServeManagement(plane)
        self.methods = {
            "RegisterModel": self.register,
            "ScaleWorker": self.scale,
            "DescribeModel": self.describe,
            "ListModels": self.models,
            "SetDefault": self.set_default,
            "UnregisterModel": self.unregister,
        }

    async def register(self, request: Any, caller: Caller) -> Any:
        """See ``TorchServeManagement.register``."""
        return _told(await self._management.register(_parameters(request)))

    async def scale(self, request: Any, caller: Caller) -> Any:
        """See ``TorchServeManagement.scale``."""
        return _told(await self._management.scale(request.model_name, request.model_version or None, _parameters(request)))

    async def describe(self, request: Any, caller: Caller) -> Any:
        """See ``TorchServeManagement.describe``."""
        return _json(await self._management.describe(request.model_name, request.model_version or None))

    async def models(self, request: Any, caller: Caller) -> Any:
        """See ``TorchServeManagement.models``."""
        return _json(self._management.models(_parameters(request)))

    async def set_default(self, request: Any, caller: Caller) -> Any:
        """See ``TorchServeManagement.set_default``."""
        return _told(await self._management.set_default(request.model_name, request.model_version))

    async def unregister(self, request: Any, caller: Caller) -> Any:
        """See ``TorchServeManagement.unregister``."""
        return _told(await self._management.unregister(request.model_name, request.model_version or None))


def _parameters(request: Any) -> Mapping[str, str]:
    """The fields that were set, as the HTTP side's query has them."""
    return {field.name: str(value).lower() if isinstance(value, bool) else str(value) for field, value in request.ListFields()}


def _told(status: CommandResult) -> Any:
    return _json({"status": status.sentence})


def _json(value: Any) -> Any:
    return torchserve_management.ManagementResponse(msg=orjson.dumps(value, option=orjson.OPT_INDENT_2).decode())

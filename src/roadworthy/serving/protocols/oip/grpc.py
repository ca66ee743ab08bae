"""The Open Inference Protocol over gRPC, with Triton's extensions: the same as over HTTP.

Tensors come typed (``contents``) or raw (``raw_input_contents``: for every input or for none), and are always answered raw. Images and
files reach a model as BYTES, and are answered as over HTTP. A stream is answered in the order of its requests, which may share
a call of the model. Shared memory, tracing and logging are not offered.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Mapping
from typing import Any

import numpy as np

from roadworthy.core.errors import InvalidRequest, RequestError
from roadworthy.core.exact import cast_exactly
from roadworthy.core.types import Array
from roadworthy.core.version import __version__
from roadworthy.serving.engine.dataplane import DataPlane, InferenceFailed, InferRequest
from roadworthy.serving.engine.local import LocalEngine
from roadworthy.serving.protocols.messages import NotOffered
from roadworthy.serving.protocols.oip import model_info as describe
from roadworthy.serving.protocols.oip import parameters, repository, tensors
from roadworthy.serving.protocols.oip.inputs import OipInputs
from roadworthy.serving.protocols.oip.outputs import Wanted, chosen, wants_placement, wants_ranking
from roadworthy.serving.protocols.proto import inference
from roadworthy.serving.protocols.proto.grpc_service import Caller, Method, Service

CONTENTS = {
    "BOOL": ("bool_contents", "bool"), "INT8": ("int_contents", "int32"), "INT16": ("int_contents", "int32"),
    "INT32": ("int_contents", "int32"), "INT64": ("int64_contents", "int64"), "UINT8": ("uint_contents", "uint32"),
    "UINT16": ("uint_contents", "uint32"), "UINT32": ("uint_contents", "uint32"), "UINT64": ("uint64_contents", "uint64"),
    "FP32": ("fp32_contents", "float32"), "FP64": ("fp64_contents", "float64"),
}  # fmt: skip
"""The field of InferTensorContents by datatype, and what it holds; FP16 and BF16 have none."""

WINDOW = 32
"""Requests of one stream that are answered at a time."""

NOT_OFFERED = (
    *(f"{kind}SharedMemory{verb}" for kind in ("System", "Cuda") for verb in ("Status", "Register", "Unregister")),
    "TraceSetting", "LogSettings",
)  # fmt: skip


class InferenceService:
    """The service over one dataplane."""

    def __init__(self, plane: DataPlane) -> None:
        self._plane = plane

    def service(self) -> Service:
        """The RPCs and their rights."""
        methods: dict[str, Method] = {
            "ServerLive": self.live,
            "ServerReady": self.ready,
            "ModelReady": self.model_ready,
            "ServerMetadata": self.metadata,
            "ModelMetadata": self.model_metadata,
            "ModelInfer": self.infer,
            "ModelStreamInfer": self.stream,
            "ModelConfig": self.config,
            "ModelStatistics": self.statistics,
            "RepositoryIndex": self.index,
            "RepositoryModelLoad": self.load,
            "RepositoryModelUnload": self.unload,
            **dict.fromkeys(NOT_OFFERED, _not_offered),
        }
        return Service(
            "oip",
            "inference.GRPCInferenceService",
            methods,
            {
                **dict.fromkeys(("ServerLive", "ServerReady"), "open"),
                **dict.fromkeys(("RepositoryIndex", "RepositoryModelLoad", "RepositoryModelUnload", *NOT_OFFERED), "management"),
            },
        )

    async def live(self, request: Any, caller: Caller) -> Any:
        """A server that answers is live."""
        return inference.ServerLiveResponse(live=True)

    async def ready(self, request: Any, caller: Caller) -> Any:
        """Whether every model was checked and one answers."""
        return inference.ServerReadyResponse(ready=self._plane.ready)

    async def model_ready(self, request: Any, caller: Caller) -> Any:
        """Whether an inference of that model and version would find it; an unknown model is not an error, as in Triton."""
        caller.model = request.name
        try:
            self._plane.find(request.name, request.version or None)
        except RequestError:
            return inference.ModelReadyResponse(ready=False)
        return inference.ModelReadyResponse(ready=not self._plane.draining)

    async def metadata(self, request: Any, caller: Caller) -> Any:
        """Of the server."""
        return inference.ServerMetadataResponse(name="roadworthy", version=__version__, extensions=describe.EXTENSIONS)

    async def model_metadata(self, request: Any, caller: Caller) -> Any:
        """As over HTTP, without the parts that the messages have no field for."""
        model = self._find(request, caller)
        return _filled(inference.ModelMetadataResponse, describe.metadata(model, self._plane.catalogue.find(model.name)))

    async def config(self, request: Any, caller: Caller) -> Any:
        """Triton's ModelConfig."""
        model = self._find(request, caller)
        return _filled(inference.ModelConfigResponse, {"config": describe.configuration(model, self._plane.catalogue.find(model.name))})

    async def statistics(self, request: Any, caller: Caller) -> Any:
        """Of every version that serves, of a model's, or of one."""
        caller.model = request.name
        counters = await self._plane.totals()
        found = describe.statistics(counters, self._plane.catalogue, request.name or None, request.version or None)
        return _filled(inference.ModelStatisticsResponse, found)

    async def index(self, request: Any, caller: Caller) -> Any:
        """Every version, or those that are ready."""
        return _filled(inference.RepositoryIndexResponse, {"models": repository.index(self._plane.catalogue, ready=request.ready)})

    async def load(self, request: Any, caller: Caller) -> Any:
        """Load a version; the answer comes when it serves."""
        caller.model = _of_repository(request)
        await self._plane.manage(repository.load(request.model_name, _parameters(request)))
        return inference.RepositoryModelLoadResponse()

    async def unload(self, request: Any, caller: Caller) -> Any:
        """Unload a model; the answer comes when it no longer serves."""
        caller.model = _of_repository(request)
        await self._plane.manage(repository.unload(request.model_name, _parameters(request)))
        return inference.RepositoryModelUnloadResponse()

    async def infer(self, request: Any, caller: Caller) -> Any:
        """One inference; see the module's docstring."""
        caller.model = request.model_name
        return await self._infer(request, caller)

    async def stream(self, requests: AsyncIterator[Any], caller: Caller) -> AsyncIterator[Any]:
        """Answers in the order of the requests. A refusal is the answer to its request, and the stream goes on."""
        pending: asyncio.Queue[asyncio.Task[Any] | None] = asyncio.Queue(WINDOW)

        async def read() -> None:
            try:
                async for request in requests:
                    caller.model = request.model_name
                    await pending.put(asyncio.create_task(self._streamed(request, caller)))
            finally:
                await pending.put(None)

        reader = asyncio.create_task(read())
        try:
            while (task := await pending.get()) is not None:
                yield await task
            await reader
        finally:
            reader.cancel()
            while not pending.empty():
                if (task := pending.get_nowait()) is not None:
                    task.cancel()

    async def _streamed(self, request: Any, caller: Caller) -> Any:
        try:
            response = await self._infer(request, caller)
        except (RequestError, InferenceFailed) as problem:
            refusal = inference.ModelInferResponse(model_name=request.model_name, id=request.id)
            return inference.ModelStreamInferResponse(error_message=problem.message, infer_response=refusal)
        if request.parameters["triton_enable_empty_final_response"].bool_param:
            # Some clients expect any number of answers to a request: this one is the last.
            response.parameters["triton_final_response"].bool_param = True
        return inference.ModelStreamInferResponse(infer_response=response)

    async def _infer(self, request: Any, caller: Caller) -> Any:
        target = self._plane.pick(request.model_name, request.model_version or None)
        model, asked = target.model, _parameters(request)
        inputs, wanted = _inputs(request, model), _wanted(request)
        deadline = min((each for each in (caller.deadline, parameters.deadline(asked)) if each is not None), default=None)
        ranked = wants_ranking(model, wanted, whole=bool(inputs.items))
        answer = await self._plane.infer(InferRequest(target, inputs.feeds, inputs.items, ranked, deadline, wants_placement(model, wanted)))
        response = inference.ModelInferResponse(model_name=answer.model, model_version=answer.version, id=request.id)
        for name, array in chosen(answer, model, wanted):
            response.outputs.add(name=name, datatype=tensors.datatype_of(name, array), shape=array.shape)
            response.raw_output_contents.append(bytes(tensors.to_binary(array)))
        return response

    def _find(self, request: Any, caller: Caller) -> LocalEngine:
        caller.model = request.name
        return self._plane.find(request.name, request.version or None)


async def _not_offered(request: Any, caller: Caller) -> Any:
    raise NotOffered("shared memory, trace settings and log settings are not offered; traces and logs are set when the server is started")


def _inputs(request: Any, model: LocalEngine) -> OipInputs:
    inputs = OipInputs(model)
    raw = request.raw_input_contents
    if raw and len(raw) != len(request.inputs):
        raise InvalidRequest(f"raw_input_contents has {len(raw)} elements for {len(request.inputs)} inputs; it holds all of them, or none")
    for tensor, data in zip(request.inputs, raw or [None] * len(request.inputs), strict=True):
        name, shape = tensor.name, tensors.shape_of(tensor.name, list(tensor.shape))
        if "shared_memory_region" in tensor.parameters:
            raise NotOffered(f"input {name!r} is in shared memory, which is not offered")
        if data is not None:
            if tensor.HasField("contents"):
                raise InvalidRequest(f"input {name!r} has both contents and raw_input_contents")
            inputs.add_binary(name, tensor.datatype, shape, memoryview(data))
        elif tensor.datatype == tensors.BYTES:
            inputs.add_strings(name, shape, tensor.contents.bytes_contents)
        else:
            inputs.add_array(name, _typed(name, tensor.datatype, shape, tensor.contents))
    inputs.check_any()
    return inputs


def _typed(name: str, datatype: str, shape: tuple[int, ...], contents: Any) -> Array:
    """The array of an input whose elements stand in the field of their type."""
    dtype = tensors.dtype_of(name, datatype)
    if datatype not in CONTENTS:
        raise InvalidRequest(f"input {name!r} is {datatype}, which has no typed contents; send it in raw_input_contents")
    field, held = CONTENTS[datatype]
    elements = getattr(contents, field)
    if len(elements) != math.prod(shape):
        raise InvalidRequest(f"input {name!r} has shape {list(shape)}, {math.prod(shape)} elements; its {field} has {len(elements)}")
    return cast_exactly(name, np.array(elements, dtype=held).reshape(shape), dtype)


def _wanted(request: Any) -> Wanted:
    """The outputs by name; a request that names none gets all."""
    wanted: dict[str, int] = {}
    for output in request.outputs:
        asked = _parameters(output)
        if "shared_memory_region" in asked:
            raise NotOffered(f"output {output.name!r} is requested in shared memory, which is not offered")
        wanted[output.name] = parameters.whole(asked, "classification")
    return wanted or None


def _parameters(message: Any) -> Mapping[str, Any]:
    """A message's parameters as Python values, without those that have no value."""
    chosen = ((name, parameter, parameter.WhichOneof("parameter_choice")) for name, parameter in message.parameters.items())
    return {name: getattr(parameter, kind) for name, parameter, kind in chosen if kind is not None}


def _of_repository(request: Any) -> str:
    """The model's name; there is one repository, without a name."""
    if request.repository_name:
        raise NotOffered(f"this server has one model repository, and it is not called {request.repository_name!r}; leave the name out")
    return str(request.model_name)


def _filled(kind: Any, values: Mapping[str, Any]) -> Any:
    """A message with the values that HTTP has in JSON, as far as the message has fields for them."""
    from google.protobuf.json_format import ParseDict

    return ParseDict(values, kind(), ignore_unknown_fields=True)

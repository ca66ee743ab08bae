"""Triton's ``config.pbtxt`` as data, both ways: what a model repository states about one model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from roadworthy.core.errors import RoadworthyError
from roadworthy.core.text import first_line
from roadworthy.core.types import BYTES, UNKNOWN
from roadworthy.other_servers import proto
from roadworthy.other_servers.versions import VersionPolicy

FILE = "config.pbtxt"
WARMUP = "warmup"
"""The folder of the files of ``model_warmup``."""
LONGEST = 2**20
"""Bytes of a configuration that are read at most."""
INTRA, INTER = "intra_op_thread_count", "inter_op_thread_count"
"""The parameters of the backend for ONNX Runtime that say how many threads it has."""
ANY = -1
"""A dimension of any size."""
DTYPES = {
    "BOOL": "bool", "UINT8": "uint8", "UINT16": "uint16", "UINT32": "uint32", "UINT64": "uint64", "INT8": "int8", "INT16": "int16",
    "INT32": "int32", "INT64": "int64", "FP16": "float16", "FP32": "float32", "FP64": "float64", "STRING": BYTES, "BF16": "bfloat16",
    "INVALID": UNKNOWN,
}  # fmt: skip
"""NumPy's names by Triton's (``TYPE_FP32``)."""
BACKENDS = {
    "onnxruntime_onnx": "onnxruntime", "pytorch_libtorch": "pytorch", "tensorflow_savedmodel": "tensorflow",
    "tensorflow_graphdef": "tensorflow", "tensorrt_plan": "tensorrt", "ensemble": "ensemble",
}  # fmt: skip
"""The backend that each of the older ``platform`` names means."""


@dataclass(frozen=True)
class TritonTensor:
    """``dims`` leave the batch out where the model is batched; the model gets the shape ``reshape`` in their place, where it is set.

    ``labels`` is the name of a file with a class a line.
    """

    name: str
    dtype: str
    dims: tuple[int, ...]
    reshape: tuple[int, ...] | None = None
    labels: str = ""

    @property
    def model_dims(self) -> tuple[int, ...]:
        """The dimensions that the model itself has, without the batch where it is batched."""
        return self.dims if self.reshape is None else self.reshape


@dataclass(frozen=True)
class WarmupInput:
    """One input of a request before the model is ready; ``file`` holds its bytes."""

    name: str
    dtype: str
    dims: tuple[int, ...]
    file: str


@dataclass(frozen=True)
class Warmup:
    """A request that the server makes before the model is ready."""

    name: str
    batch_size: int
    inputs: tuple[WarmupInput, ...]


@dataclass(frozen=True)
class Instances:
    """``count`` copies of the model on devices of the ``kind`` (``KIND_CPU``); 0 stands for one."""

    count: int
    kind: str
    gpus: tuple[int, ...] = ()


@dataclass(frozen=True)
class TritonConfig:
    """One model's configuration. ``max_batch_size`` is 0 where the first dimension of its tensors is not a batch.

    ``name`` may be empty: it is the folder's then. ``platform`` is an older word for ``backend``, ``file`` the model's file where it does
    not have the usual name. ``batching`` says whether requests are gathered into one call, ``preferred`` in which sizes. ``scheduling`` is
    the word for another scheduler: ``sequence_batching`` or ``ensemble_scheduling``.
    """

    name: str
    backend: str
    inputs: tuple[TritonTensor, ...]
    outputs: tuple[TritonTensor, ...]
    max_batch_size: int = 0
    platform: str = ""
    file: str = ""
    versions: VersionPolicy = VersionPolicy()  # noqa: RUF009 (it is frozen)
    instances: tuple[Instances, ...] = ()
    parameters: tuple[tuple[str, str], ...] = ()
    batching: bool = False
    preferred: tuple[int, ...] = ()
    scheduling: str = ""
    warmups: tuple[Warmup, ...] = ()

    @property
    def runs_on(self) -> str:
        """The backend, whichever word it is stated by; empty where it is left to the server."""
        return self.backend or BACKENDS.get(self.platform, self.platform)

    def parameter(self, name: str) -> str:
        """The value of a parameter, empty where it is not set."""
        return dict(self.parameters).get(name, "")


def parse(data: bytes, what: str, error: type[RoadworthyError]) -> TritonConfig:
    """The configuration in ``data``; raises ``error``, naming ``what``, for text that is not one: a field or a word that Triton lacks."""
    from google.protobuf import text_format

    if len(data) > LONGEST:
        raise error(f"{what} is larger than the {LONGEST} bytes of a configuration that are read")
    message = proto.model_config()
    try:
        text_format.Parse(data.decode(), message)
    except (text_format.ParseError, UnicodeDecodeError, RecursionError) as problem:
        raise error(f"{what} is not a configuration of Triton: {first_line(problem)}") from None
    return _config(message)


def text(config: TritonConfig) -> str:
    """``config`` as the text of a ``config.pbtxt``."""
    from google.protobuf import text_format

    message = proto.model_config()
    message.name, message.backend, message.platform = config.name, config.backend, config.platform
    message.max_batch_size, message.default_model_filename = config.max_batch_size, config.file
    for tensors, repeated in ((config.inputs, message.input), (config.outputs, message.output)):
        for tensor in tensors:
            written = repeated.add(name=tensor.name, data_type=_type_number(message, tensor.dtype), dims=tensor.dims)
            if tensor.reshape is not None:
                written.reshape.SetInParent()
                written.reshape.shape.extend(tensor.reshape)
            if tensor.labels:
                written.label_filename = tensor.labels
    for group in config.instances:
        written = message.instance_group.add(count=group.count, gpus=group.gpus)
        written.kind = type(written).Kind.Value(group.kind)
    for key, value in config.parameters:
        message.parameters[key].string_value = value
    if config.batching:
        message.dynamic_batching.SetInParent()
        message.dynamic_batching.preferred_batch_size.extend(config.preferred)
    if config.versions.specific:
        message.version_policy.specific.versions.extend(config.versions.specific)
    elif config.versions.latest != 1:
        message.version_policy.all.SetInParent()
    for warmup in config.warmups:
        request = message.model_warmup.add(name=warmup.name, batch_size=warmup.batch_size)
        for one in warmup.inputs:
            entry = request.inputs[one.name]
            entry.data_type, entry.input_data_file = _type_number(message, one.dtype), one.file
            entry.dims.extend(one.dims)
    return str(text_format.MessageToString(message))


def _config(message: Any) -> TritonConfig:
    policy = message.version_policy
    latest = None if policy.WhichOneof("policy_choice") == "all" else policy.latest.num_versions or 1
    scheduling = message.WhichOneof("scheduling_choice") or ""
    return TritonConfig(
        name=message.name,
        backend=message.backend,
        platform=message.platform,
        file=message.default_model_filename,
        max_batch_size=message.max_batch_size,
        inputs=tuple(_tensor(message, one) for one in message.input),
        outputs=tuple(_tensor(message, one) for one in message.output),
        versions=VersionPolicy(latest, tuple(policy.specific.versions)),
        instances=tuple(
            Instances(one.count, one.DESCRIPTOR.enum_types_by_name["Kind"].values_by_number[one.kind].name, tuple(one.gpus))
            for one in message.instance_group
        ),
        parameters=tuple(sorted((key, value.string_value) for key, value in message.parameters.items())),
        batching=scheduling == "dynamic_batching",
        preferred=tuple(message.dynamic_batching.preferred_batch_size),
        scheduling="" if scheduling == "dynamic_batching" else scheduling,
        warmups=tuple(_warmup(message, one) for one in message.model_warmup),
    )


def _tensor(message: Any, tensor: Any) -> TritonTensor:
    reshape = tuple(tensor.reshape.shape) if tensor.HasField("reshape") else None
    labels = getattr(tensor, "label_filename", "")
    return TritonTensor(tensor.name, _dtype(message, tensor.data_type), tuple(tensor.dims), reshape, labels)


def _warmup(message: Any, warmup: Any) -> Warmup:
    inputs = tuple(
        WarmupInput(name, _dtype(message, one.data_type), tuple(one.dims), one.input_data_file)
        for name, one in sorted(warmup.inputs.items())
    )
    return Warmup(warmup.name, warmup.batch_size, inputs)


def _dtype(message: Any, number: int) -> str:
    return DTYPES[_types(message).values_by_number[number].name.removeprefix("TYPE_")]


def _type_number(message: Any, dtype: str) -> int:
    name = next(word for word, ours in DTYPES.items() if ours == dtype)
    return int(_types(message).values_by_name[f"TYPE_{name}"].number)


def _types(message: Any) -> Any:
    return message.DESCRIPTOR.file.enum_types_by_name["DataType"]

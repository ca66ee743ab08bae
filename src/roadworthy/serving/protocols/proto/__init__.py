"""Messages and services of the gRPC protocols, from descriptor sets in pools of their own.

The pools are separate because TensorFlow registers messages of the same names in the default pool of the process: a worker with
TensorFlow as its runtime needs both. The sets are compiled from ``proto/`` by ``compile.py``; no generated code is
kept. protobuf is imported with the first message that is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from roadworthy.core import descriptors
from roadworthy.core.errors import BackendMissing, InvalidRequest
from roadworthy.other_servers import proto as other_servers

FAMILIES = {
    "inference": ("inference.proto",),
    "health": ("health.proto",),
    "tensorflow": ("tensorflow.proto", "tensorflow_error.proto", "tensorflow_serving.proto"),
    "torchserve": ("rpc_status.proto", "torchserve_inference.proto", "torchserve_management.proto"),
}
"""The files of each descriptor set, each after those that it imports."""
IMPORTED = {"inference": ((other_servers.__name__, "model_config"),)}
"""The sets of other packages that a set needs."""


class ProtoPackage:
    """The messages of one protobuf package as classes, and its enums, by attribute: ``inference.ModelInferRequest``."""

    def __init__(self, family: str, name: str) -> None:
        self._family, self._name = family, name

    def __getattr__(self, name: str) -> Any:
        from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper
        from google.protobuf.message_factory import GetMessageClass

        pool = _pool(self._family)
        found: Any
        try:
            found = GetMessageClass(pool.FindMessageTypeByName(f"{self._name}.{name}"))
        except KeyError:
            try:
                found = EnumTypeWrapper(pool.FindEnumTypeByName(f"{self._name}.{name}"))
            except KeyError:
                raise AttributeError(f"package {self._name} has no {name}") from None
        setattr(self, name, found)
        return found


inference = ProtoPackage("inference", "inference")
health = ProtoPackage("health", "grpc.health.v1")
tensorflow = ProtoPackage("tensorflow", "tensorflow")
tensorflow_error = ProtoPackage("tensorflow", "tensorflow.error")
tensorflow_serving = ProtoPackage("tensorflow", "tensorflow.serving")
torchserve_inference = ProtoPackage("torchserve", "org.pytorch.serve.grpc.inference")
torchserve_management = ProtoPackage("torchserve", "org.pytorch.serve.grpc.management")
rpc = ProtoPackage("torchserve", "google.rpc")


@dataclass(frozen=True)
class Rpc:
    """One method of a service: its message classes, and which side streams."""

    service: str
    name: str
    request: Any
    response: Any
    client_streams: bool
    server_streams: bool


@cache
def rpcs(service: str) -> Mapping[str, Rpc]:
    """Every RPC of ``service`` ("inference.GRPCInferenceService") by name; raises KeyError for a service that no descriptor set has."""
    from google.protobuf.message_factory import GetMessageClass

    for family in FAMILIES:
        try:
            found = _pool(family).FindServiceByName(service)
        except KeyError:
            continue
        return {
            method.name: Rpc(
                service,
                method.name,
                GetMessageClass(method.input_type),
                GetMessageClass(method.output_type),
                method.client_streaming,
                method.server_streaming,
            )
            for method in found.methods
        }
    raise KeyError(service)


def parse(kind: Any, data: bytes) -> Any:
    """``data`` as a message of the class ``kind``; raises InvalidRequest where it is not one."""
    from google.protobuf.message import DecodeError

    try:
        return kind.FromString(data)
    except DecodeError:
        raise InvalidRequest(f"the request is not a valid {kind.DESCRIPTOR.full_name}: its bytes are cut or damaged") from None


def _pool(family: str) -> Any:
    try:
        return descriptors.pool(__name__, family, *IMPORTED.get(family, ()))
    except ImportError as problem:
        raise BackendMissing("gRPC needs protobuf; install it with: pip install 'roadworthy[grpc]'") from problem

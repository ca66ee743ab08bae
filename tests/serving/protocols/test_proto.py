"""The messages: compiled from what lies beside them, apart from those of the process, refused when they are damaged."""

from __future__ import annotations

import subprocess
import sys

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool

from roadworthy.core.errors import InvalidRequest
from roadworthy.serving.protocols import proto
from roadworthy.serving.protocols.proto import compile as proto_compile


@pytest.mark.parametrize("family", proto.FAMILIES)
def test_the_descriptor_sets_are_what_the_sources_compile_to(family: str) -> None:
    pytest.importorskip("grpc_tools", reason="grpcio-tools is not installed")
    committed = descriptor_pb2.FileDescriptorSet.FromString((proto_compile.HERE / f"{family}.binpb").read_bytes())
    assert committed == descriptor_pb2.FileDescriptorSet.FromString(proto_compile.compiled(family))


def test_every_source_belongs_to_a_family() -> None:
    sources = {path.name for path in proto_compile.HERE.glob("*.proto")}
    assert sources == {name for files in proto.FAMILIES.values() for name in files}


def test_a_message_and_an_enum_by_attribute() -> None:
    request = proto.inference.ModelInferRequest(model_name="m", raw_input_contents=[b"\0"])
    assert proto.inference.ModelInferRequest.FromString(request.SerializeToString()) == request
    assert proto.tensorflow.DataType.DT_HALF == 19
    assert proto.tensorflow_serving.ModelVersionStatus.AVAILABLE == 30
    with pytest.raises(AttributeError, match=r"package inference has no ModelInfer"):
        _ = proto.inference.ModelInfer


def test_a_signature_travels_in_an_any() -> None:
    signatures = proto.tensorflow_serving.SignatureDefMap()
    signatures.signature_def["serving_default"].method_name = "predict"
    answer = proto.tensorflow_serving.GetModelMetadataResponse()
    answer.metadata["signature_def"].Pack(signatures)
    assert answer.metadata["signature_def"].type_url == "type.googleapis.com/tensorflow.serving.SignatureDefMap"
    unpacked = proto.tensorflow_serving.SignatureDefMap()
    assert answer.metadata["signature_def"].Unpack(unpacked) and unpacked == signatures


def test_the_methods_of_a_service() -> None:
    rpcs = proto.rpcs("inference.GRPCInferenceService")
    assert len(rpcs) == 20
    assert (rpcs["ModelInfer"].client_streams, rpcs["ModelStreamInfer"].client_streams) == (False, True)
    assert rpcs["ModelInfer"].request is proto.inference.ModelInferRequest
    assert rpcs["ModelStreamInfer"].server_streams
    with pytest.raises(KeyError):
        proto.rpcs("inference.Nothing")


def test_bytes_that_are_no_message() -> None:
    assert proto.parse(proto.health.HealthCheckRequest, b"").service == ""
    with pytest.raises(InvalidRequest, match=r"not a valid grpc\.health\.v1\.HealthCheckRequest"):
        proto.parse(proto.health.HealthCheckRequest, b"\x0a\xff")


def test_the_process_own_pool_stays_as_it_was() -> None:
    _ = proto.tensorflow.TensorProto, proto.inference.ModelConfig
    with pytest.raises(KeyError):
        descriptor_pool.Default().FindMessageTypeByName("inference.ModelConfig")
    # A pool knows a name once: had ours gone into the process's, that of TensorFlow would be refused when it comes later.
    program = """
from google.protobuf import descriptor_pb2, descriptor_pool
from roadworthy.serving.protocols import proto
proto.tensorflow.TensorProto(dtype=proto.tensorflow.DataType.DT_FLOAT)
file = descriptor_pb2.FileDescriptorProto(name="tensorflow/core/framework/tensor.proto", package="tensorflow", syntax="proto3")
file.message_type.add(name="TensorProto")
descriptor_pool.Default().Add(file)
"""
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True)


def test_protobuf_is_imported_with_the_first_message() -> None:
    program = "import sys; from roadworthy.serving.protocols import proto; assert not any(n.startswith('google') for n in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)

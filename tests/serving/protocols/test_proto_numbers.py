"""Names, numbers and types of our messages are those of the packages that the clients come from."""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
from functools import cache
from importlib.util import find_spec
from typing import Any

import pytest

from roadworthy.serving.protocols import proto
from support.clients.environments import SCRIPTS, client_python, drive

pytestmark = pytest.mark.slow

Described = dict[str, dict[str, list[Any]]]

TENSORFLOW = (
    "tensorflow.core.framework.tensor_pb2",
    "tensorflow.core.framework.types_pb2",
    "tensorflow.core.framework.tensor_shape_pb2",
    "tensorflow.core.example.example_pb2",
    "tensorflow.core.example.feature_pb2",
    "tensorflow.core.protobuf.meta_graph_pb2",
    "tensorflow.compiler.xla.tsl.protobuf.error_codes_pb2",
)
SERVING = tuple(
    f"tensorflow_serving.{name}_pb2"
    for name in (
        *(f"apis.{name}" for name in ("classification", "get_model_metadata", "get_model_status", "inference", "input", "model")),
        *(f"apis.{name}" for name in ("model_management", "model_service", "predict", "prediction_service", "regression", "status")),
        "config.file_system_storage_path_source",
        "config.model_server_config",
    )
)


@cache
def ours(family: str) -> Described:
    """What our own descriptor set says."""
    described = runpy.run_path(str(SCRIPTS / "descriptors.py"))["described"]
    pool = proto._pool(family)
    found: Described = {}
    for name in proto.FAMILIES[family]:
        found |= described(pool.FindFileByName(name))
    return found


def differences(mine: Described, theirs: Described) -> list[str]:
    """What we have and they have not, or have otherwise. That they have more is no difference: it is skipped as unknown."""
    return [
        f"{name}.{member}: {value}, and {theirs.get(name, {}).get(member)} there"
        for name, members in mine.items()
        for member, value in (members or {"itself": []}).items()
        if name not in theirs or (members and theirs[name].get(member) != value)
    ]


def test_triton_and_the_open_inference_protocol() -> None:
    python = client_python("tritonclient-grpc", "tritonclient[grpc]==2.73.0")
    theirs = drive(python, "descriptors.py", "tritonclient.grpc.model_config_pb2", "tritonclient.grpc.service_pb2")
    assert differences(ours("inference"), theirs) == []
    assert ours("inference")["inference.GRPCInferenceService"] == theirs["inference.GRPCInferenceService"]


def test_health() -> None:
    python = client_python("grpc-health", "grpcio-health-checking==1.85.1")
    assert differences(ours("health"), drive(python, "descriptors.py", "grpc_health.v1.health_pb2")) == []


def test_tensorflow_and_its_server() -> None:
    # The stubs import TensorFlow, which is large: its modules are this environment's own, the stubs another's.
    if not find_spec("tensorflow"):
        pytest.skip("TensorFlow is not installed")
    python = client_python("serving-api", no_deps=("tensorflow-serving-api==2.21.0",))
    (packages,) = (python.parents[1] / "lib").glob("python*/site-packages")
    run = subprocess.run(
        [sys.executable, SCRIPTS / "descriptors.py", *TENSORFLOW, *SERVING],
        capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(packages), "TF_CPP_MIN_LOG_LEVEL": "3"},
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    theirs = json.loads(run.stdout)
    assert differences(ours("tensorflow"), theirs) == []
    for service in ("tensorflow.serving.PredictionService", "tensorflow.serving.ModelService"):
        assert ours("tensorflow")[service] == theirs[service]


def test_a_number_that_is_wrong_is_found() -> None:
    theirs = ours("health") | {"grpc.health.v1.HealthCheckRequest": {"service": [2, 9, False, ""]}}
    assert differences(ours("health"), theirs) == [
        "grpc.health.v1.HealthCheckRequest.service: [1, 9, False, ''], and [2, 9, False, ''] there"
    ]
    assert differences(ours("health"), {**theirs, "grpc.health.v1.Health": {}}) != []

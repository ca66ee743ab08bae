"""TorchServe's gRPC interface by stubs of the very files that its own package ships, compiled here.

Takes the server's address and a PNG file.
"""

from __future__ import annotations

import json
import sys
import tempfile
import zipfile
from importlib import metadata
from pathlib import Path
from typing import Any

import grpc
import grpc_tools
from grpc_tools import protoc

address, png = sys.argv[1:]
work = Path(tempfile.mkdtemp())
jar = next(file for file in metadata.files("torchserve") or () if file.name == "model-server.jar").locate()
with zipfile.ZipFile(jar) as archive:
    for name in ("inference.proto", "management.proto", "google/rpc/status.proto"):
        archive.extract(name, work)
include = Path(grpc_tools.__file__).parent / "_proto"
files = [str(work / name) for name in ("inference.proto", "management.proto")]
assert protoc.main(["protoc", f"-I{work}", f"-I{include}", f"--python_out={work}", f"--grpc_python_out={work}", *files]) == 0
sys.path.insert(0, str(work))

import inference_pb2  # noqa: E402
import inference_pb2_grpc  # noqa: E402
import management_pb2  # noqa: E402
import management_pb2_grpc  # noqa: E402
from google.protobuf import empty_pb2  # noqa: E402

found: dict[str, Any] = {}
with grpc.insecure_channel(address) as channel:
    inference = inference_pb2_grpc.InferenceAPIsServiceStub(channel)
    management = management_pb2_grpc.ManagementAPIsServiceStub(channel)

    def predicted(model: str, data: bytes, version: str = "", key: str = "data") -> Any:
        request = inference_pb2.PredictionsRequest(model_name=model, model_version=version, input={key: data})
        return json.loads(inference.Predictions(request, timeout=30).prediction)

    def told(method: Any, request: Any) -> Any:
        return json.loads(method(request, timeout=60).msg)

    def code(method: Any, request: Any) -> list[str]:
        try:
            method(request, timeout=30)
        except grpc.RpcError as problem:
            return [problem.code().name, problem.details()]
        return ["OK", ""]

    found["ping"] = inference.Ping(empty_pb2.Empty(), timeout=30).health
    found["image"] = predicted("picture", Path(png).read_bytes())
    found["json"] = predicted("echo", b'{"data": [[1.5, 0]]}', key="body")
    stream = inference.StreamPredictions(inference_pb2.PredictionsRequest(model_name="echo", input={"data": b"[1.5, 0]"}), timeout=30)
    found["stream"] = [json.loads(one.prediction) for one in stream]
    found["unknown"] = code(inference.Predictions, inference_pb2.PredictionsRequest(model_name="none"))
    found["nonsense"] = code(inference.Predictions, inference_pb2.PredictionsRequest(model_name="echo", input={"data": b"nonsense!"}))
    found["fails"] = code(inference.Predictions, inference_pb2.PredictionsRequest(model_name="echo", input={"data": b"[13, 0]"}))
    found["stream2"] = code(
        lambda request, timeout: list(inference.StreamPredictions2(iter([request]), timeout=timeout)), inference_pb2.PredictionsRequest()
    )

    register = management_pb2.RegisterModelRequest(url="echo/2", model_name="echo", initial_workers=1, synchronous=True)
    found["register"] = told(management.RegisterModel, register)
    found["again"] = code(management.RegisterModel, register)
    found["outside"] = code(management.RegisterModel, management_pb2.RegisterModelRequest(url="../other"))
    found["version 2"] = predicted("echo", b"[1.5, 0]", version="2")
    described = management.DescribeModel(management_pb2.DescribeModelRequest(model_name="echo", model_version="all"), timeout=30)
    found["describe"] = [[one["modelVersion"], one["minWorkers"], len(one["workers"])] for one in json.loads(described.msg)]
    found["default"] = told(management.SetDefault, management_pb2.SetDefaultRequest(model_name="echo", model_version="2"))
    found["scale"] = told(management.ScaleWorker, management_pb2.ScaleWorkerRequest(model_name="echo", min_worker=4, synchronous=True))
    found["list"] = told(management.ListModels, management_pb2.ListModelsRequest(limit=1))
    found["unregister"] = told(management.UnregisterModel, management_pb2.UnregisterModelRequest(model_name="echo", model_version="1"))
    found["gone"] = code(
        inference.Predictions, inference_pb2.PredictionsRequest(model_name="echo", model_version="1", input={"data": b"[1.5, 0]"})
    )
print(json.dumps(found))

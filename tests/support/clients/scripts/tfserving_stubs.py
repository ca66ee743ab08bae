"""TensorFlow Serving's own stubs, with TensorFlow, as its users have them: predict, classify, regress, both, metadata, states, reload.

Takes the server's gRPC address, the directory of packages that TensorFlow lies in, and a PNG file.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

address, packages, png = sys.argv[1:]
sys.path.append(packages)
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import grpc  # noqa: E402
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402
from google.protobuf import text_format  # noqa: E402
from tensorflow_serving.apis import (  # noqa: E402
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    input_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)
from tensorflow_serving.config import model_server_config_pb2  # noqa: E402

X = np.arange(24, dtype=np.float32).reshape(2, 12) / 24


def predict(name: str, version: int | None = None, label: str = "", **inputs: Any) -> predict_pb2.PredictRequest:
    request = predict_pb2.PredictRequest()
    request.model_spec.name = name
    request.model_spec.signature_name = "serving_default"
    if version is not None:
        request.model_spec.version.value = version
    if label:
        request.model_spec.version_label = label
    for key, value in inputs.items():
        request.inputs[key].CopyFrom(tf.make_tensor_proto(value))
    return request


def arrays(response: predict_pb2.PredictResponse) -> dict[str, Any]:
    return {name: tf.make_ndarray(tensor).tolist() for name, tensor in response.outputs.items()}


def examples(*rows: list[float], context: list[float] | None = None) -> input_pb2.Input:
    def example(row: list[float]) -> tf.train.Example:
        feature = tf.train.Feature(float_list=tf.train.FloatList(value=row))
        return tf.train.Example(features=tf.train.Features(feature={"x": feature} if row else {}))

    if context is None:
        return input_pb2.Input(example_list=input_pb2.ExampleList(examples=map(example, rows)))
    listed = input_pb2.ExampleListWithContext(examples=map(example, rows), context=example(context))
    return input_pb2.Input(example_list_with_context=listed)


def states(service: Any, name: str) -> list[Any]:
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = name
    found = service.GetModelStatus(request, timeout=20).model_version_status
    return [[one.version, get_model_status_pb2.ModelVersionStatus.State.Name(one.state), one.status.error_code] for one in found]


def refusal(call: Any, request: Any) -> list[str]:
    try:
        call(request, timeout=20)
    except grpc.RpcError as problem:
        return [problem.code().name, problem.details()]
    raise AssertionError("it was not refused")


def reload(service: Any, text: str) -> int:
    config = text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
    return service.HandleReloadConfigRequest(model_management_pb2.ReloadConfigRequest(config=config), timeout=60).status.error_code


async def at_once(count: int) -> int:
    async with grpc.aio.insecure_channel(address) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        answers = await asyncio.gather(*(stub.Predict(predict("linear", x=X), timeout=20) for _ in range(count)))
    return len({str(arrays(answer)) for answer in answers})


def main() -> dict[str, Any]:
    found: dict[str, Any] = {}
    with grpc.insecure_channel(address) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        service = model_service_pb2_grpc.ModelServiceStub(channel)
        answer = stub.Predict(predict("linear", x=X), timeout=20)
        found["predict"] = arrays(answer)
        found["spec"] = [answer.model_spec.name, answer.model_spec.version.value, answer.model_spec.signature_name]
        found["version"] = stub.Predict(predict("linear", 1, x=X), timeout=20).model_spec.version.value
        found["dtypes"] = arrays(stub.Predict(predict("many", a=[[1.5, 2.0]], b=np.array([-7])), timeout=20))
        found["image"] = arrays(stub.Predict(predict("picture", image=[Path(png).read_bytes()]), timeout=20))
        found["strings"] = [
            row.decode("latin-1") for row in arrays(stub.Predict(predict("files", file=[b"a\0", b"\xff"]), timeout=20))["same"]
        ]

        request = classification_pb2.ClassificationRequest(input=examples(*X.tolist()))
        request.model_spec.name = "linear"
        classified = stub.Classify(request, timeout=20).result
        found["classify"] = [[[one.label, one.score] for one in row.classes] for row in classified.classifications]
        request = regression_pb2.RegressionRequest(input=examples([1.0, 2.0, 3.0], [], context=[4.0, 5.0, 6.0]))
        request.model_spec.name = "price"
        found["regress"] = [one.value for one in stub.Regress(request, timeout=20).result.regressions]
        both = inference_pb2.MultiInferenceRequest(input=examples(*X.tolist()))
        task = both.tasks.add(method_name="tensorflow/serving/classify")
        task.model_spec.name = "linear"
        found["multi"] = stub.MultiInference(both, timeout=20).results[0].classification_result == classified

        request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
        request.model_spec.name = "many"
        signatures = get_model_metadata_pb2.SignatureDefMap()
        assert stub.GetModelMetadata(request, timeout=20).metadata["signature_def"].Unpack(signatures)
        outputs = signatures.signature_def["serving_default"].outputs
        shapes = {name: [dim.size for dim in info.tensor_shape.dim] for name, info in outputs.items()}
        found["metadata"] = {name: [tf.dtypes.as_dtype(info.dtype).name, *shapes[name]] for name, info in outputs.items()}

        found["unknown"] = refusal(stub.Predict, predict("nope", x=X))
        found["wrong dtype"] = refusal(stub.Predict, predict("linear", x=X.astype(np.float64)))
        found["wrong shape"] = refusal(stub.Predict, predict("linear", x=X[:, :5]))
        found["at once"] = asyncio.run(at_once(16))

        found["states"] = states(service, "linear")
        labelled = """model_config_list { config { name: "linear" base_path: "linear" model_platform: "tensorflow"
            model_version_policy { specific { versions: 1 } } version_labels { key: "stable" value: 1 } } }"""
        found["reload"] = reload(service, labelled)
        found["states then"] = states(service, "linear")
        found["label"] = stub.Predict(predict("linear", label="stable", x=X), timeout=20).model_spec.version.value
        found["unloaded"] = refusal(stub.Predict, predict("many", a=[[1.5, 2.0]], b=np.array([-7])))
        outside = 'model_config_list { config { name: "other" base_path: "/etc" model_platform: "tensorflow" } }'
        found["outside"] = refusal(
            service.HandleReloadConfigRequest,
            model_management_pb2.ReloadConfigRequest(config=text_format.Parse(outside, model_server_config_pb2.ModelServerConfig())),
        )
        found["states after"] = states(service, "linear")
    return found


print(json.dumps(main()))

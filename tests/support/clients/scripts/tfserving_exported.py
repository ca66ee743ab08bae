"""One SavedModel in TensorFlow itself beside a server of TensorFlow Serving's protocols: the same requests, and the largest differences.

Takes the server's gRPC address, its HTTP address, the directory of packages that TensorFlow lies in, the SavedModel's directory (whose
parent has the model's name), an ``.npz`` file of its inputs, and a PNG file.
"""

from __future__ import annotations

import base64
import json
import os
import sys
import urllib.request
from pathlib import Path
from typing import Any

address, http, packages, directory, given, png = sys.argv[1:]
sys.path.append(packages)
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import grpc  # noqa: E402
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2, prediction_service_pb2_grpc  # noqa: E402

NAME = Path(directory).parent.name


def by_stub(stub: Any, signature: str, inputs: dict[str, Any]) -> dict[str, Any]:
    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = NAME, signature
    for name, array in inputs.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(array))
    return {name: tf.make_ndarray(tensor) for name, tensor in stub.Predict(request, timeout=60).outputs.items()}


def by_rest(signature: str, inputs: dict[str, Any]) -> Any:
    def plain(array: Any) -> Any:
        return [{"b64": base64.b64encode(one).decode()} for one in array] if isinstance(array, list) else array.tolist()

    body = {"signature_name": signature, "inputs": {name: plain(array) for name, array in inputs.items()}}
    request = urllib.request.Request(f"{http}/v1/models/{NAME}:predict", json.dumps(body).encode())
    with urllib.request.urlopen(request, timeout=60) as answer:
        return np.array(json.loads(answer.read())["outputs"], np.float32)


def replayed(stub: Any, record: bytes) -> list[Any]:
    request = prediction_log_pb2.PredictionLog.FromString(record).predict_log.request
    sizes = {tf.make_ndarray(tensor).shape[0] for tensor in request.inputs.values()}
    (output,) = stub.Predict(request, timeout=60).outputs.values()
    return [request.model_spec.signature_name, *sizes, "answered" if tf.make_ndarray(output).shape[0] in sizes else "not answered"]


def main() -> dict[str, Any]:
    loaded = tf.saved_model.load(directory)
    calls = {"serving_default": dict(np.load(given)), "image": {"image": [Path(png).read_bytes()] * 3}}
    errors = {}
    with grpc.insecure_channel(address) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        for signature, inputs in calls.items():
            ((name, tensor),) = loaded.signatures[signature](**{key: tf.constant(array) for key, array in inputs.items()}).items()
            wanted = tensor.numpy()
            for way, found in (("grpc", by_stub(stub, signature, inputs)[name]), ("rest", by_rest(signature, inputs))):
                assert found.shape == wanted.shape, (found.shape, wanted.shape)
                errors[f"{way} {signature}"] = float(np.abs(found - wanted).max() / np.abs(wanted).max())
        records = tf.data.TFRecordDataset(f"{directory}/assets.extra/tf_serving_warmup_requests")
        return {"errors": errors, "warm-up": [replayed(stub, record.numpy()) for record in records]}


print(json.dumps(main()))

"""The same input as each contestant wants it over the wire, and its answer read back."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from models import Model


@dataclass(frozen=True)
class Request:
    """A POST, and how the body of its answer, with its headers, becomes the output [1, classes]."""

    path: str
    headers: Mapping[str, str]
    body: bytes
    read: Callable[[bytes, Mapping[str, str]], np.ndarray]


JSON = {"Content-Type": "application/json"}
LENGTH = "Inference-Header-Content-Length"


def oip_json(model: Model) -> Request:
    """The Open Inference Protocol, data as a flat list, as tritonclient writes it."""
    tensor = {"name": model.input, "shape": list(model.x.shape), "datatype": "FP32", "data": model.x.ravel().tolist()}
    return Request(f"/v2/models/{model.name}/infer", JSON, json.dumps({"inputs": [tensor]}).encode(), _read_oip)


def oip_binary(model: Model) -> Request:
    """The Open Inference Protocol with binary tensors both ways."""
    tensor = {"name": model.input, "shape": list(model.x.shape), "datatype": "FP32", "parameters": {"binary_data_size": model.x.nbytes}}
    asked = {"name": model.output, "parameters": {"binary_data": True}}
    head = json.dumps({"inputs": [tensor], "outputs": [asked], "parameters": {"binary_data_output": True}}).encode()
    headers = {"Content-Type": "application/octet-stream", LENGTH: str(len(head))}
    return Request(f"/v2/models/{model.name}/infer", headers, head + model.x.tobytes(), _read_oip)


def own(path: str, *, batched: bool) -> Callable[[Model], Request]:
    """A framework's own JSON, ``{"x": ...}``: one sample nested, with a batch dimension where the application wants it."""

    def request(model: Model) -> Request:
        body = json.dumps({"x": (model.x if batched else model.x[0]).tolist()}).encode()
        return Request(path.format(name=model.name), JSON, body, _read_own)

    return request


def _read_oip(body: bytes, headers: Mapping[str, str]) -> np.ndarray:
    size = int(headers.get(LENGTH) or len(body))
    head, tail = json.loads(body[:size]), body[size:]
    output = head["outputs"][0]
    values = output["data"] if "data" in output else np.frombuffer(tail, np.float32)
    return np.asarray(values, np.float32).reshape(output["shape"])


def _read_own(body: bytes, headers: Mapping[str, str]) -> np.ndarray:
    answer = json.loads(body)
    values = np.asarray(answer["y"] if isinstance(answer, dict) else answer, np.float32)
    return values.reshape(1, values.shape[-1])


def ask(port: int, request: Request, timeout: float = 30.0) -> np.ndarray:
    """The answer of a server on this machine; raises OSError where it gives none."""
    url = f"http://127.0.0.1:{port}{request.path}"
    with urllib.request.urlopen(urllib.request.Request(url, request.body, dict(request.headers)), timeout=timeout) as answer:
        return request.read(answer.read(), answer.headers)

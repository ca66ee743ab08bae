"""ovmsclient, a client of TensorFlow Serving that needs no TensorFlow, over gRPC and over HTTP.

Takes the gRPC address, the HTTP address, and a PNG file.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import ovmsclient

X = np.arange(24, dtype=np.float32).reshape(2, 12) / 24


def lists(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: lists(one) for name, one in value.items()}
    return value.tolist() if isinstance(value, np.ndarray) else value


def asked(client: Any, image: bytes) -> dict[str, Any]:
    found: dict[str, Any] = {
        "status": client.get_model_status("linear"),
        "one": client.get_model_status("linear", 1),
        "metadata": client.get_model_metadata("many"),
        "predict": client.predict({"x": X}, "linear"),
        "version": client.predict({"x": X}, "linear", 1),
        "several": client.predict({"a": np.array([[1.5, 2.0]], np.float32), "b": np.array([-7])}, "many"),
        "image": client.predict({"image": image}, "picture"),
    }
    for name, inputs in (("unknown", {"x": X}), ("linear", {"x": X[:, :5]})):
        try:
            client.predict(inputs, name)
        except Exception as problem:
            found[f"refused {name}"] = [type(problem).__name__, str(problem)]
    return lists(found)


grpc, http, png = sys.argv[1:]
image = Path(png).read_bytes()
print(json.dumps({"grpc": asked(ovmsclient.make_grpc_client(grpc), image), "http": asked(ovmsclient.make_http_client(http), image)}))

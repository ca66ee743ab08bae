"""TorchServe: a worker for each core; its own way to load an ONNX file; batches of what waits."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

HANDLER = '''
import os, sys
sys.path.insert(0, os.environ["FIELD_APPS"])
import numpy as np
from job import Session

class Handler:
    """Requests of one batch in, one answer for each out."""

    def initialize(self, context):
        self.session = Session()

    def handle(self, requests, context):
        bodies = [request.get("body") or request.get("data") for request in requests]
        return [{"y": row.tolist()} for row in self.session(np.array([body["x"] for body in bodies], np.float32))]
'''


def main(name: str, port: int, workers: int) -> None:
    here = Path.cwd()
    (here / "handler.py").write_text(HANDLER)
    (here / "store").mkdir(exist_ok=True)
    tools = Path(sys.executable).parent
    archive = ["--model-name", name, "--version", "1", "--handler", "handler.py", "--export-path", "store", "--force"]
    subprocess.run([tools / "torch-model-archiver", *archive], check=True)
    settings = {"minWorkers": workers, "maxWorkers": workers, "batchSize": 32, "maxBatchDelay": 1, "responseTimeout": 120}
    lines = {
        "inference_address": f"http://127.0.0.1:{port}", "management_address": f"http://127.0.0.1:{port + 1}",
        "metrics_address": f"http://127.0.0.1:{port + 2}", "grpc_inference_port": port + 3, "grpc_management_port": port + 4,
        "model_store": "store", "load_models": f"{name}.mar", "disable_token_authorization": "true",
        "max_request_size": 64 << 20, "max_response_size": 64 << 20,
        "models": json.dumps({name: {"1": {"marName": f"{name}.mar", "defaultVersion": True, **settings}}}),
    }  # fmt: skip
    (here / "config.properties").write_text("".join(f"{key}={value}\n" for key, value in lines.items()))
    environment = os.environ | {"PATH": f"{tools}:{os.environ['PATH']}", "FIELD_APPS": str(Path(__file__).parent)}
    words = [
        tools / "torchserve",
        "--start",
        "--foreground",
        "--ts-config",
        "config.properties",
        "--no-config-snapshots",
        "--disable-token-auth",
    ]
    os.execve(words[0], [str(word) for word in words], environment)


if __name__ == "__main__":
    from job import NAME, PORT, WORKERS

    main(NAME, PORT, WORKERS)

"""MLServer: a runtime of our own for ONNX, as it has none, in a worker process for each core, with adaptive batching."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from job import NAME, PORT, WORKERS, Session
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse


class Onnx(MLModel):
    async def load(self) -> bool:
        self.session = Session()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        x = NumpyCodec.decode_input(payload.inputs[0])
        output = NumpyCodec.encode_output(self.session.output, self.session(x))
        return InferenceResponse(model_name=self.name, outputs=[output])


if __name__ == "__main__":
    server = {
        "host": "127.0.0.1", "http_port": PORT, "grpc_port": PORT + 1, "metrics_port": PORT + 2, "debug": False,
        "parallel_workers": WORKERS, "gzip_enabled": False,
    }  # fmt: skip
    model = {"name": NAME, "implementation": "mlserver_app.Onnx", "max_batch_size": 32, "max_batch_time": 0.001}
    Path("settings.json").write_text(json.dumps(server))
    Path("model-settings.json").write_text(json.dumps(model))
    program = str(Path(sys.executable).with_name("mlserver"))
    os.execv(program, [program, "start", "."])

"""What every contestant's process is told: which model, where to listen, how many workers; and the one way to run the model."""

from __future__ import annotations

import os
from typing import Any

NAME = os.environ.get("FIELD_NAME", "")
ONNX = os.environ.get("FIELD_ONNX", "")
PORT = int(os.environ.get("FIELD_PORT", "0"))
WORKERS = int(os.environ.get("FIELD_WORKERS", "1"))


class Session:
    """The model in ONNX Runtime on one thread, as there are as many workers as cores: float32 [n, ...] in, [n, classes] out."""

    def __init__(self, file: str = ONNX) -> None:
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = ort.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        self.input = self._session.get_inputs()[0].name
        self.output = self._session.get_outputs()[0].name
        self.shape = self._session.get_inputs()[0].shape[1:]
        self.classes = self._session.get_outputs()[0].shape[1]

    def __call__(self, x: Any) -> Any:
        return self._session.run([self.output], {self.input: x})[0]

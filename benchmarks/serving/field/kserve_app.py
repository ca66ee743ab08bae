"""KServe's Python server: a uvicorn worker for each core; it does not batch by itself."""

from __future__ import annotations

from typing import Any

from job import NAME, PORT, WORKERS, Session
from kserve import InferOutput, InferRequest, InferResponse, Model, ModelServer


class Onnx(Model):
    """Loaded where it is first called: the model travels to the workers by pickle, which ONNX Runtime's session cannot."""

    session: Session | None = None

    def load(self) -> bool:
        self.ready = True
        return True

    async def predict(self, payload: InferRequest, headers: Any = None, response_headers: Any = None) -> InferResponse:
        if self.session is None:
            self.session = Session()
        y = self.session(payload.inputs[0].as_numpy())
        binary = bool(payload.parameters and payload.parameters.get("binary_data_output"))
        output = InferOutput(self.session.output, list(y.shape), "FP32")
        output.set_data_from_numpy(y, binary_data=binary)
        return InferResponse(response_id=payload.id or "", model_name=self.name, infer_outputs=[output])


if __name__ == "__main__":
    model = Onnx(NAME)
    model.load()
    ModelServer(http_port=PORT, workers=WORKERS, enable_grpc=False, enable_latency_logging=False).start([model])

"""LitServe: a worker and an API server for each core and its fast queue; its batches made it slower here and are off."""

from typing import Any

import litserve as ls
import numpy as np
from job import PORT, WORKERS, Session


class Api(ls.LitAPI):
    def setup(self, device: str) -> None:
        self.session = Session()

    def decode_request(self, request: dict[str, Any]) -> np.ndarray:
        return np.array(request["x"], np.float32)

    def predict(self, x: np.ndarray) -> np.ndarray:
        return self.session(x[None])[0]

    def encode_response(self, output: np.ndarray) -> dict[str, Any]:
        return {"y": output.tolist()}


if __name__ == "__main__":
    server = ls.LitServer(Api(), accelerator="cpu", workers_per_device=WORKERS, fast_queue=True)
    server.run(host="127.0.0.1", port=PORT, num_api_servers=WORKERS, generate_client_file=False, log_level="warning")

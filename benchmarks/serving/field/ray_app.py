"""Ray Serve: a replica for each core, its dynamic batching, its high throughput mode with HAProxy in front."""

from __future__ import annotations

import os
import signal
from typing import Any

os.environ |= {"RAY_SERVE_ENABLE_HA_PROXY": "1", "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1"}

import numpy as np
import ray
from job import PORT, WORKERS, Session
from ray import serve
from starlette.requests import Request


@serve.deployment(num_replicas=WORKERS, max_ongoing_requests=100)
class Onnx:
    def __init__(self) -> None:
        self.session = Session()

    @serve.batch(max_batch_size=32, batch_wait_timeout_s=0.001)
    async def predict(self, xs: list[np.ndarray]) -> list[np.ndarray]:
        return list(self.session(np.stack(xs)))

    async def __call__(self, request: Request) -> dict[str, Any]:
        x = np.array((await request.json())["x"], np.float32)
        return {"y": (await self.predict(x)).tolist()}


if __name__ == "__main__":
    ray.init(include_dashboard=False, log_to_driver=False, logging_level="ERROR", _node_ip_address="127.0.0.1")
    serve.start(http_options={"host": "127.0.0.1", "port": PORT}, logging_config={"enable_access_log": False})
    serve.run(Onnx.bind())
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    serve.shutdown()
    ray.shutdown()

"""BentoML: a worker for each core and adaptive batching."""

from __future__ import annotations

import bentoml
import numpy as np
from job import WORKERS, Session


@bentoml.service(workers=WORKERS, traffic={"timeout": 60}, logging={"access": {"enabled": False}})
class Onnx:
    def __init__(self) -> None:
        self.session = Session()

    @bentoml.api(batchable=True, batch_dim=0, max_batch_size=32)
    def predict(self, x: np.ndarray) -> np.ndarray:
        return self.session(x.astype(np.float32))

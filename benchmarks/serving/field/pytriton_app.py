"""Triton's core by nvidia-pytriton: an instance for each core and Triton's dynamic batcher without a delay."""

from __future__ import annotations

import numpy as np
from job import NAME, PORT, WORKERS, Session
from pytriton.decorators import batch
from pytriton.model_config import DynamicBatcher, ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig


class Onnx:
    """Loaded where it is called: each instance runs in a process of its own."""

    def __init__(self) -> None:
        self.session: Session | None = None

    @batch
    def __call__(self, **arrays: np.ndarray) -> list[np.ndarray]:
        if self.session is None:
            self.session = Session()
        return [self.session(arrays[self.session.input])]


if __name__ == "__main__":
    told = Session()
    inputs = [Tensor(name=told.input, dtype=np.float32, shape=tuple(told.shape))]
    outputs = [Tensor(name=told.output, dtype=np.float32, shape=(told.classes,))]
    settings = ModelConfig(max_batch_size=32, batching=True, batcher=DynamicBatcher(max_queue_delay_microseconds=0))
    config = TritonConfig(http_address="127.0.0.1", http_port=PORT, grpc_port=PORT + 1, metrics_port=PORT + 2, log_verbose=0)
    with Triton(config=config) as triton:
        triton.bind(NAME, [Onnx() for _ in range(WORKERS)], inputs, outputs, config=settings)
        triton.serve()

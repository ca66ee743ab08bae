"""The engine: one bundle in this process, without a socket; ``roadworthy.load`` and the worker process answer with it."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import roadworthy as rw
from roadworthy.core.types import Arrays
from roadworthy.runtimes import Checked
from roadworthy.serving.engine.dataplane import InferRequest
from roadworthy.serving.engine.local import LocalEngine
from roadworthy.serving.engine.open_messages import OpenVersion, VersionOpened
from roadworthy.serving.registry.catalogue import Catalogue, Served, Version
from roadworthy.serving.settings import Settings
from roadworthy.serving.workers.ipc import Hello, UpdateCatalogue
from roadworthy.serving.workers.worker import ServingWorker
from support.models import bundles

X = np.random.default_rng(7).random((3, 12)).astype(np.float32)


@pytest.fixture
def no_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*arguments: object, **options: object) -> None:
        raise AssertionError("the engine opened a socket or started a process")

    monkeypatch.setattr(socket, "socket", refused)
    monkeypatch.setattr(socket, "socketpair", refused)
    monkeypatch.setattr("subprocess.Popen", refused)


def expected(x: np.ndarray) -> np.ndarray:
    weights = bundles.weights()
    return x @ weights["weight"] + weights["bias"]


def test_a_bundle_is_opened_and_answers_without_a_socket(null_bundle: Path, no_sockets: None) -> None:
    with LocalEngine(null_bundle) as engine:
        prediction = engine.infer(X)
        assert np.allclose(prediction.outputs["y"], expected(X), atol=1e-6)
        assert [ranked[0].index for ranked in prediction.ranked] == expected(X).argmax(axis=1).tolist()
        assert engine.check.error <= engine.check.gate
    with rw.load(null_bundle) as engine:
        assert isinstance(engine, LocalEngine)
        assert np.array_equal(engine(X).outputs["y"], prediction.outputs["y"])


def test_the_worker_answers_with_the_engine(null_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker process's own state, driven by the supervisor's messages; requests reach it at its dataplane."""
    answered: list[str] = []
    answer = LocalEngine.answer

    def watched(self: LocalEngine, given: Checked) -> Arrays:
        answered.append(self.version)
        return answer(self, given)

    async def main() -> Any:
        supervisor_end, worker_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with supervisor_end, worker_end:
            worker = ServingWorker(worker_end)
            await worker._reply(Hello(Settings(sources=(), workers=1, threads=1, batch=1), 0))
            opened = await worker._reply(OpenVersion(name="linear", version="5", path=str(null_bundle)))
            assert isinstance(opened, VersionOpened)
            version = Version(version="5", path=str(null_bundle), state="ready")
            await worker._reply(UpdateCatalogue(Catalogue((Served(name="linear", versions=(version,)),))))
            plane = worker._plane
            monkeypatch.setattr(LocalEngine, "answer", watched)
            response = await plane.infer(InferRequest(plane.pick("linear"), {"x": X}))
            for queue in plane.queues:
                assert isinstance(queue.model, LocalEngine)
                queue.close()
            worker._opener.shutdown()
            return response

    response = asyncio.run(main())
    assert answered == ["5"]
    assert np.allclose(response.outputs["y"], expected(X), atol=1e-6)

"""Work without a client is not done: the client has disconnected, or its deadline has passed, while its request waited."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import grpc
import httpx
import pytest

from dependability.harness import DIALECTS, HOLD, Server, ask, connected, metric, record, row, runs
from roadworthy.serving.protocols import proto
from support.waiting import HANG_SECONDS, until

pytestmark = pytest.mark.slow


def waiting(url: str) -> float:
    return metric(httpx.get(f"{url}/metrics").text, "roadworthy_inferences_waiting", model="breaker")


def request_of(x: list[float], dialect: str = "oip") -> bytes:
    """The whole HTTP request as bytes."""
    spoken = DIALECTS[dialect]
    body = spoken.body(x)
    return b"POST %s HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n%s" % (spoken.path("breaker").encode(), len(body), body)


@pytest.mark.parametrize("dialect", list(DIALECTS))
def test_a_client_that_has_gone(serve: Callable[..., Server], steady: Path, runs_file: Path, gate: Path, dialect: str) -> None:
    """One worker is busy until it is let go; eight clients queue up behind and hang up. A ninth that stays has its answer."""
    url = serve(steady, workers=1).wait_ready()
    with httpx.Client(base_url=url, timeout=HANG_SECONDS) as client, ThreadPoolExecutor(2) as pool, ExitStack() as stack:
        busy = pool.submit(ask, client, row(HOLD, tag=1))
        until(lambda: 1 in runs(runs_file), "the long request runs")
        leavers = [stack.enter_context(connected(url)) for _ in range(8)]
        for number, leaver in enumerate(leavers):
            leaver.sendall(request_of(row(tag=100 + number), dialect))
        until(lambda: waiting(url) == 8, "eight wait")
        stays = pool.submit(httpx.post, f"{url}/v2/models/breaker/infer", content=DIALECTS["oip"].body(row(tag=7)))
        for leaver in leavers:
            leaver.close()
        until(lambda: waiting(url) == 1, "the ninth waits alone")
        gate.touch()
        assert busy.result().status_code == 200
        assert stays.result().status_code == 200
        ran = [tag for tag in runs(runs_file) if tag]
        cancelled = metric(client.get("/metrics").text, "roadworthy_inferences_total", model="breaker", outcome="cancelled")
    record(
        "gone",
        f"{dialect}-hangs-up",
        injected="eight clients hang up while their requests wait",
        held="none of them ran",
        ran=len(ran) - 2,
        cancelled=cancelled,
    )
    assert ran == [1, 7]


def test_a_deadline_over_http(serve: Callable[..., Server], steady: Path, runs_file: Path, gate: Path) -> None:
    url = serve(steady, workers=1).wait_ready()
    with httpx.Client(base_url=url, timeout=HANG_SECONDS) as client, ThreadPoolExecutor(1) as pool:
        busy = pool.submit(ask, client, row(HOLD, tag=1))
        until(lambda: 1 in runs(runs_file), "the long request runs")
        body = json.loads(DIALECTS["oip"].body(row(tag=100))) | {"parameters": {"timeout": 200_000}}
        begun = time.monotonic()
        answered = httpx.post(f"{url}/v2/models/breaker/infer", json=body)
        seconds = time.monotonic() - begun
        assert not busy.done()
        gate.touch()
        assert busy.result().status_code == 200
        assert ask(client, row(tag=7)).status_code == 200
        ran = [tag for tag in runs(runs_file) if tag]
    record(
        "gone",
        "deadline-http",
        injected="a request with a timeout of 0.2 s waits behind one that is held",
        held="told in time, never run",
        told_after_s=seconds,
        ran=len(ran) - 2,
    )
    assert answered.status_code == 504, answered.text
    assert ran == [1, 7]


@pytest.mark.parametrize("service", ["oip", "tfserving"])
def test_a_deadline_over_grpc(serve: Callable[..., Server], steady: Path, runs_file: Path, gate: Path, service: str) -> None:
    server = serve(steady, workers=1, grpc_port=0)
    url = server.wait_ready()
    call, message = GRPC[service](100)
    with (
        httpx.Client(base_url=url, timeout=HANG_SECONDS) as client,
        ThreadPoolExecutor(1) as pool,
        grpc.insecure_channel(server.grpc_address) as channel,
    ):
        busy = pool.submit(ask, client, row(HOLD, tag=1))
        until(lambda: 1 in runs(runs_file), "the long request runs")
        begun = time.monotonic()
        with pytest.raises(grpc.RpcError) as refused:
            channel.unary_unary(call, request_serializer=lambda m: m.SerializeToString())(message, timeout=0.2)
        seconds = time.monotonic() - begun
        assert refused.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert not busy.done()
        gate.touch()
        assert busy.result().status_code == 200
        assert ask(client, row(tag=7)).status_code == 200
        ran = [tag for tag in runs(runs_file) if tag]
    record(
        "gone",
        f"deadline-grpc-{service}",
        injected="a gRPC deadline of 0.2 s behind a request that is held",
        held="told in time, never run",
        told_after_s=seconds,
        ran=len(ran) - 2,
    )
    assert ran == [1, 7]


def oip_message(tag: int) -> tuple[str, object]:
    inference = proto.inference
    tensor = inference.ModelInferRequest.InferInputTensor(name="x", datatype="FP32", shape=[1, 3])
    tensor.contents.fp32_contents.extend(row(tag=tag))
    return "/inference.GRPCInferenceService/ModelInfer", inference.ModelInferRequest(model_name="breaker", inputs=[tensor])


def tfserving_message(tag: int) -> tuple[str, object]:
    request = proto.tensorflow_serving.PredictRequest()
    request.model_spec.name = "breaker"
    tensor = request.inputs["x"]
    tensor.dtype = 1
    for size in (1, 3):
        tensor.tensor_shape.dim.add(size=size)
    tensor.float_val.extend(row(tag=tag))
    return "/tensorflow.serving.PredictionService/Predict", request


GRPC = {"oip": oip_message, "tfserving": tfserving_message}

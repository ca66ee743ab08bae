"""Spans as a collector gets them: whose children they are, what they say, and that a missing collector harms no request."""

from __future__ import annotations

import gzip
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import grpc
import httpx
import numpy as np
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from opentelemetry.sdk.trace.export import SpanExportResult

from roadworthy.core.errors import UsageError
from roadworthy.serving.observability.traces import LONGEST, CollectorExporter, Traces
from roadworthy.serving.protocols.proto import inference
from support.servers.serving import Server, json_request
from support.waiting import HANG_SECONDS

pytestmark = pytest.mark.slow

OIP = "inference.GRPCInferenceService"
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
Serve = Callable[..., Server]


class Collector:
    """An OTLP/HTTP collector at a free port that keeps what it is sent."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.resources: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self.headers: list[dict[str, str]] = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if self.headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                for group in ExportTraceServiceRequest.FromString(body).resource_spans:
                    collector.resources.append(values(group.resource.attributes))
                    collector.spans.extend(span for scope in group.scope_spans for span in scope.spans)
                collector.paths.append(self.path)
                collector.headers.append(dict(self.headers))
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/v1/traces"

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def named(self, name: str) -> Span:
        """The only span of this name."""
        (span,) = [span for span in self.spans if span.name == name]
        return span


@pytest.fixture
def collector() -> Iterator[Collector]:
    collector = Collector()
    yield collector
    collector.close()


def values(attributes: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in attributes}


def said(span: Span) -> dict[str, Any]:
    return values(span.attributes)


def infer(client: httpx.Client, *row: float, **headers: str) -> httpx.Response:
    """One inference of the echo, of zeros without a row."""
    return client.post("/v2/models/echo/infer", json=json_request({"x": np.array([row or (0, 0)], np.float32)}), headers=headers)


@contextmanager
def dumb() -> Iterator[str]:
    """A collector that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1/traces"


def closed_port() -> str:
    """Where no collector listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"http://127.0.0.1:{listener.getsockname()[1]}/v1/traces"


def test_a_request_is_a_span_of_its_clients_trace(serve: Serve, echo_bundle: Path, collector: Collector) -> None:
    server = serve(echo_bundle, workers=1, traces=collector.url)
    with server.client() as client:
        before = time.time_ns()
        assert infer(client, traceparent=f"00-{TRACE}-{PARENT}-01", tracestate="vendor=1").status_code == 200
        after = time.time_ns()
        unsampled = f"00-{TRACE[::-1]}-{PARENT}-00"
        assert client.get("/v2/models/echo", headers={"traceparent": unsampled}).status_code == 200
        assert client.get("/V1/Models/echo", headers={"traceparent": b"garbage\xff"}).status_code == 200
        assert client.get("/elsewhere/é%00" + "x" * 9000).status_code == 404
        assert client.request("PROPFIND", "/v2/models/unknown").status_code == 405
        assert infer(client, 13, 0).status_code == 500
    # Workers send what they have before they end: nothing here waits for a batch to be full or due.
    assert server.stop() == 0 and server.errors().count("traces") == 0
    assert set(collector.paths) == {"/v1/traces"}
    (resource,) = {json.dumps(one, sort_keys=True): one for one in collector.resources}.values()
    assert resource["service.name"] == "roadworthy" and resource["service.version"] and resource["telemetry.sdk.language"] == "python"

    (span,) = (span for span in collector.spans if span.trace_id.hex() == TRACE)
    assert (span.parent_span_id.hex(), span.trace_state, span.kind) == (PARENT, "vendor=1", Span.SPAN_KIND_SERVER)
    assert span.name == "oip POST /v2/models/{model}/infer" and span.status.code == Status.STATUS_CODE_UNSET
    assert before - 50_000_000 < span.start_time_unix_nano < span.end_time_unix_nano < after + 50_000_000
    attributes = said(span)
    assert attributes.pop("user_agent.original").startswith("python-httpx")
    assert attributes == {
        "http.request.method": "POST", "http.route": "/v2/models/{model}/infer", "http.response.status_code": 200,
        "url.scheme": "http", "url.path": "/v2/models/echo/infer", "network.protocol.name": "http", "client.address": "127.0.0.1",
        "roadworthy.model": "echo",
    }  # fmt: skip
    (failed,) = (span for span in collector.spans if said(span)["http.response.status_code"] == 500)
    assert failed.status.code == Status.STATUS_CODE_ERROR and said(failed)["error.type"] == "500" and not failed.parent_span_id

    assert not any(span.trace_id.hex() == TRACE[::-1] for span in collector.spans)
    root = collector.named("tfserving GET /v1/models/{model}")
    assert not root.parent_span_id and said(root)["url.path"] == "/V1/Models/echo"
    lost = collector.named("http GET")
    assert "http.route" not in said(lost) and len(said(lost)["url.path"]) == LONGEST and "error.type" not in said(lost)
    assert said(collector.named("oip HTTP /v2/models/{model}"))["http.request.method"] == "_OTHER"


def test_so_is_a_call_of_grpc(serve: Serve, echo_bundle: Path, collector: Collector) -> None:
    server = serve(echo_bundle, workers=1, grpc_port=0, traces=collector.url)
    server.wait_ready()
    with grpc.insecure_channel(server.grpc_address) as channel:
        live = channel.unary_unary(f"/{OIP}/ServerLive")
        live(b"", metadata=(("traceparent", f"00-{TRACE}-{PARENT}-01"),), timeout=HANG_SECONDS, wait_for_ready=True)
        find = channel.unary_unary(f"/{OIP}/ModelMetadata", request_serializer=inference.ModelMetadataRequest.SerializeToString)
        find(inference.ModelMetadataRequest(name="echo"), timeout=HANG_SECONDS)
        with pytest.raises(grpc.RpcError, match="NOT_FOUND"):
            find(inference.ModelMetadataRequest(name="unknown"), timeout=HANG_SECONDS)
        fail = channel.unary_unary(f"/{OIP}/ModelInfer", request_serializer=inference.ModelInferRequest.SerializeToString)
        x = inference.ModelInferRequest.InferInputTensor(name="x", datatype="FP32", shape=[1, 2])
        request = inference.ModelInferRequest(model_name="echo", inputs=[x], raw_input_contents=[np.array([13, 0], np.float32).tobytes()])
        with pytest.raises(grpc.RpcError, match="INTERNAL"):
            fail(request, timeout=HANG_SECONDS)
    assert server.stop() == 0, server.errors()

    span = collector.named(f"oip {OIP}/ServerLive")
    assert (span.trace_id.hex(), span.parent_span_id.hex(), span.kind) == (TRACE, PARENT, Span.SPAN_KIND_SERVER)
    attributes = said(span)
    assert attributes.pop("user_agent.original").startswith("grpc-python")
    assert attributes == {
        "rpc.system.name": "grpc", "rpc.method": f"{OIP}/ServerLive", "rpc.response.status_code": "OK", "client.address": "127.0.0.1",
    }  # fmt: skip
    found, unknown = (span for span in collector.spans if span.name.endswith("/ModelMetadata"))
    assert said(found)["roadworthy.model"] == "echo"
    # What a client got wrong is no error of the server's.
    assert said(unknown)["rpc.response.status_code"] == "NOT_FOUND" and unknown.status.code == Status.STATUS_CODE_UNSET
    failed = collector.named(f"oip {OIP}/ModelInfer")
    assert failed.status.code == Status.STATUS_CODE_ERROR and said(failed)["error.type"] == "INTERNAL"


@pytest.mark.parametrize("silent", [False, True], ids=["no listener", "never answers"])
def test_a_missing_collector_harms_no_request(serve: Serve, echo_bundle: Path, silent: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """More spans than may wait; every request is answered, the server comes to its end, and there is one complaint at most."""
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "600")
    with dumb() if silent else nullcontext(closed_port()) as url:
        server = serve(echo_bundle, workers=1, traces=url)
        with server.client() as client:
            for _ in range(1300):
                assert client.get("/v2/health/live").status_code == 200
        assert server.stop() == 0
    lines = [json.loads(line) for line in server.errors().splitlines() if line.startswith("{")]
    assert [line["message"] for line in lines] in ([], [f"traces are lost: the collector at {url} does not take them"])
    assert all(line.startswith(("{", "echo version 1: ")) for line in server.errors().splitlines()), server.errors()


def test_what_the_supervisor_refuses_is_a_span_too(serve: Serve, echo_bundle: Path, collector: Collector) -> None:
    """It answers for as long as no worker does."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = serve(echo_bundle, workers=1, port=port, traces=collector.url)
    deadline = time.monotonic() + HANG_SECONDS
    while True:
        try:
            assert httpx.get(f"http://127.0.0.1:{port}/v2/health/ready").status_code == 503
            break
        except httpx.ConnectError:
            assert time.monotonic() < deadline
            time.sleep(0.005)
    server.wait_ready()
    assert server.stop() == 0
    refused = collector.named("oip GET /v2/health/ready")
    assert said(refused)["http.response.status_code"] == 503 and collector.resources[-1]["process.pid"] == server.process.pid


def test_an_outage_is_told_once_and_again_after_it_worked(collector: Collector, caplog: pytest.LogCaptureFixture) -> None:
    good, bad = SpanExportResult.SUCCESS, SpanExportResult.FAILURE
    sending = CollectorExporter(collector.url)
    results = iter((bad, bad, good, bad, bad))
    sending._exporter.export = lambda spans: next(results)  # type: ignore[method-assign]
    for _ in range(5):
        sending.export([])
    assert len(caplog.records) == 2
    sending.shutdown()


def test_off_nothing_of_it_is_there() -> None:
    program = """
import sys
from roadworthy.serving import server
from roadworthy.serving.transports import grpc
from roadworthy.serving.transports.http import listeners
from roadworthy.serving.workers import worker
from roadworthy.serving.settings import Settings
assert listeners.tracing(Settings(sources=())) is None
print([name for name in sys.modules if name.startswith("opentelemetry") or name == "roadworthy.serving.observability.traces"])
"""
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=HANG_SECONDS).stdout == "[]\n"


def test_without_its_packages_the_remedy_is_named_before_anything_listens(
    serve: Serve, echo_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "opentelemetry").mkdir()
    (tmp_path / "opentelemetry" / "__init__.py").touch()
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    # A port that is taken would be the second thing to go wrong.
    with socket.create_server(("127.0.0.1", 0)) as taken:
        server = serve(echo_bundle, port=taken.getsockname()[1], traces="http://localhost:4318/v1/traces")
        assert server.ended() == 7 and "pip install 'roadworthy[otel]'" in server.errors()
    assert "Traceback" not in server.errors()


@pytest.mark.parametrize("url", ["collector:4318", "4318", "ftp://collector/v1/traces", "http://", "http://[/"])
def test_what_is_no_address_is_a_wrong_option(url: str) -> None:
    with pytest.raises(UsageError, match=r"collector|Invalid"):
        Traces(url)


def test_a_variable_that_the_sdk_cannot_go_by_is_a_wrong_option(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "-1")
    with pytest.raises(UsageError, match="max_queue_size"):
        Traces("http://localhost:4318")


def test_the_environment_says_who_it_is_and_what_to_send(
    serve: Serve, echo_bundle: Path, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "digits-shop")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "api-key=secret")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_always_off")
    server = serve(echo_bundle, workers=1, traces=collector.url.removesuffix("/v1/traces"))
    with server.client() as client:
        client.get("/v2")
        client.get("/v2", headers={"traceparent": f"00-{TRACE}-{PARENT}-01"})
    assert server.stop() == 0
    (span,) = collector.spans
    assert span.trace_id.hex() == TRACE and collector.paths == ["/v1/traces"]
    assert collector.resources[0]["service.name"] == "digits-shop" and collector.headers[0]["api-key"] == "secret"

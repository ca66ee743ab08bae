"""TorchServe's metrics: its names and labels, over this server's counters."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from roadworthy.serving.engine.counters import Counters
from roadworthy.serving.protocols.torchserve.metrics import families
from support.servers.serving import Server

HOST = socket.gethostname()


def test_families_of_counters() -> None:
    counters = Counters()
    one = counters.of("tiny", "1")
    one.succeeded.add(3_000_000, 2)
    one.failed.add(1_000_000)
    one.waited.add(500_000, 3)
    one.expired, one.refused = 1, 7
    for protocol, code, count in (
        ("torchserve", "200", 2),
        ("oip", "202", 1),
        ("torchserve", "404", 4),
        ("oip", "503", 5),
        ("oip-grpc", "OK", 9),
    ):
        counters.answered[protocol, "", code] = count
    found = {sample.name: (sample.labels, sample.value) for family in families(counters) for sample in family.samples}
    labels = {"model_name": "tiny", "model_version": "1", "hostname": HOST}
    host = {"Level": "Host", "Hostname": HOST}
    assert found == {
        "ts_inference_requests_total": (labels, 4),
        "ts_inference_latency_microseconds": (labels, 4000),
        "ts_queue_latency_microseconds": (labels, 500),
        "Requests2XX": (host, 3),
        "Requests4XX": (host, 4),
        "Requests5XX": (host, 5),
    }


def test_they_are_among_the_server_s(serve: Callable[..., Server], echo_bundle: Path) -> None:
    with serve(echo_bundle, workers=2).client() as client:
        for _ in range(3):
            assert client.post("/predictions/echo", json=[1.5, 0]).json() == [1.5, 0]
        assert client.post("/predictions/nope", json=[1.5, 0]).status_code == 404
        text = client.get("/metrics").text
        samples = {sample.name: sample for family in text_string_to_metric_families(text) for sample in family.samples}
        assert samples["ts_inference_requests_total"].value == 3
        assert samples["ts_inference_requests_total"].labels == {"model_name": "echo", "model_version": "1", "hostname": HOST}
        assert samples["ts_inference_latency_microseconds"].value > 0
        assert samples["Requests2XX"].value >= 3 and samples["Requests4XX"].value == 1
        assert re.search(r"^Requests5XX\{.*\} 0\.0$", text, re.MULTILINE)
        only = client.get("/metrics?name[]=Requests2XX&name[]=ts_inference_requests_total").text
        names = {sample.name for family in text_string_to_metric_families(only) for sample in family.samples}
        assert names == {"Requests2XX", "ts_inference_requests_total"}

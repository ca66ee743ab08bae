"""The server's counters under TorchServe's names, for existing dashboards and alerts."""

from __future__ import annotations

import socket
from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, UnknownMetricFamily
from prometheus_client.metrics_core import Metric

from roadworthy.serving.engine.counters import Counters

_MODEL = ("model_name", "model_version", "hostname")


def families(counters: Counters) -> Iterator[Metric]:
    """By model and version: finished inference requests, and the sums of the microseconds that they took and waited. For the
    whole server: HTTP requests by the class of their status.

    Names without ``_total`` have no type: the format would rename counters.
    """
    host = socket.gethostname()
    requests = CounterMetricFamily("ts_inference_requests_total", "Inference requests.", labels=_MODEL)
    took = UnknownMetricFamily("ts_inference_latency_microseconds", "Microseconds that inference requests took, in sum.", labels=_MODEL)
    waited = UnknownMetricFamily("ts_queue_latency_microseconds", "Microseconds that inference requests waited, in sum.", labels=_MODEL)
    for (model, version), inferences in sorted(counters.inferences.items()):
        labels = (model, version, host)
        requests.add_metric(labels, inferences.accepted)
        took.add_metric(labels, (inferences.succeeded.ns + inferences.failed.ns) / 1000)
        waited.add_metric(labels, inferences.waited.ns / 1000)
    yield from (requests, took, waited)
    for digit in "245":
        name = f"Requests{digit}XX"
        family = UnknownMetricFamily(name, f"HTTP requests answered with a status of {digit}00 to {digit}99.", labels=("Level", "Hostname"))
        family.add_metric(("Host", host), _answered(counters, digit))
        yield family


def _answered(counters: Counters, digit: str) -> int:
    # gRPC's codes are words, and match no digit.
    return sum(count for (_, _, code), count in counters.answered.items() if code.startswith(digit))

"""What the server counts about itself, as Prometheus reads it."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, Info, ProcessCollector, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from roadworthy.serve.dataplane import DataPlane

SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
SAMPLES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """Counters of one server. Model labels are names that are served here, so that a client cannot make more of them."""

    content_type = CONTENT_TYPE_PLAIN_0_0_4.encode()

    def __init__(self, plane: DataPlane, version: str) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._requests = Counter("roadworthy_requests", "Requests answered.", ("model", "code"), registry=self._registry)
        self._seconds = Histogram(
            "roadworthy_request_seconds", "From headers read to answer handed over.", ("model",), buckets=SECONDS, registry=self._registry
        )
        self._samples = Histogram(
            "roadworthy_request_samples", "Samples in an answered inference.", ("model",), buckets=SAMPLES, registry=self._registry
        )
        Info("roadworthy_build", "The version that serves.", registry=self._registry).info({"version": version})
        self._registry.register(_State(plane))
        self._counts: dict[tuple[str, int], Counter] = {}
        self._timers: dict[str, tuple[Histogram, Histogram]] = {}

    def count(self, model: str, status: int, seconds: float, samples: int) -> None:
        """One answered request; ``model`` is empty where it was about none."""
        # Finding a labelled child costs more than counting on it.
        count = self._counts.get((model, status))
        if count is None:
            count = self._counts[model, status] = self._requests.labels(model, status)
        count.inc()
        if model:
            timers = self._timers.get(model)
            if timers is None:
                timers = self._timers[model] = self._seconds.labels(model), self._samples.labels(model)
            timers[0].observe(seconds)
            if samples:
                timers[1].observe(samples)

    def text(self) -> bytes:
        """The exposition, format 0.0.4."""
        return bytes(generate_latest(self._registry))


class _State:
    """What is read off the dataplane when somebody asks."""

    def __init__(self, plane: DataPlane) -> None:
        self._plane = plane

    def collect(self) -> Iterator[GaugeMetricFamily]:
        ready = GaugeMetricFamily("roadworthy_ready", "1 when every model passed its checks and the server stays.")
        ready.add_metric((), float(self._plane.ready))
        yield ready
        waiting = GaugeMetricFamily("roadworthy_in_flight", "Inferences in hand.", labels=("model",))
        for name, count in self._plane.waiting.items():
            waiting.add_metric((name,), float(count))
        yield waiting
        golden = GaugeMetricFamily(
            "roadworthy_golden_error", "Worst golden answer here, relative to the output's scale.", labels=("model", "variant")
        )
        for model in self._plane.models:
            golden.add_metric((model.name, model.check.variant), model.check.error)
        yield golden

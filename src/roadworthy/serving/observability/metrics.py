"""The server's counters in the text format of Prometheus."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, InfoMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from roadworthy.core.version import __version__
from roadworthy.serving.engine.counters import SECONDS, Counters, Latency
from roadworthy.serving.registry.catalogue import Catalogue

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4.encode()


def text(
    counters: Counters, catalogue: Catalogue, *, ready: bool, others: Iterable[Metric] = (), names: frozenset[str] = frozenset()
) -> bytes:
    """The exposition, format 0.0.4, of the whole server's ``counters``; ``others`` come after our own families.

    With ``names`` only the families, or samples, of these. Model labels are names of served models, so that a client
    cannot add more.
    """
    families = [*_server(counters, ready), *_requests(counters), *_inferences(counters), *_models(counters, catalogue), *others]
    if names:
        families = [family for family in families if family.name in names or any(sample.name in names for sample in family.samples)]
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Given(families))
    return bytes(generate_latest(registry))


class _Given:
    """A collector of families that exist already."""

    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        yield from self._families


def _server(counters: Counters, ready: bool) -> Iterator[Metric]:
    yield _gauge(
        "roadworthy_ready", "1 when every model was checked, at least one answers, and the server is not shutting down.", {(): float(ready)}
    )
    build = InfoMetricFamily("roadworthy_build", "The version of the server.")
    build.add_metric((), {"version": __version__})
    yield build
    workers = {(str(worker.pid),): worker for worker in counters.workers}
    for name, words, read in (
        ("memory_bytes", "Resident memory of a worker.", "memory"),
        ("open_descriptors", "Open files and sockets of a worker.", "descriptors"),
        ("threads", "Python threads of a worker.", "threads"),
        ("connections", "Open HTTP connections of a worker.", "connections"),
    ):
        yield _gauge(f"roadworthy_worker_{name}", words, {key: float(getattr(one, read)) for key, one in workers.items()}, ("pid",))
    yield _counter("roadworthy_worker_cpu_seconds", "Processor time of a worker.", {key: one.cpu for key, one in workers.items()}, ("pid",))
    yield _counter("roadworthy_worker_restarts", "Workers that were replaced.", {(): float(counters.restarts)})


def _requests(counters: Counters) -> Iterator[Metric]:
    answered = {key: float(count) for key, count in counters.answered.items()}
    yield _counter("roadworthy_requests", "Requests answered.", answered, ("protocol", "model", "code"))
    family = HistogramMetricFamily(
        "roadworthy_request_seconds", "Seconds from the last byte of a request to its written answer.", labels=("protocol", "model")
    )
    for key, latency in counters.latency.items():
        family.add_metric(key, list(_cumulative(latency)), latency.sum)
    yield family


def _inferences(counters: Counters) -> Iterator[Metric]:
    known = counters.inferences.items()
    outcomes = CounterMetricFamily("roadworthy_inferences", "Inference requests by outcome.", labels=("model", "version", "outcome"))
    for key, one in known:
        for outcome, count in (
            ("succeeded", one.succeeded.count), ("failed", one.failed.count), ("expired", one.expired),
            ("cancelled", one.cancelled), ("refused", one.refused),
        ):  # fmt: skip
            outcomes.add_metric((*key, outcome), count)
    yield outcomes
    labels = ("model", "version")
    for name, words, values in (
        ("samples", "Samples answered.", {key: float(one.samples) for key, one in known}),
        ("executions", "Calls of the runtime; samples over these is the mean batch.", {key: float(one.executions) for key, one in known}),
        ("waited_seconds", "Time that requests spent in the queue.", {key: one.waited.ns / 1e9 for key, one in known}),
        ("ran_seconds", "Time that requests spent in a call of the runtime.", {key: one.ran.ns / 1e9 for key, one in known}),
        ("mirrored", "Requests copied to a shadow, by the shadow.", {key: float(one.mirrored.count) for key, one in known}),
        ("mirrored_different", "Copies with another answer than the original.", {key: float(one.mirrored.different) for key, one in known}),
        ("mirrored_skipped", "Copies dropped because the shadow was busy.", {key: float(one.mirrored.skipped) for key, one in known}),
    ):
        yield _counter(f"roadworthy_inference_{name}", words, values, labels)
    errors = {key: one.mirrored.error for key, one in known if one.mirrored.count}
    yield _gauge("roadworthy_inference_mirrored_error", "Largest difference of a shadow's answer, of the output's scale.", errors, labels)


def _models(counters: Counters, catalogue: Catalogue) -> Iterator[Metric]:
    labels = ("model", "version")
    for name, words in (("waiting", "Requests in the queues."), ("running", "Requests in a call.")):
        sums: dict[tuple[str, ...], float] = {}
        for worker in counters.workers:
            for key, count in getattr(worker, name).items():
                sums[key] = sums.get(key, 0.0) + count
        yield _gauge(f"roadworthy_inferences_{name}", words, sums, labels)
    golden = {key: error for worker in counters.workers for key, error in worker.golden.items()}
    yield _gauge("roadworthy_golden_error", "Largest error of a golden answer, of the output's scale.", golden, (*labels, "variant"))
    states = {(served.name, one.version, one.state): 1.0 for served, one in catalogue}
    yield _gauge("roadworthy_model_state", "1 for the state that a version is in.", states, (*labels, "state"))
    ready = [(served.name, one) for served, one in catalogue if one.state == "ready"]
    for name, words, read in (
        ("instances", "Calls that each worker makes at a time.", "instances"),
        ("threads", "Threads of one call.", "threads"),
        ("batch", "Most samples of one call of several requests.", "batch"),
    ):
        yield _gauge(f"roadworthy_model_{name}", words, {(model, one.version): float(getattr(one, read)) for model, one in ready}, labels)


def _gauge(name: str, words: str, values: Mapping[Any, float], labels: tuple[str, ...] = ()) -> Metric:
    family = GaugeMetricFamily(name, words, labels=labels)
    for key, value in values.items():
        family.add_metric(key, value)
    return family


def _counter(name: str, words: str, values: Mapping[Any, float], labels: tuple[str, ...] = ()) -> Metric:
    family = CounterMetricFamily(name, words, labels=labels)
    for key, value in values.items():
        family.add_metric(key, value)
    return family


def _cumulative(latency: Latency) -> Iterator[tuple[str, float]]:
    total = 0
    for bound, count in zip((*map(repr, SECONDS), "+Inf"), latency.buckets, strict=True):
        total += count
        yield bound, total

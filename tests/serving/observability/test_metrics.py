"""The exposition: as Prometheus's own parser reads it, sums over workers, and no name that a client could make up."""

from __future__ import annotations

import msgspec
import pytest
from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.parser import text_string_to_metric_families

from roadworthy.serving.engine.counters import SECONDS, Counters, Executed, Span, WorkerStats
from roadworthy.serving.observability import metrics
from roadworthy.serving.registry.catalogue import Catalogue, Served, Version

CATALOGUE = Catalogue(
    (
        Served(
            name="digits",
            versions=(
                Version(version="1", path="/m/1", state="unloaded"),
                Version(version="2", path="/m/2", state="ready", instances=3, threads=2, batch=8),
            ),
        ),
    )
)


def counted(pid: int, requests: int = 1) -> Counters:
    """What one worker counted of so many requests of 3 ms each, two samples in each."""
    counters = Counters(
        workers=[WorkerStats(pid, 1000, 10, 5, 2, 1.5, {("digits", "2"): 4}, {("digits", "2"): 1}, {("digits", "2", "null"): 0.01})]
    )
    for _ in range(requests):
        counters.answer("oip", "digits", "200", 0.003)
    counters.answer("tfserving", "", "404", 0.1)
    one = counters.of("digits", "2")
    one.succeeded.add(3_000_000 * requests, requests)
    one.waited.add(1_000_000 * requests, requests)
    one.samples, one.expired, one.cancelled, one.refused = 2 * requests, 1, 2, 3
    one.batches[2] = Executed(run=Span(requests, 2_000_000 * requests))
    return counters


def read(text: bytes) -> dict[str, Metric]:
    """The families by name; each name once."""
    families = list(text_string_to_metric_families(text.decode()))
    names = [family.name for family in families]
    assert len(names) == len(set(names)), sorted(names)
    samples = [(sample.name, *sorted(sample.labels.items())) for family in families for sample in family.samples]
    assert len(samples) == len(set(samples))
    return dict(zip(names, families, strict=True))


def value(families: dict[str, Metric], family: str, sample: str = "", **labels: str) -> float:
    """The one sample of ``family`` with these labels, or more."""
    found = [
        one.value
        for one in families[family].samples
        if one.name == (sample or one.name) and labels.items() <= one.labels.items() and not one.name.endswith("_created")
    ]
    assert len(found) == 1, (family, found)
    return found[0]


@pytest.fixture
def whole() -> Counters:
    """Two workers, one that has ended, and one restart."""
    total = Counters(restarts=1)
    for pid, requests in ((11, 5), (12, 7)):
        total.merge(counted(pid, requests))
    past = counted(10, 100)
    past.workers = []
    total.merge(past)
    return total


def test_counters_are_sums_over_workers_dead_ones_included(whole: Counters) -> None:
    families = read(metrics.text(whole, CATALOGUE, ready=True))
    assert value(families, "roadworthy_requests", protocol="oip", model="digits", code="200") == 112
    assert value(families, "roadworthy_requests", protocol="tfserving", code="404") == 3
    outcomes = {"succeeded": 112, "failed": 0, "expired": 3, "cancelled": 6, "refused": 9}
    for outcome, count in outcomes.items():
        assert value(families, "roadworthy_inferences", model="digits", version="2", outcome=outcome) == count
    assert value(families, "roadworthy_inference_samples", model="digits") == 224
    assert value(families, "roadworthy_inference_executions", model="digits") == 112
    assert value(families, "roadworthy_inference_waited_seconds", model="digits") == pytest.approx(0.112)
    assert value(families, "roadworthy_inferences_waiting", model="digits") == 8
    assert value(families, "roadworthy_inferences_running", model="digits") == 2
    assert value(families, "roadworthy_worker_restarts") == 1
    assert {sample.labels["pid"] for sample in families["roadworthy_worker_memory_bytes"].samples} == {"11", "12"}
    assert value(families, "roadworthy_golden_error", variant="null") == 0.01


def test_merging_leaves_what_was_merged_alone() -> None:
    one = counted(11, 5)
    before = msgspec.msgpack.encode(one)
    total = Counters()
    for _ in range(3):
        total.merge(one)
    assert msgspec.msgpack.encode(one) == before
    assert total.inferences["digits", "2"].succeeded.count == 15


def test_the_histogram_is_cumulative_and_ends_in_its_count(whole: Counters) -> None:
    family = read(metrics.text(whole, CATALOGUE, ready=True))["roadworthy_request_seconds"]
    buckets = [(float(one.labels["le"]), one.value) for one in family.samples if one.name.endswith("_bucket")]
    assert [bound for bound, _ in buckets] == [*SECONDS, float("inf")]
    assert [count for _, count in buckets] == sorted(count for _, count in buckets)
    assert dict(buckets)[0.002] == 0 and dict(buckets)[0.005] == dict(buckets)[float("inf")] == 112
    (count,) = [one.value for one in family.samples if one.name.endswith("_count")]
    (total,) = [one.value for one in family.samples if one.name.endswith("_sum")]
    assert count == 112 and total == pytest.approx(0.336)


def test_a_time_on_a_bound_is_in_its_bucket_and_one_beyond_all_is_in_the_last() -> None:
    counters = Counters()
    for seconds in (SECONDS[0], SECONDS[-1], 2 * SECONDS[-1]):
        counters.answer("oip", "digits", "200", seconds)
    latency = counters.latency["oip", "digits"]
    assert latency.buckets[0] == latency.buckets[-2] == latency.buckets[-1] == 1


def test_the_states_and_plans_of_the_catalogue(whole: Counters) -> None:
    families = read(metrics.text(whole, CATALOGUE, ready=False))
    assert value(families, "roadworthy_ready") == 0
    assert value(families, "roadworthy_model_state", version="1", state="unloaded") == 1
    for name, want in (("instances", 3), ("threads", 2), ("batch", 8)):
        assert value(families, f"roadworthy_model_{name}", model="digits", version="2") == want
        assert len(families[f"roadworthy_model_{name}"].samples) == 1, "only of what answers"


def test_a_server_that_did_nothing_has_an_exposition_too() -> None:
    families = read(metrics.text(Counters(), Catalogue(), ready=False))
    assert value(families, "roadworthy_ready") == 0 and not families["roadworthy_inferences"].samples


def test_only_the_names_that_were_asked_for(whole: Counters) -> None:
    def names(*asked: str) -> set[str]:
        return set(read(metrics.text(whole, CATALOGUE, ready=True, names=frozenset(asked))))

    assert names("roadworthy_ready") == {"roadworthy_ready"}
    assert names("roadworthy_requests_total") == {"roadworthy_requests"}
    assert names("roadworthy_requests") == {"roadworthy_requests"}
    assert names("roadworthy_request_seconds_count", "roadworthy_model_state") == {"roadworthy_request_seconds", "roadworthy_model_state"}
    assert names("nothing") == set()
    assert len(names()) > 20


def test_other_families_come_after_ours(whole: Counters) -> None:
    other = GaugeMetricFamily("theirs", "A family of another protocol.")
    other.add_metric((), 3)
    families = read(metrics.text(whole, CATALOGUE, ready=True, others=[other]))
    assert list(families)[-1] == "theirs" and value(families, "theirs") == 3
    assert set(read(metrics.text(whole, CATALOGUE, ready=True, others=[other], names=frozenset({"theirs"})))) == {"theirs"}


@pytest.mark.parametrize(
    "name", ['"} 1\nroadworthy_ready 0\n#', "back\\slash", 'quo"te', "new\nline", "tab\tand \u2028", "grün", "\\n", "a,b={}", "", "\0"]
)
def test_hostile_names_stay_in_their_label(name: str) -> None:
    counters = Counters()
    counters.answer("oip", name, "200", 0.001)
    counters.of(name, name).succeeded.add(1)
    catalogue = Catalogue((Served(name=name, versions=(Version(version=name, path="", state="ready"),)),))
    text = metrics.text(counters, catalogue, ready=True)
    families = read(text)
    assert value(families, "roadworthy_requests", model=name) == 1
    assert value(families, "roadworthy_inferences", model=name, version=name, outcome="succeeded") == 1
    assert value(families, "roadworthy_ready") == 1
    assert all(line.startswith((b"#", b"roadworthy_")) for line in text.split(b"\n") if line)

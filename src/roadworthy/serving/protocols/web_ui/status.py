"""What the page shows about the server, as one document: models, versions, figures, workers."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

import msgspec

from roadworthy.preprocess.contract import ItemKind
from roadworthy.serving.engine.counters import SECONDS, Counters, Latency, Mirrored, WorkerStats
from roadworthy.serving.engine.dataplane import DataPlane
from roadworthy.serving.engine.local import LocalEngine
from roadworthy.serving.protocols.oip.tensors import BYTES, DATATYPES
from roadworthy.serving.registry.catalogue import Canary, Served, Version, VersionState


class InputDescription(msgspec.Struct, frozen=True):
    """One input as the Open Inference Protocol has it; -1 is any size."""

    name: str
    datatype: str
    shape: tuple[int, ...]


class ModelInputs(msgspec.Struct, frozen=True):
    """What the default version takes: items of the ``kind`` by the bundle's contract, ``files`` as they are, or arrays.

    ``steps`` describes how an item becomes the input, in order; empty where the model takes none. ``name`` is what it is sent as.
    """

    inputs: tuple[InputDescription, ...]
    kind: ItemKind | None
    name: str
    files: bool
    steps: tuple[str, ...]


class VersionStatus(msgspec.Struct, frozen=True):
    """One version; ``reason`` says why it failed or was unloaded. Counts are of requests since the server started."""

    version: str
    state: VersionState
    reason: str
    since: float
    instances: int
    threads: int
    batch: int
    succeeded: int
    failed: int
    refused: int
    expired: int
    cancelled: int
    waiting: int
    running: int
    mirrored: Mirrored


class ModelStatus(msgspec.Struct, frozen=True):
    """One model. ``answered`` counts by HTTP or gRPC code, ``current`` is the version that answers by default.

    ``p50`` and ``p99`` are seconds since the server started, estimated from the histogram; ``None`` before the first answer.
    """

    name: str
    current: str | None
    default: str | None
    labels: dict[str, str]
    canary: Canary | None
    shadow: str | None
    versions: tuple[VersionStatus, ...]
    requests: int
    errors: int
    answered: dict[str, int]
    p50: float | None
    p99: float | None
    takes: ModelInputs | None


class WorkerStatus(msgspec.Struct, frozen=True):
    """One worker process; memory is resident, in bytes, ``cpu`` in seconds."""

    pid: int
    memory: int
    cpu: float
    threads: int
    descriptors: int
    connections: int


class ServerStatus(msgspec.Struct, frozen=True):
    """The whole server; ``time`` is Unix seconds, ``grpc`` the port of gRPC, if it is on."""

    version: str
    ready: bool
    draining: bool
    time: float
    restarts: int
    grpc: int | None
    models: tuple[ModelStatus, ...]
    workers: tuple[WorkerStatus, ...]


async def read(plane: DataPlane, version: str, grpc: int | None = None) -> ServerStatus:
    """The status of the server that ``plane`` belongs to."""
    totals = await plane.totals()
    return ServerStatus(
        version=version,
        ready=plane.ready,
        draining=plane.draining,
        time=time.time(),
        restarts=totals.restarts,
        grpc=grpc,
        models=tuple(_model(served, totals, plane) for served in plane.catalogue.models),
        workers=tuple(
            WorkerStatus(one.pid, one.memory, one.cpu, one.threads, one.descriptors, one.connections)
            for one in sorted(totals.workers, key=lambda one: one.pid)
        ),
    )


def quantile(latencies: Iterable[Latency], share: float) -> float | None:
    """Seconds within which ``share`` of the observations lie, assuming an even spread inside a bucket; ``None`` without observations.

    A value above the last bound is given as that bound.
    """
    whole = Latency()
    for latency in latencies:
        whole.merge(latency)
    rank = share * sum(whole.buckets)
    if not rank:
        return None
    lower = 0.0
    for bound, count in zip(SECONDS, whole.buckets, strict=False):
        if count >= rank:
            return lower + (bound - lower) * rank / count
        rank -= count
        lower = bound
    return SECONDS[-1]


def _model(served: Served, totals: Counters, plane: DataPlane) -> ModelStatus:
    answered: dict[str, int] = {}
    for (_, model, code), count in totals.answered.items():
        if model == served.name:
            answered[code] = answered.get(code, 0) + count
    latencies = [latency for (_, model), latency in totals.latency.items() if model == served.name]
    here = [queue.model for queue in plane.queues if (queue.model.name, queue.model.version) == (served.name, served.current)]
    return ModelStatus(
        name=served.name,
        current=served.current,
        default=served.default,
        labels=served.labels,
        canary=served.canary,
        shadow=served.shadow,
        versions=tuple(_version(served.name, version, totals) for version in served.versions),
        requests=sum(answered.values()),
        errors=sum(count for code, count in answered.items() if not _succeeded(code)),
        answered=answered,
        p50=quantile(latencies, 0.5),
        p99=quantile(latencies, 0.99),
        takes=_takes(here[0]) if here else None,
    )


def _version(name: str, version: Version, totals: Counters) -> VersionStatus:
    counted = totals.of(name, version.version)
    waiting, running = _now(totals.workers, name, version.version)
    return VersionStatus(
        version=version.version,
        state=version.state,
        reason=version.reason,
        since=version.since,
        instances=version.instances,
        threads=version.threads,
        batch=version.batch,
        succeeded=counted.succeeded.count,
        failed=counted.failed.count,
        refused=counted.refused,
        expired=counted.expired,
        cancelled=counted.cancelled,
        waiting=waiting,
        running=running,
        mirrored=counted.mirrored,
    )


def _now(workers: Sequence[WorkerStats], name: str, version: str) -> tuple[int, int]:
    """Requests that wait and that run at this moment, in all workers."""
    key = (name, version)
    return sum(one.waiting.get(key, 0) for one in workers), sum(one.running.get(key, 0) for one in workers)


def _succeeded(code: str) -> bool:
    return code.startswith(("2", "3")) or code == "OK"


def _takes(model: LocalEngine) -> ModelInputs:
    inputs = tuple(
        InputDescription(spec.name, DATATYPES.get(spec.dtype, BYTES), tuple(size if isinstance(size, int) else -1 for size in spec.shape))
        for spec in model.signature.inputs
    )
    steps = model.contract.describe() if model.takes_items else ()
    name = model.item_names[0] if model.takes_items else ""
    return ModelInputs(inputs, model.kind, name, model.takes_files, steps)

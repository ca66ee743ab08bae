"""Replacing a model under load by each protocol's own management, and clients that notice the wrong version's answer."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import httpx

from dependability.harness import DIALECTS, JSON, load_newest, row, write_breaker
from roadworthy.serving.protocols import proto
from support.waiting import HANG_SECONDS


def write_version(models: Path, number: int) -> Path:
    """Version ``number`` of the breaker, whose answers are its input plus ``number``."""
    return write_breaker(models / "breaker" / str(number), f"plus{number}", version=str(number))


def unary(address: str, method: str, request: Any, response: Any) -> Any:
    """One gRPC call."""
    with grpc.insecure_channel(address) as channel:
        return channel.unary_unary(method, request_serializer=lambda m: m.SerializeToString(), response_deserializer=response.FromString)(
            request, timeout=HANG_SECONDS
        )


@dataclass(frozen=True)
class Address:
    """Where the server listens."""

    url: str
    grpc: str


def by_oip(at: Address, number: int) -> None:
    """``load`` takes what is newest; the one before has to be unloaded by version elsewhere, or goes by the server's own policy."""
    answered = load_newest(at.url)
    assert answered.status_code == 200, answered.text


def by_oip_grpc(at: Address, number: int) -> None:
    """The same over gRPC."""
    inference = proto.inference
    request = inference.RepositoryModelLoadRequest(model_name="breaker")
    unary(at.grpc, "/inference.GRPCInferenceService/RepositoryModelLoad", request, inference.RepositoryModelLoadResponse)


def by_tfserving_grpc(models: Path) -> Callable[[Address, int], None]:
    """HandleReloadConfigRequest with the one version that is wanted."""

    def swap(at: Address, number: int) -> None:
        serving = proto.tensorflow_serving
        request = serving.ReloadConfigRequest()
        config = request.config.model_config_list.config.add(name="breaker", base_path=str(models / "breaker"), model_platform="tensorflow")
        config.model_version_policy.specific.versions.append(number)
        answered = unary(at.grpc, "/tensorflow.serving.ModelService/HandleReloadConfigRequest", request, serving.ReloadConfigResponse)
        assert answered.status.error_code == 0, answered

    return swap


def by_torchserve(at: Address, number: int) -> None:
    """Register the new version, make it the default, unregister the one before."""
    with httpx.Client(base_url=at.url, timeout=HANG_SECONDS) as client:
        for answered in (
            client.post(
                "/models", params={"url": f"breaker/{number}", "model_name": "breaker", "initial_workers": 1, "synchronous": "true"}
            ),
            client.put(f"/models/breaker/{number}/set-default"),
            client.delete(f"/models/breaker/{number - 1}"),
        ):
            assert answered.status_code == 200, answered.text


@dataclass
class Watch:
    """What the clients of a server whose model is being swapped saw."""

    answered: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    current: int = 1
    """The version that the last finished swap has installed."""
    coming: int = 1
    """The version that a swap under way installs."""


def client_of(at: Address, watch: Watch, dialect: str, over: threading.Event) -> None:
    """Asks for no version until it is over: the answer has to be that of a version that was current while it was on its way."""
    spoken = DIALECTS[dialect]
    with httpx.Client(base_url=at.url, timeout=HANG_SECONDS) as client:
        while not over.wait(0.002):
            oldest = watch.current
            try:
                answered = client.post(spoken.path("breaker"), content=spoken.body(row()), headers=JSON)
            except httpx.TransportError as problem:
                watch.wrong.append(f"{dialect}: {problem!r}")
                continue
            newest = watch.coming
            watch.answered[dialect] += 1
            if answered.status_code != 200:
                watch.wrong.append(f"{dialect}: {answered.status_code} {answered.text}")
            elif not oldest <= (got := spoken.values(answered.json())[0]) <= newest:
                watch.wrong.append(f"{dialect}: version {got} answered, when {oldest} to {newest} were current")
            elif dialect == "oip" and answered.json()["model_version"] != f"{got:.0f}":
                watch.wrong.append(f"{dialect}: the answer of {got} says that it is of {answered.json()['model_version']}")


def exact_client(at: Address, watch: Watch, over: threading.Event) -> None:
    """Asks for the current version by its number: that one's answer, or none once it is gone, but never another's."""
    with httpx.Client(base_url=at.url, timeout=HANG_SECONDS) as client:
        while not over.wait(0.002):
            asked = watch.current
            try:
                answered = client.post(f"/v2/models/breaker/versions/{asked}/infer", content=DIALECTS["oip"].body(row()), headers=JSON)
            except httpx.TransportError as problem:
                watch.wrong.append(f"exact: {problem!r}")
                continue
            watch.answered["exact"] += 1
            if answered.status_code == 200:
                if (got := answered.json()["outputs"][0]["data"][0]) != asked:
                    watch.wrong.append(f"exact: {got} answered for {asked}")
            elif watch.coming == asked or answered.status_code not in (404, 503):
                watch.wrong.append(f"exact: {answered.status_code} for {asked}, current {watch.current}: {answered.text}")


def swapping(at: Address, models: Path, swap: Callable[[Address, int], None], first: int, count: int) -> tuple[Watch, list[float]]:
    """``count`` swaps from version ``first`` on, each to the next number, under the eyes of clients; and the seconds each took."""
    watch = Watch(current=first, coming=first)
    over = threading.Event()
    clients = [threading.Thread(target=client_of, args=(at, watch, dialect, over)) for dialect in DIALECTS]
    clients.append(threading.Thread(target=exact_client, args=(at, watch, over)))
    for one in clients:
        one.start()
    seconds = []
    try:
        for number in range(first + 1, first + count + 1):
            write_version(models, number)
            watch.coming = number
            begun = time.monotonic()
            swap(at, number)
            seconds.append(time.monotonic() - begun)
            watch.current = number
    finally:
        over.set()
        for one in clients:
            one.join()
    return watch, sorted(seconds)
